"""Every action of the workstation, once. Feeds bindings, the bottom line, help and the palette.

Each action has an id, by which a user's settings rebind it. Plain letters only: function keys and
ctrl+enter don't arrive in tmux. Does not know the effect of an action.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from textual.binding import Binding, BindingType
from textual.keys import Keys, _character_to_key

from app.text import plain
from core.engine.measurement import WORDS

Where = Literal[
    "app", "runs", "library", "run", "overview", "compare", "builder", "bench", "prompt", "figure",
    "facts", "filter", "dialog", "typing", "models", "confirm", "help", "jump", "copy", "export",
    "pick",
]  # fmt: skip
IN_DIALOGS: tuple[Where, ...] = (
    "dialog", "typing", "models", "confirm", "help", "jump", "copy", "export", "pick",
)  # fmt: skip
_WITH_FIGURES: tuple[Where, ...] = ("figure", "app")
CONTEXTS: tuple[tuple[Where, ...], ...] = (
    ("runs", "app"),
    ("library", "app"),
    ("builder", "app"),
    ("bench", "app"),
    ("prompt",),
    ("run", *_WITH_FIGURES),
    ("run", "facts", "app"),
    ("run", "overview", "app"),
    ("compare", *_WITH_FIGURES),
    ("filter", "typing"),
    ("dialog", "typing", "models"),
    ("dialog", "confirm"),
    ("dialog", "help"),
    ("dialog", "jump"),
    ("dialog", "copy"),
    ("dialog", "export"),
    ("dialog", "pick"),
)
"""The places whose keys act at the same time. The keys of the app don't act in a dialog."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a key does somewhere. `rank` orders the bottom line; 0 keeps it out of there.

    `shown` is how the keys are written for people.
    """

    where: Where
    name: str
    keys: str
    shown: str
    label: str
    help: str
    rank: int = 0

    @property
    def id(self) -> str:
        """Its name in the settings."""
        name = self.name.replace("(", "-").strip(")")
        return f"{self.where}.{name}".replace("'", "").replace(", ", "-")

    @property
    def key(self) -> str:
        """Its first key, as people write it."""
        one_of_many = " to " in self.shown  # "1 to 9", which help tells of once
        return self.keys if one_of_many else self.shown.split()[0]

    @property
    def command(self) -> str:
        """Its words in the palette: its help, after the label if the help lacks it."""
        word = self.label.split()[0]
        known = word in self.help.lower()
        return self.help if known else f"{self.label[:1].upper()}{self.label[1:]}: {self.help}"

    @property
    def verb(self) -> str:
        """Its name without parameters."""
        return self.name.partition("(")[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters in the brackets of its name."""
        inside = self.name.partition("(")[2].rstrip(")").replace("'", "")
        return tuple(inside.split(", ")) if inside else ()


def _steps(name: str, what: str, on: str, back: str, rank: int) -> Iterator[Action]:
    """The two keys of a selector, each by Textual's name and as written for people."""
    (key, shown), (back_key, back_shown) = on.split(), back.split()
    label, last = WORDS.get(name, name), f"Previous {what}"
    yield Action("run", f"select('{name}', 1)", key, shown, label, f"Next {what}", rank)
    yield Action("run", f"select('{name}', -1)", back_key, back_shown, f"{label} back", last)


def _moves(where: Where, thing: str, first: str = "", last: str = "") -> Iterator[Action]:
    """The keys of a list. Beside an input line, letters and both ends belong to that line."""
    k, j = (",k", ",j") if first else ("", "")
    above, below = f"Select the {thing} above", f"Select the {thing} below"
    yield Action(where, "move(-1)", f"up{k}", f"↑{k}".replace(",", " "), "up", above)
    yield Action(where, "move(1)", f"down{j}", f"↓{j}".replace(",", " "), "down", below)
    if where != "builder":
        yield from _pages(where)
    if first:
        yield Action(where, "ends(-1)", "home,g", "home g", "first", f"Go to {first}")
        yield Action(where, "ends(1)", "end,G", "end G", "last", f"Go to {last}")


def _pages(
    where: Where, up: str = "Go a page up", down: str = "Go a page down"
) -> Iterator[Action]:
    yield Action(where, "page(-1)", "pageup", "pgup", "page up", up)
    yield Action(where, "page(1)", "pagedown", "pgdn", "page down", down)


def _numbers(where: Where, count: int, thing: str, then: str = "") -> Iterator[Action]:
    shown, help = f"1 to {count}", f"Go to the {thing} of that number{then}"
    for n in range(1, count + 1):
        yield Action(where, f"tab({n})", str(n), shown, f"{thing} {n}", help)


def _picks(where: Where, *offers: tuple[str, str, str]) -> Iterator[Action]:
    """The keys of a choice: the letter, its answer, and the help."""
    for letter, answer, help in offers:
        yield Action(where, f"pick('{answer}')", letter, letter, answer, help)


ACTIONS: tuple[Action, ...] = (
    Action("runs", "open", "enter,l,right", "enter", "open", "Open the selected run", 1),
    Action("runs", "build", "n", "n", "new study", "Build a study of your models", 2),
    Action("runs", "start", "o", "o", "open study", "Run a study file, or a ready-made study", 3),
    Action("runs", "demo", "d", "d", "demo", "Train the demo models and analyse them", 9),
    Action("runs", "filter", "slash", "/", "filter", "Show only runs that contain a word", 5),
    Action("runs", "cancel", "c", "c", "cancel", "Cancel the selected run", 3),
    Action("runs", "resume", "r", "r", "resume", "Resume a run, or start one that waits", 4),
    Action("runs", "delete", "D", "D", "delete", "Delete the selected run", 7),
    Action("runs", "jump", "apostrophe", "'", "jump", "Jump to a run by its letter"),
    Action("runs", "mark", "space", "space", "mark", "Mark a run to compare with another", 8),
    Action("runs", "compare", "equals_sign", "=", "compare", "Compare the two marked runs", 2),
    Action("runs", "unfilter", "escape", "esc", "all runs", "Clear the filter"),
    Action("runs", "bench", "V", "V", "bench", "Try the models of this study on a prompt", 6),
    Action("runs", "stop", "Q", "Q", "stop bench", "Stop a bench and free its memory", 6),
    Action("runs", "library", "L", "L", "library", "Show the models on this machine", 6),
    *_moves("runs", "run", "the newest run", "the oldest run"),
    Action("library", "detail", "enter,l,right", "enter", "facts", "Show all facts of a model", 1),
    Action("library", "mark", "space", "space", "mark", "Mark a model for a study", 2),
    Action("library", "study", "n", "n", "new study", "Build a study of the marked models", 3),
    Action("library", "runs", "o", "o", "its runs", "Open a run that uses this model", 4),
    Action("library", "bench", "V", "V", "bench", "Try the model on a prompt", 5),
    Action("library", "filter", "slash", "/", "filter", "Show only models that contain a word", 5),
    Action("library", "add", "a", "a", "add", "Add a folder of models", 6),
    Action("library", "rescan", "R", "R", "look again", "Search for models again", 7),
    Action("library", "copy", "y", "y", "copy", "Copy the name as a study file needs it", 8),
    Action(
        "library",
        "back",
        "escape,b,h,left",
        "esc b",
        "back",
        "Go back to the tree, or to the runs",
        8,
    ),
    *_moves("library", "model", "the first model", "the last model"),
    Action("run", "measure(1)", "m", "m", "measure", "Next measure, or order of a table", 1),
    Action("run", "measure(-1)", "M", "M", "measure back", "Previous measure, or order of a table"),
    Action(
        "run",
        "reading",
        "x",
        "x",
        "reading",
        "Switch between value, chance level, excess and difference from the base",
        2,
    ),
    Action("run", "choose", "space", "space", "choose", "Find a model, task, … by typing", 3),
    *_steps("model", "model", "full_stop .", "comma ,", 3),
    *_steps("module", "module or group", "p p", "P P", 4),
    *_steps("layer", "layer", "greater_than_sign >", "less_than_sign <", 5),
    *_steps("task", "task", "right_parenthesis )", "left_parenthesis (", 6),
    *_steps("against", "task to compare with", "plus +", "asterisk *", 7),
    *_steps("setting", "setting", "i i", "I I", 8),
    *_steps("reference", "reference", "f f", "F F", 9),
    *_steps("probe", "probe set", "E E", "W W", 9),
    *_steps("metric_of", "metric", "u u", "U U", 10),
    *_steps("item", "item", "J J", "K K", 3),
    *_numbers("run", 9, "topic", ", then to its next tab"),
    Action("run", "tab(0)", "0", "0", "overview", "Go to the overview of the run"),
    Action("run", "next_tab", "tab", "tab", "next tab", "Go to the next tab", 14),
    Action(
        "run", "previous_tab", "shift+tab", "shift+tab", "previous tab", "Go to the previous tab"
    ),
    Action(
        "run", "drill", "enter", "enter", "details", "Open the details behind the value here", 4
    ),
    Action("run", "filter", "slash", "/", "filter", "Show only some models, layers and modules", 6),
    Action("run", "clip", "Y", "Y", "copy as", "Copy a value, a row or the whole table"),
    Action(
        "run", "export", "X", "X", "export", "Export this picture or the whole run to files", 12
    ),
    Action("run", "jump", "apostrophe", "'", "jump", "Jump to a tab or picture by its letter", 13),
    Action("run", "view", "v", "v", "view", "Next picture of this analysis", 11),
    Action("run", "zoom", "z", "z", "zoom", "Show one picture on the whole screen, and back", 12),
    Action("run", "bench", "V", "V", "bench", "Try the models of this study on a prompt", 12),
    Action("run", "write", "w", "w", "write", "Write this mix as a model's folder", 11),
    Action("run", "four", "Z", "Z", "four", "Show up to four pictures at once, and back"),
    Action("run", "log", "T", "T", "log", "Show the log of the worker", 14),
    Action("run", "cancel", "c", "c", "cancel", "Cancel this run", 13),
    Action("run", "resume", "r", "r", "resume", "Resume this run, or start it if it waits", 1),
    Action("run", "back", "escape,b", "esc b", "back", "Go back to where you came from", 15),
    Action("figure", "move(-1, 0)", "left,h", "← h", "left", "Move the cursor left"),
    Action("figure", "move(1, 0)", "right,l", "→ l", "right", "Move the cursor right"),
    Action(
        "figure",
        "move(0, -1)",
        "up,k",
        "↑ k",
        "up",
        "Move the cursor up, or to the previous series",
    ),
    Action(
        "figure",
        "move(0, 1)",
        "down,j",
        "↓ j",
        "down",
        "Move the cursor down, or to the next series",
    ),
    Action("figure", "ends(-1)", "home", "home", "first", "Go to the first column or layer"),
    Action("figure", "ends(1)", "end", "end", "last", "Go to the last column or layer"),
    *_pages("figure"),
    Action("figure", "dense", "e", "e", "overview", "Switch between numbers and the whole picture"),
    Action(
        "figure", "alone", "A", "A", "alone", "Show one line with base and controls, or all lines"
    ),
    Action("figure", "split", "S", "S", "apart", "Show a panel for each line, or all in one"),
    Action("figure", "copy", "y", "y", "copy", "Copy the readout"),
    Action("app", "help", "question_mark", "?", "help", "Show or close this help", 16),
    Action("app", "command_palette", "colon,ctrl+p", ": ctrl+p", "commands", "Find a command", 18),
    Action("app", "theme", "t", "t", "theme", "Switch between dark and light"),
    Action("app", "leave", "q", "q", "quit", "Quit; runs continue", 17),
    Action(
        "app", "suspend_process", "ctrl+z", "ctrl+z", "suspend", "Suspend to the shell; fg returns"
    ),
)

_OF_ONE_RUN = (
    "zoom", "four", "log", "bench", "write", "cancel", "resume", "drill", "filter", "tab(0)",
)  # fmt: skip
ACTIONS += (
    Action(
        "compare",
        "difference",
        "minus",
        "-",
        "difference",
        "Switch between both runs and B minus A",
        1,
    ),
    Action("compare", "side", "B", "B", "side", "Switch to the other run", 2),
    Action(
        "compare",
        "depth",
        "percent_sign",
        "%",
        "layers",
        "Match layers by relative depth, or by number",
        13,
    ),
    *(
        replace(action, where="compare")
        for action in ACTIONS
        if action.where == "run" and action.name not in _OF_ONE_RUN
    ),
)
"""The keys of a comparison: the keys of one run, except keys that act on the run itself or lead
elsewhere."""

ACTIONS += (
    Action("builder", "enter", "enter", "enter", "fill in", "Edit or open the selected line", 1),
    Action(
        "builder",
        "turn(1)",
        "right,l,space",
        "space → l",
        "choose",
        "Next choice, or switch on or off",
        2,
    ),
    Action("builder", "turn(-1)", "left,h", "← h", "choose back", "Previous choice"),
    Action("builder", "add", "a", "a", "add", "Add a tuned model, a probe set or a domain", 3),
    Action(
        "builder", "drop", "D", "D", "remove", "Remove the selected model, probe set or domain", 4
    ),
    Action("builder", "start", "s", "s", "start", "Write the study file and start it", 3),
    Action("builder", "write", "w", "w", "write", "Only write the study file", 4),
    Action("builder", "look", "R", "R", "look again", "Estimate the cost again", 6),
    Action(
        "builder",
        "next_tab",
        "tab",
        "tab",
        "next step",
        "Next step; complete a path while typing",
        5,
    ),
    Action("builder", "previous_tab", "shift+tab", "shift+tab", "previous step", "Previous step"),
    *_numbers("builder", 6, "step"),
    *_moves("builder", "line", "the first line", "the last line"),
    *_pages("builder", *["Scroll the study file or the check"] * 2),
    Action("builder", "anew", "N", "N", "new draft", "Delete this draft and begin a new one", 7),
    Action(
        "builder",
        "back",
        "escape,b",
        "esc b",
        "back",
        "Stop typing, or leave; the draft is saved",
        15,
    ),
    Action("bench", "enter", "enter", "enter", "type", "Edit the column, number or prompt here", 1),
    Action("bench", "turn(1)", "right,l", "→ l", "more", "Raise a number, or move right", 2),
    Action("bench", "turn(-1)", "left,h", "← h", "less", "Lower a number, or move left"),
    Action(
        "bench", "leap(1)", "shift+right", "shift+→", "much more", "Raise a number by a large step"
    ),
    Action(
        "bench", "leap(-1)", "shift+left", "shift+←", "much less", "Lower a number by a large step"
    ),
    *_moves("bench", "line", "the top of the column", "the bottom of the column"),
    Action("bench", "next_tab", "tab", "tab", "next", "Go to the next column or field", 6),
    Action(
        "bench",
        "previous_tab",
        "shift+tab",
        "shift+tab",
        "previous",
        "Go to the previous column or field",
    ),
    *_numbers("bench", 9, "column", "; blind: prefer its text"),
    Action(
        "bench", "switch", "space", "space", "on/off", "Switch a vector or a change on or off", 3
    ),
    Action("bench", "mode", "O", "O", "mode", "Switch between generating and scoring", 4),
    Action("bench", "measure(1)", "m", "m", "measure", "Next measure of the shading", 5),
    Action("bench", "measure(-1)", "M", "M", "measure back", "Previous measure of the shading"),
    Action("bench", "view", "v", "v", "view", "Switch between texts, logit lens and neurons", 7),
    Action("bench", "add", "a", "a", "add", "Add a column", 5),
    Action("bench", "double", "C", "C", "duplicate", "Duplicate this column", 9),
    Action("bench", "drop", "D", "D", "remove", "Remove this column", 8),
    Action("bench", "refer", "f", "f", "reference", "Compare the other columns with this one", 8),
    Action("bench", "settings", "i", "i", "setting", "Set length, temperature, seed, template", 6),
    Action("bench", "zoom", "z", "z", "zoom", "Show one column on the whole width, and back", 10),
    Action("bench", "blind", "H", "H", "blind", "Hide names and shuffle columns, or show names", 9),
    Action("bench", "open", "o", "o", "prompts", "Open prompts of a file, task or probe set", 11),
    Action("bench", "item(1)", "J", "J", "item", "Next prompt of the opened file, task or set", 11),
    Action(
        "bench",
        "item(-1)",
        "K",
        "K",
        "item back",
        "Previous prompt of the opened file, task or set",
    ),
    Action("bench", "copy", "y", "y", "copy", "Copy the text of this column", 12),
    Action(
        "bench", "keep", "ampersand", "&", "save", "Save the request and its answers in the run", 9
    ),
    Action("bench", "write", "w", "w", "write", "Write this mix as a model's folder", 11),
    Action(
        "bench",
        "point",
        "exclamation_mark",
        "!",
        "add point",
        "Start a run with this mix as a point",
        11,
    ),
    Action("bench", "cancel", "c", "c", "cancel", "Cancel the current request", 3),
    Action("bench", "resume", "r", "r", "resume", "Start the worker again", 1),
    Action("bench", "stop", "Q", "Q", "stop bench", "Stop the worker and free its memory", 12),
    Action("bench", "back", "escape,b", "esc b", "back", "Stop typing, or leave", 15),
    Action("prompt", "send", "enter", "enter", "run", "Run the prompt in every column", 1),
    Action("prompt", "line", "ctrl+j", "ctrl+j", "new line", "Begin a new line", 2),
    Action(
        "prompt",
        "past(-1)",
        "up",
        "↑",
        "earlier prompt",
        "Move up, or recall the previous prompt",
        3,
    ),
    Action(
        "prompt", "past(1)", "down", "↓", "later prompt", "Move down, or recall the next prompt"
    ),
    Action(
        "overview", "move(-1)", "up,left,k,h", "↑ ←", "up", "Select the previous card or finding"
    ),
    Action(
        "overview", "move(1)", "down,right,j,l", "↓ →", "down", "Select the next card or finding"
    ),
    *_pages("overview"),
    Action("overview", "ends(-1)", "home,g", "home g", "first", "Go to the first card"),
    Action("overview", "ends(1)", "end,G", "end G", "last", "Go to the last finding"),
    Action("facts", "down", "j", "j", "down", "Scroll the facts of a run down"),
    Action("facts", "up", "k", "k", "up", "Scroll the facts of a run up"),
    Action("filter", "clear", "escape", "esc", "all", "Clear the filter and close it"),
    Action("dialog", "close", "escape", "esc", "close", "Close the dialog without an answer"),
    Action("typing", "complete", "tab", "tab", "complete", "Complete the path or the name"),
    *_moves("models", "line"),
    Action("confirm", "yes", "y,enter", "y enter", "yes", "Answer yes"),
    Action("confirm", "no", "n,q", "n q", "no", "Answer no"),
    Action("help", "close", "q,question_mark", "q ?", "close", "Close the help"),
    Action("help", "down", "j", "j", "down", "Scroll the help down"),
    Action("help", "up", "k", "k", "up", "Scroll the help up"),
    Action("jump", "close", "apostrophe", "'", "close", "Cancel the jump"),
    *(
        Action("jump", f"go({n})", letter, "a to z", "go", "Go to the place of that letter")
        for n, letter in enumerate("asdfghjklqwertyuiopzxcvbnm", 1)  # nearest to the fingers first
    ),
    *_picks(
        "copy",
        ("v", "value", "Copy the value in words"),
        ("r", "row", "Copy its row as CSV"),
        ("c", "csv", "Copy the whole table as CSV"),
        ("m", "md", "Copy the whole table as Markdown"),
    ),
    *_picks(
        "export",
        ("s", "svg", "This figure as SVG"),
        ("p", "png", "This figure as PNG"),
        ("t", "txt", "This figure as text"),
        ("c", "csv", "Its values as CSV"),
        ("m", "md", "Its values as Markdown"),
        ("u", "parquet", "Its values as Parquet"),
        ("a", "run", "The whole run, in every format"),
    ),
    *(
        Action("pick", f"pick('{n}')", str(n), "1 to 9", "pick", "Choose the line of that number")
        for n in range(1, 10)
    ),
)


def relabelled(offered: Iterable[Action], labels: Mapping[str, str]) -> list[Action]:
    """The actions, with other labels where they do something more special, by action name."""
    return [replace(a, label=labels[a.name]) if a.name in labels else a for a in offered]


_BEFORE: dict[str, str] = {
    "run.choose": "ctrl+w",
    "run.select-model-1": "right_square_bracket", "run.select-model--1": "left_square_bracket",
    "run.select-module-1": "o", "run.select-module--1": "O",
    "run.select-layer-1": "right_curly_bracket", "run.select-layer--1": "left_curly_bracket",
    "run.select-against-1": "full_stop", "run.select-against--1": "comma",
    "run.select-setting-1": "greater_than_sign", "run.select-setting--1": "less_than_sign",
    "compare.difference": "d", "compare.side": "s", "compare.depth": "a",
    "builder.drop": "d", "builder.look": "r",
}  # fmt: skip
_BEFORE |= {f"compare.{i[4:]}": key for i, key in _BEFORE.items() if i.startswith("run.")}
_BEFORE |= {
    "run.four": "ctrl+f", "run.write": "ctrl+r", "runs.bench": "ctrl+t",
    "library.bench": "ctrl+t", "run.bench": "ctrl+t", "runs.stop": "ctrl+x", "bench.stop": "ctrl+x",
    "bench.mode": "ctrl+o", "bench.double": "ctrl+d", "bench.blind": "ctrl+n",
    "bench.keep": "ctrl+k", "bench.point": "ctrl+e", "bench.leap-1": "ctrl+right",
    "bench.leap--1": "ctrl+left",
}  # fmt: skip
"""The keys that actions had in earlier versions, or that a new one has instead, where a user's
settings of that time give its key to another action."""


def keymap(keys: Mapping[str, str]) -> dict[str, str]:
    """The keys of a user for every action: comparing takes those of one run that it shares,
    unless it is given others. An action whose key the user gave away before it had it takes its
    earlier one."""
    by_id = {action.id: action for action in ACTIONS}
    shared = {f"compare.{i.removeprefix('run.')}": k for i, k in keys.items() if i[:4] == "run."}
    chosen = {**{i: k for i, k in shared.items() if i in by_id}, **keys}
    while gone := [i for i in _BEFORE if i not in chosen and _is_taken(by_id[i], chosen)]:
        chosen |= {i: _BEFORE[i] for i in gone}  # which may take the key of yet another
    return chosen


def _is_taken(action: Action, given: Mapping[str, str]) -> bool:
    """Do these settings give its key to another action of the same place?"""
    near = {place for places in CONTEXTS if action.where in places for place in places}
    others = (each for each in ACTIONS if each.where in near and each.id in given)
    return any(action.keys in _split(given[each.id]) for each in others)


def _split(keys: str) -> list[str]:
    """Keys by Textual's names: `/` is `slash` there, and a user may write either."""
    parts = map(str.strip, keys.split(","))
    return [_character_to_key(key) if len(key) == 1 else key for key in parts]


_REBOUND: dict[str, str] = {}
"""The user's keys by action; a process has one user."""


def rebind(keys: Mapping[str, str]) -> None:
    """Have these actions written with the user's own keys from now on, all others with ours;
    `keys` are those of `keymap`.

    Raises StudyError for a key that there is none of, and where one key would then do two things
    in one place.
    """
    from app.config import path
    from core.errors import StudyError

    for action_id, given in keys.items():
        for key in map(str.strip, given.split(",")):
            if not _is_key(key):
                raise StudyError(
                    f"{path()}: '{plain(key)}' is not a key; it is set for {action_id}.",
                    hint='Write for example "x", "/", "ctrl+x" or "page down" as "pagedown".',
                )
    for places in CONTEXTS:
        taken: dict[str, str] = {}
        for action in (each for each in ACTIONS if each.where in places):
            for key in _split(keys.get(action.id, action.keys)):
                other = taken.setdefault(key, action.id)
                if other != action.id and {other, action.id} & keys.keys():
                    raise StudyError(
                        f"The key '{key}' would be both {other} and {action.id}.",
                        hint=f"Give one of them another key in {path()}.",
                    )
    _REBOUND.clear()
    _REBOUND.update(keys)


def _is_key(key: str) -> bool:
    """Is this Textual's name of a key that terminals send?"""
    name = re.sub(r"^((ctrl|shift|alt|super|meta|hyper)\+)+", "", key)
    return name in _NAMED or (len(name) == 1 and name.isprintable() and not name.isspace())


_NAMED = frozenset(
    {each.value for each in Keys} | {_character_to_key(chr(code)) for code in range(33, 127)}
) - {each.value for each in Keys if each.value.startswith("<")}
"""Keys that have a name: those of a terminal, and the signs of ASCII."""


def actions(*places: Where) -> tuple[Action, ...]:
    """The actions of these places, in the order of the registry, with the keys of the user."""
    return tuple(_own(action) for action in ACTIONS if action.where in places)


def _own(action: Action) -> Action:
    keys = _REBOUND.get(action.id)
    return action if keys is None else replace(action, shown=keys.replace(",", " "))


def written(action_id: str) -> str:
    """The first key of an action, as written for people."""
    (action,) = (_own(each) for each in ACTIONS if each.id == action_id)
    return action.key


def with_keys(words: str) -> str:
    """A text with the first key of each action whose id stands in braces, such as {runs.open}."""
    return re.sub(r"\{(\w+\.[\w-]+)\}", lambda match: written(match[1]), words)


_FIRST = {"next_tab", "previous_tab", "complete", "clear", "close", "send"}
"""Actions whose keys act before the focused input sees them."""


def bindings(where: Where) -> list[BindingType]:
    """The key bindings of a place; those of the app act on every screen."""
    return [
        Binding(
            action.keys,
            action.name,
            action.help,
            show=False,
            id=action.id,
            priority=action.name in _FIRST,
        )
        for action in actions(where)
    ]
