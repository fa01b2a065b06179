"""Building a study step by step: the typed values, the study file, and its cost.

Owns the draft while it is on the screen. app.tui.pages fills the pages, app.drafts.building gives a
draft its meaning, and another process computes the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from app.drafts import building, studyfile
from app.drafts.building import DOMAINS, PROBES, TUNED, Draft
from app.text import plain
from app.tui import pages
from app.tui.data import DataSource
from app.tui.keys import Action, bindings, with_keys
from app.tui.memory import Memory, draft_of
from app.tui.pages import CHECK, MODELS, PROBE, STEPS, TASKS, Item
from app.tui.screens.confirm import ConfirmScreen
from app.tui.screens.help import Topic
from app.tui.screens.launch import DraftScreen
from app.tui.screens.models import ModelsScreen
from app.tui.threads import in_thread
from app.tui.widgets.bar import Row, two_ends
from app.tui.widgets.form import Form
from app.tui.widgets.outlook import Outlook
from app.tui.widgets.study_text import StudyText
from app.tui.widgets.tab_bar import Tab, tabs_line
from core.errors import TauscopeError

if TYPE_CHECKING:
    from app.library.catalogue import Entry

TYPING = (
    "Enter starts and ends typing; tab completes. Escape also ends it and keeps the text.",
    "Separate the parts of a list by commas or spaces; points such as a=1,b=2 by spaces only.",
)
LISTS = (f"{TUNED}.", f"{DOMAINS}.", f"{PROBES}.")
"""The beginnings of the keys whose entries may be dropped."""

TYPED = {"enter": "done", "next_tab": "complete", "back": "done"}
"""The labels of the keys that act while a field is edited."""

BACK = "This is your last draft. {builder.anew} begins a new one."


class BuilderScreen(DraftScreen):
    """Steps and a form over a draft, which is kept when the screen is left."""

    PLACE = "builder"
    BINDINGS = bindings("builder")
    DEFAULT_CSS = """
    BuilderScreen > #steps { background: $surface; }
    BuilderScreen #sides { height: 1fr; }
    BuilderScreen #page { width: 1fr; }
    BuilderScreen #about { height: 2; padding: 0 1; color: $muted; }
    BuilderScreen #outlook { padding: 0 1; border-top: solid $line; display: none; }
    BuilderScreen.-check Form { height: auto; max-height: 50%; }
    BuilderScreen.-check #outlook { display: block; height: 1fr; }
    BuilderScreen #help { height: 3; padding: 0 1; border-top: solid $line; }
    BuilderScreen #side { display: none; width: 46%; border-left: vkey $line; padding: 0 1; }
    BuilderScreen #side { scrollbar-gutter: stable; }
    BuilderScreen.-wide #side { display: block; }
    BuilderScreen VerticalScroll { scrollbar-size-vertical: 1; }
    """

    def __init__(
        self, source: DataSource, base: str | None = None, tuned: Sequence[str] = ()
    ) -> None:
        """Begins with these models, else with the unfinished draft."""
        super().__init__(source, building.begun(base, tuned))
        self.step = MODELS
        self.faults: dict[str, str] = {}
        self.entries: tuple[Entry, ...] | None = None
        self._resumes = base is None
        self._opened: set[str] = set()
        self._places: dict[int, str] = {}
        self._edited, self._before = "", self.draft
        """The key of the field edited last, and the draft before: on its way to a new name a model
        may have another's, whose children keep their parent."""

    def body(self) -> ComposeResult:
        """The steps, the page of one step, the study file, and the help of the selected line."""
        yield Row(self._steps, id="steps")
        with Horizontal(id="sides"):
            with Vertical(id="page"):
                yield Static("", id="about", markup=False)
                yield Form(id="form")
                yield Outlook(id="outlook")
            yield StudyText(id="side")
        yield Static("", id="help", markup=False)

    async def on_mount(self) -> None:
        draft = draft_of(self.home.memory)
        if draft is not None and self._resumes:
            self.draft = draft
            self.notify(with_keys(BACK), timeout=5, markup=False)
        elif draft is not None:
            self._ask_which(draft)
        self.form.focus()
        await self._fill()
        in_thread(self, self._scan, self._scanned, group="scan")

    def _ask_which(self, draft: Draft) -> None:
        """Ask whether to continue the unfinished draft or drop it for the given models."""

        async def answered(yes: bool | None) -> None:
            if not yes:
                self._resumes = True
                await self._change(draft)

        name = plain(building.value(draft, "name") or "without a name")
        question = f"Delete the unfinished draft {name[:60]}, and begin with these models?"
        self.app.push_screen(ConfirmScreen(question), answered)

    def _scan(self) -> tuple[Entry, ...]:
        from app import config
        from app.library import catalogue
        from app.tui.holdings import of_runs

        folders: list[str] = []
        with suppress(TauscopeError):  # the library says what is wrong with the settings
            folders = config.read().folders  # of now: the library adds some
        return catalogue.scan([*map(Path, folders), *of_runs(self.source)])

    def _scanned(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        if not self._resumes:
            self.call_later(self._relate, {e.name: e.parents for e in entries})
        if isinstance(self.app.screen, ModelsScreen):
            self.app.screen.fill(entries)
        self._say_help(self.form.current)

    async def _relate(self, parents: Mapping[str, Sequence[str]]) -> None:
        """Fill in the parents of the given models once they are known, unless the draft was
        replaced."""
        if not self._resumes:
            await self._change(building.related(self.draft, parents))

    @property
    def form(self) -> Form:
        """The lines of the page."""
        return self.query_one(Form)

    @property
    def base(self) -> str:
        """The path of the draft's base."""
        return building.value(self.draft, "models.base.path")

    # Memory and help

    def placed(self, memory: Memory) -> Memory:
        """The memory with this draft, or without one if it is empty."""
        draft = None if self.draft == Draft() else self.draft.model_dump()
        return memory.model_copy(update={"draft": draft})

    def topics(self) -> Sequence[Topic]:
        """The help of the step, and the notation of lists."""
        about = with_keys(pages.ABOUT[self.step])
        return (
            Topic(f"Step {self.step + 1}: {STEPS[self.step]}", (about,)),
            Topic("Typing", TYPING),
        )

    # Changing

    async def _change(self, draft: Draft, select: str | None = None) -> None:
        if draft != self.draft:
            self.draft = self._before = draft
            await self._fill(select)

    async def _fill(self, select: str | None = None) -> None:
        """Show the page of the step, the faults, the file and the cost of the draft."""
        self.faults = building.faults(self.draft)
        items = pages.items(self.step, self.draft, self.faults, self._opened)
        self.set_class(self.step == CHECK, "-check")
        self.query_one("#about", Static).update(Content(with_keys(pages.ABOUT[self.step])))
        await self.form.fill(items, select or self._places.get(self.step))
        parts = () if self.step == MODELS else pages.SECTIONS[self.step]
        self.query_one(StudyText).show(studyfile.written(self.draft), parts)
        self.renew()
        if self.step != CHECK or self.faults:
            self.query_one(Outlook).stop()
        elif self.query_one(Outlook).draft != self.draft:
            self.action_look()

    async def on_form_typed(self, message: Form.Typed) -> None:
        """Change the draft with every typed letter."""
        here = message.key == self._edited
        before = self._before if here else self.draft  # else it is a late letter of another field
        self.draft = building.changed(before, message.key, message.words.strip())
        self._before = before if here else self.draft
        await self._fill()

    def on_form_selected(self, message: Form.Selected) -> None:
        item = message.item
        if item is not None:
            self._places[self.step] = item.key
        self._say_help(item)
        self.renew("keys")

    async def on_form_acted(self, message: Form.Acted) -> None:
        await self.action_enter()

    def _say_help(self, item: Item | None) -> None:
        lines = item.help.split("\n") if item else []
        if item is not None and item.key == "add" and self.step == MODELS:
            lines.append(self._related())
        self.query_one("#help", Static).update(Content("\n".join(plain(each) for each in lines)))

    def _related(self) -> str:
        """How many models of this machine say that they were made from the base."""
        from app.library.catalogue import children

        near = children(self.entries or (), self.base) if self.base else ()
        left = [e for e in near if e.name not in {m["path"] for m in self.draft.tuned}]
        return f"{len(left)} on this machine name the base as their parent." if left else ""

    # Actions

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the keys of the builder have anything to act on."""
        item = self.form.current
        match need:
            case "a line":
                return item is not None
            case "options":
                return item is not None and (bool(item.options) or item.kind == "switch")
            case "a list":
                return self.step in (MODELS, PROBE, TASKS)
            case "a part of a list":
                return item is not None and item.key.startswith(LISTS)
            case "no faults":
                return self.step == CHECK and not self.faults
            case "a next step":
                return self.step != CHECK or self.form.editing is not None
            case "a draft":
                return self.draft != Draft()
        return super().has(need, parameters)

    async def action_enter(self) -> None:
        """Open, edit or choose, as the selected line needs."""
        item = self.form.current
        if item is None:
            return
        if item.kind == "model":
            self._pick(item)
        elif item.kind == "add":
            await self.action_add()
        elif item.kind == "options":
            await self.action_turn(1)
        elif item.kind == "fault":
            await self._go(item.step, item.key)
        elif item.kind == "text":
            await self._edit(item.key)
        else:
            self._opened ^= {item.key}
            await self._fill()

    async def action_turn(self, by: int) -> None:
        """Choose the next or last of the options, or switch an analysis on and off."""
        item = self.form.current
        if item is None:
            return
        if item.kind == "switch":
            await self._change(building.toggled(self.draft, item.key.removeprefix("analyses.")))
        elif item.options:
            chosen = item.words or item.otherwise
            index = item.options.index(chosen) if chosen in item.options else 0
            words = item.options[(index + by) % len(item.options)]
            none = {"probe": "none"}.get(item.key, item.otherwise)
            held = "" if words == none else words
            await self._change(building.changed(self.draft, item.key, held))

    async def action_add(self) -> None:
        """One more tuned model, probe set or domain."""
        if self.step == PROBE:
            draft = building.with_probe(self.draft)
            await self._open(draft, f"{PROBES}.{len(draft.probes) - 1}", "texts")
            return
        if self.step == TASKS:
            draft = building.with_domain(self.draft)
            await self._open(draft, f"{DOMAINS}.{len(draft.domains) - 1}", "tasks")
            return
        taken = {model["path"] for model in self.draft.tuned}

        async def picked(path: str | None) -> None:
            if path:
                parents = next((e.parents for e in self.entries or () if e.name == path), ())
                draft = building.with_model(self.draft, path, parents)
                await self._change(draft, f"{TUNED}.{len(draft.tuned) - 1}")

        title = "add a tuned model"
        self.app.push_screen(ModelsScreen(title, self.entries, base=self.base, taken=taken), picked)

    async def _open(self, draft: Draft, key: str, field: str) -> None:
        """Take a draft with a new part, open the part and edit its field."""
        self._opened.add(key)
        await self._change(draft, f"{key}.{field}")
        await self._edit(f"{key}.{field}")

    async def _edit(self, key: str) -> None:
        """Edit the selected line, which has this key."""
        self._edited, self._before = key, self.draft
        await self.form.edit(pages.completer(key, self.draft))

    def _pick(self, item: Item) -> None:
        base = "" if item.key == "models.base.path" else self.base

        async def picked(path: str | None) -> None:
            if path:
                await self._change(building.changed(self.draft, item.key, path))

        screen = ModelsScreen(f"choose: {item.label}", self.entries, base=base, typed=item.words)
        self.app.push_screen(screen, picked)

    async def action_drop(self) -> None:
        """Take the selected model or domain out of the study."""
        item = self.form.current
        if item is not None:
            self._opened = {key for key in self._opened if not key.startswith(LISTS)}
            await self._change(building.without(self.draft, item.key))

    async def action_move(self, by: int) -> None:
        """Select the line above or below; this ends an edit."""
        await self.form.rest()
        self.form.move(by)

    def action_ends(self, way: int) -> None:
        """Select the first or the last line."""
        self.form.move(way * 1_000_000)

    def action_page(self, way: int) -> None:
        """Scroll the study file or the cost."""
        for scroll in self.query("#outlook, #side").results(VerticalScroll):
            (scroll.scroll_page_down if way > 0 else scroll.scroll_page_up)(animate=False)

    async def action_tab(self, number: int) -> None:
        """Go to the step of this number."""
        if number <= len(STEPS):
            await self._go(number - 1)

    async def action_next_tab(self) -> None:
        """Complete the typed word, else go to the next step."""
        if self.form.editing is not None:
            self.form.complete(pages.completer(self.form.editing, self.draft))
        else:
            await self._go(min(self.step + 1, CHECK))

    async def action_previous_tab(self) -> None:
        """Go to the step before."""
        await self._go(max(self.step - 1, 0))

    async def _go(self, step: int, key: str | None = None) -> None:
        """Show a step, with the line of this key, or of the part that holds it, selected."""
        await self.form.rest()
        self.form.at, self.step = 0, step
        if key is not None:
            self._opened |= {key.rpartition(".")[0]}
            keys = [i.key for i in pages.items(step, self.draft, self.faults, self._opened)]
            self._places[step] = max((k for k in keys if key.startswith(k)), key=len, default="")
        await self._fill()

    def action_anew(self) -> None:
        """Begin a new draft, once that is confirmed."""
        if self.draft != Draft():
            self.if_so("Delete this draft and begin a new one?", self._begin_anew)

    async def _begin_anew(self) -> None:
        self._opened.clear()
        self._places.clear()
        self.step = MODELS
        await self._change(Draft())

    async def action_back(self) -> None:
        """End the edit, else leave. The draft is kept."""
        if self.form.editing is not None:
            await self.form.rest()
        else:
            self.leave(None)

    # Rows

    def title_line(self, width: int) -> Content:
        """The name and the state of the study."""
        name = building.value(self.draft, "name") or "a new study"
        wrong = len(self.faults)
        if self.draft == Draft():
            state = []
        elif wrong:
            state = [(f"{wrong} {'problem' if wrong == 1 else 'problems'} ", "$warning")]
        elif self.refused:
            state = [("✗ would fail ", "$error")]
        elif self.passed:
            state = [("✓ ready ", "$success")]
        else:
            state = [(f"✓ complete, {CHECK + 1} checks it ", "$success")]
        return two_ends([(" tauscope ", "$muted"), (name, "bold")], state, width)

    def _steps(self, width: int) -> Content:
        titles = [f"{title}{self._mark(step)}" for step, title in enumerate(STEPS)]
        return tabs_line([Tab(title, title) for title in titles], self.step, width)

    def _mark(self, step: int) -> str:
        """The sign of a step: faults or filled; none for an empty step that may stay empty."""
        if step == CHECK:
            return " !" if self.refused and not self.faults else ""
        if self.draft == Draft():
            return ""
        if pages.blamed(self.faults, step):
            return " !"
        return " ✓" if pages.filled(self.draft, step) else ""

    def offered(self) -> list[Action]:
        """While a field is edited all other keys are letters."""
        typing = self.form.editing is not None
        return [each for each in super().offered() if not typing or each.name in TYPED]

    def labels(self) -> dict[str, str]:
        """The labels of the keys while a field is edited."""
        return TYPED if self.form.editing is not None else {}
