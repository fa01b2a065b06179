"""The registry of actions: one key does one thing in a place, and the bottom line always fits."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from typing import get_args

import pytest
from rich.cells import cell_len
from textual.actions import parse
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode
from textual.widgets import Input, Static

import app.tui
from app.config import Config
from app.tui import pages, snapshot
from app.tui.app import TauscopeApp
from app.tui.keys import (
    ACTIONS,
    CONTEXTS,
    IN_DIALOGS,
    Action,
    Where,
    actions,
    bindings,
    keymap,
    rebind,
    with_keys,
)
from app.tui.screens import bench, builder, library
from app.tui.screens.confirm import ConfirmScreen
from app.tui.screens.jump import JumpScreen
from app.tui.screens.pick import PickScreen
from app.tui.screens.run import RunScreen
from app.tui.screens.runs import RunsScreen
from app.tui.screens.start import StartScreen
from app.tui.snapshot import Snapshot
from app.tui.widgets.bar import keys_line, two_ends
from app.tui.widgets.filter_line import FilterLine
from app.tui.widgets.run_list import RunList
from core.errors import StudyError
from storage.database import Database
from tests.app.tui.rest import until

PLACES: tuple[tuple[Where, ...], ...] = (
    ("runs", "app"),
    ("run", "figure", "app"),
    ("compare", "figure", "app"),
    ("library", "app"),
    ("builder", "app"),
    ("bench", "app"),
)


@pytest.mark.parametrize("places", CONTEXTS)
def test_no_key_does_two_things(places: tuple[Where, ...]) -> None:
    keys = Counter(key for action in actions(*places) for key in action.keys.split(","))
    assert [key for key, count in keys.items() if count > 1] == []


ALTGR = set("[]{}@\\|~^`#€")
"""Characters that some keyboard has only with a third key, or as a dead one."""


def test_every_key_is_on_every_keyboard() -> None:
    signs = {sign for action in ACTIONS for sign in action.shown}
    assert not signs & ALTGR


SEVERAL = {
    "enter": "goes on with what is selected",
    "space": "chooses: a mark, a part of a study, a value of a picture",
    "escape": "goes back; a list first drops what narrows it",
    "right": "goes in or to the right, as in every list and figure",
    "left": "goes out or to the left",
    "l": "as right",
    "h": "as left",
    "b": "as escape",
    "o": "opens something that is not the selected row: a study file, a model's run",
    "k": "goes up",
    "j": "goes down",
    "up": "goes up",
    "down": "goes down",
    "pageup": "goes a page up",
    "pagedown": "goes a page down",
    "home": "goes to the first",
    "end": "goes to the last",
    "g": "as home",
    "G": "as end",
    "D": "takes away: a run, or a part of a study",
    "tab": "goes on to the next tab, step or field",
    "shift+tab": "goes back to the one before",
    **{str(n): "goes to the tab, step or column of that number" for n in range(1, 10)},
}
"""Keys that have several labels, and the one meaning of each. The letters of a dialog are answers
that it lists, and are left out."""


def test_a_key_has_one_meaning_over_all_screens() -> None:
    labels: dict[str, set[str]] = {}
    for action in ACTIONS:
        if action.where not in IN_DIALOGS:
            for key in action.keys.split(","):
                labels.setdefault(key, set()).add(action.label)
    several = {key for key, names in labels.items() if len(names) > 1}
    assert several <= set(SEVERAL), {key: labels[key] for key in several - set(SEVERAL)}


@pytest.mark.parametrize(
    "keys",
    [
        {"run.view": "p"}, {"run.export": "space"}, {"figure.copy": "i"}, {"compare.side": "plus"},
        {"run.select-model-1": "right_square_bracket"}, {"builder.add": "D"},
        {"run.zoom": "full_stop,comma"}, {"app.theme": "V"}, {"app.leave": "Z,O,C,H"},
    ],
)  # fmt: skip
def test_settings_from_before_a_key_moved_are_taken(keys: dict[str, str]) -> None:
    try:
        rebind(keymap(keys))
    finally:
        rebind({})
    assert keys.items() <= keymap(keys).items()


def test_every_place_has_a_context() -> None:
    assert {place for places in CONTEXTS for place in places} == set(get_args(Where))


def _ours() -> Iterator[type[DOMNode]]:
    """Every class of the workstation that can have keys."""
    for module in pkgutil.walk_packages(app.tui.__path__, "app.tui."):
        importlib.import_module(module.name)
    classes = [DOMNode]
    for each in classes:
        classes += [c for c in each.__subclasses__() if c not in classes]
    yield from (c for c in classes if c.__module__.startswith("app.tui"))


def test_every_key_is_in_the_registry() -> None:
    registered = {(a.id, a.keys, a.name) for a in ACTIONS}
    outside = set()
    for each in _ours():
        for name in vars(each):
            if name in ("on_key", "_on_key") or name.startswith(("key_", "_key_")):
                outside.add(f"{each.__name__}.{name}")
        for binding in each.__dict__.get("BINDINGS", ()):
            known = isinstance(binding, Binding) and (
                (binding.id, binding.key, binding.action) in registered
            )
            if not known:
                outside.add(f"{each.__name__}: {binding}")
    # These take the registry's letters in their order, so that later ones act on no other screen.
    # The prompt takes escape and a letter that come as one key apart. A line acts on its own keys
    # in their order. A screen of pictures only says why a bound key can't act.
    allowed = {"JumpScreen.on_key", "PickScreen.on_key", "PromptArea.on_key", "PlainInput.on_key"}
    assert outside == allowed | {"TabbedScreen.on_key"}


UNREGISTERED = {
    "RunsScreen.action_select": "a letter beside a run (JumpScreen)",
    "TabbedScreen.action_pick": "a letter on a picture (JumpScreen)",
    "TabbedScreen.action_turn_to": "a letter on a tab (JumpScreen), or a click on it",
    "TauscopeApp.action_quit": "Textual's own name for leaving",
}
"""Actions without a key, and why."""


def _declaring() -> Iterator[tuple[type[DOMNode], Action]]:
    """Each class that declares actions as its keys, with each of these."""
    by_id = {action.id: action for action in ACTIONS}
    for each in _ours():
        for binding in each.__dict__.get("BINDINGS", ()):
            yield each, by_id[binding.id]
    for action in actions("copy", "export", "pick"):  # which a choice takes as it is made
        yield PickScreen, action


def test_every_action_has_a_method_that_takes_its_arguments() -> None:
    """Where a class declares it, or in a kind of that class: only some figures can be dense."""
    ours, declared = list(_ours()), set()
    for each, action in _declaring():
        _, name, arguments = parse(action.name)
        methods = [getattr(c, f"action_{name}", None) for c in ours if issubclass(c, each)]
        implemented = [method for method in methods if method is not None]
        assert implemented, f"{each.__name__} has no action_{name}"
        for method in implemented:
            inspect.signature(method).bind(each, *arguments)
        declared.add(action)
    assert declared == set(ACTIONS)


def test_every_action_method_is_registered() -> None:
    registered = {
        (kind, parse(action.name)[1]) for each, action in _declaring() for kind in (each, *_ours())
        if issubclass(kind, each) or issubclass(each, kind)
    }  # fmt: skip
    methods = {
        f"{each.__name__}.{name}": (each, name.removeprefix("action_"))
        for each in _ours()
        for name in vars(each)
        if name.startswith("action_")
    }
    assert len(methods) > 50
    assert {name for name, method in methods.items() if method not in registered} == set(
        UNREGISTERED
    )


def test_ids_are_unique() -> None:
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


def test_every_action_has_its_binding() -> None:
    for where in get_args(Where):
        assert {b.id for b in bindings(where)} == {a.id for a in actions(where)}  # type: ignore[union-attr]


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
@pytest.mark.parametrize("places", PLACES)
def test_the_bottom_line_fits_and_keeps_the_way_out(places: tuple[Where, ...], width: int) -> None:
    line = keys_line(actions(*places), width).plain
    assert cell_len(line) <= width
    assert "help" in line
    assert width < 30 or "quit" in line


def test_the_right_end_of_a_row_is_kept() -> None:
    row = two_ends([("a long name of a study", "")], [("41 %", "")], 16)
    assert row.plain.endswith("41 %")
    assert cell_len(row.plain) == 16


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_can_be_given_another_key(action: Action) -> None:
    bound = BindingsMap(bindings(action.where))
    bound.apply_keymap({action.id: "ctrl+y"})
    assert next(b.action for b in bound.get_bindings_for_key("ctrl+y")) == action.name
    for key in action.keys.split(","):
        assert not any(b.id == action.id for b in bound.key_to_bindings.get(key, []))
    try:
        rebind({action.id: "ctrl+y"})
        (renamed,) = (a for a in actions(action.where) if a.id == action.id)
        assert renamed.shown == "ctrl+y"
    finally:
        rebind({})


def test_one_setting_is_for_one_run_and_for_two() -> None:
    both = keymap({"run.measure-1": "ctrl+y", "run.export": "E"})
    assert both == {
        "run.measure-1": "ctrl+y", "compare.measure-1": "ctrl+y",
        "run.export": "E", "compare.export": "E",
    }  # fmt: skip
    apart = keymap({"run.measure-1": "ctrl+y", "compare.measure-1": "ctrl+z"})
    assert apart == {"run.measure-1": "ctrl+y", "compare.measure-1": "ctrl+z"}
    assert keymap({}) == {}


@pytest.mark.parametrize(
    "keys",
    [
        {"run.view": "m"}, {"figure.copy": "q"}, {"app.leave": "n"}, {"figure.copy": "z"},
        {"run.view": "/"}, {"run.view": "slash"}, {"bench.view": "?"},
    ],
)  # fmt: skip
def test_a_key_for_two_things_is_refused(keys: dict[str, str]) -> None:
    with pytest.raises(StudyError, match="would be both"):
        rebind(keys)


@pytest.mark.parametrize("key", ["notakey", "h h", "[red]x", "\x1b]52;c;x\x07", "x,"])
def test_a_key_that_there_is_none_of_is_refused(key: str) -> None:
    with pytest.raises(
        StudyError, match=r"config\.toml: '.*' is not a key; it is set for app"
    ) as no:
        rebind({"app.help": key})
    assert "\x1b" not in no.value.title


async def test_the_settings_of_the_user_are_taken(filled: Database) -> None:
    workstation = TauscopeApp(filled.url, Config(theme="light", keys={"app.leave": "O"}))
    try:
        async with workstation.run_test() as pilot:
            assert workstation.theme == "tauscope-light"
            await pilot.press("q")
            assert workstation.is_running
            await pilot.press("O")
            assert workstation._exit
    finally:
        rebind({})


def test_texts_name_the_keys_of_the_user() -> None:
    texts = [
        snapshot.EMPTY,
        snapshot.NO_MATCH,
        library.EMPTY,
        builder.BACK,
        bench.HINT,
        pages.OPENS,
    ]
    named = re.findall(r"\{(\w+\.[\w-]+)\}", "".join([*texts, *pages.ABOUT]))
    assert len(named) > len(texts)
    try:
        for each in named:
            rebind({each: "ctrl+y"})
            assert with_keys(f"press {{{each}}}") == "press ctrl+y"
        rebind({"runs.build": "ctrl+y"})
        assert "`ctrl+y`               build a study" in Snapshot().instead
    finally:
        rebind({})
    assert "`n`               build a study" in Snapshot().instead


async def test_dialogs_lists_and_the_filter_take_keys_of_the_user(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "dialog.close": "ctrl+y", "confirm.yes": "w", "confirm.no": "W", "runs.move-1": "v",
        "filter.clear": "ctrl+y", "typing.complete": "ctrl+t", "copy.pick-csv": "w",
        "jump.go-2": "Z",
    }  # fmt: skip
    workstation = TauscopeApp(filled.url, Config(keys=given))
    try:
        async with workstation.run_test() as pilot:
            await until(pilot, lambda: bool(workstation.screen.query(RunList)))
            await until(pilot, lambda: workstation.screen.query_one(RunList).current is not None)
            first = workstation.screen.query_one(RunList).current
            await pilot.press("j")
            assert workstation.screen.query_one(RunList).current == first
            await pilot.press("v")
            assert workstation.screen.query_one(RunList).current != first

            answers: list[bool | None] = []
            for old, new in (("y", "w"), ("n", "W"), ("escape", "ctrl+y")):
                workstation.push_screen(ConfirmScreen("Sure?"), answers.append)
                await until(pilot, lambda: isinstance(workstation.screen, ConfirmScreen))
                await pilot.press(old)
                assert isinstance(workstation.screen, ConfirmScreen)
                await pilot.press(new)
                await until(pilot, lambda: isinstance(workstation.screen, RunsScreen))
            assert answers == [True, False, False]

            await pilot.press("o")
            await until(pilot, lambda: isinstance(workstation.screen, StartScreen))
            await pilot.press("escape")
            assert isinstance(workstation.screen, StartScreen)
            await pilot.press("ctrl+y")
            await until(pilot, lambda: isinstance(workstation.screen, RunsScreen))

            await pilot.press("enter")
            await until(pilot, lambda: isinstance(workstation.screen, RunScreen))
            await pilot.press("1")
            await until(pilot, lambda: workstation.screen.check_action("filter", ()) is True)
            shown = workstation.screen
            copied: list[str] = []
            monkeypatch.setattr(workstation, "copy_to_clipboard", copied.append)
            await pilot.press("Y")
            await until(pilot, lambda: isinstance(workstation.screen, PickScreen))
            assert "w  Copy the whole table as CSV" in [
                str(line.render()) for line in workstation.screen.query(Static)
            ]
            await pilot.press("c")
            assert isinstance(workstation.screen, PickScreen)
            await pilot.press("w")
            await until(pilot, lambda: workstation.screen is shown and copied)
            await pilot.press("apostrophe")
            await until(pilot, lambda: isinstance(workstation.screen, JumpScreen))
            await pilot.press("s")
            assert isinstance(workstation.screen, JumpScreen)
            await pilot.press("Z")
            await until(pilot, lambda: workstation.screen is shown)
            assert isinstance(shown, RunScreen)
            await until(pilot, lambda: shown.tab == 0)
            await pilot.press("slash")
            line = workstation.screen.query_one(FilterLine)
            await until(pilot, lambda: line.writing)
            await pilot.press("m", "o")
            await pilot.press("ctrl+t")
            assert line.query_one(Input).value == "model:"
            await pilot.press("ctrl+y")
            assert not line.writing
    finally:
        rebind({})
