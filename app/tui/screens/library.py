"""The library: the models on this machine as a tree of lineage, and the facts of each.

Models show as soon as they are found. Reads no file itself: see app.tui.holdings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static
from textual.worker import get_current_worker

from app import config
from app.render.terminal.lines import cut
from app.results import wording
from app.text import plain
from app.tui.data import DataSource
from app.tui.holdings import Holdings, look, with_runs
from app.tui.keys import bindings, with_keys
from app.tui.screens.choose import ChooseScreen
from app.tui.screens.help import Topic
from app.tui.screens.listed import ListScreen
from app.tui.screens.pick import PickScreen
from app.tui.steering import Offer
from app.tui.widgets.bar import Row, two_ends
from app.tui.widgets.model_detail import Relations, brief, full
from app.tui.widgets.model_list import (
    ADAPTER,
    BASE,
    ELSEWHERE,
    READABLE,
    TUNED,
    UNREADABLE,
    ModelList,
    contains,
    narrowed,
)

EMPTY = """\
No models found. Searched folders:

{places}

`hf download Qwen/Qwen2.5-7B`   fills the Hugging Face cache
`{library.add}`                             adds a folder of your own to the settings
    {settings}

A model is a folder with config.json and weights, or with a LoRA adapter.
Named folders are searched {depth} levels deep. `{library.rescan}` looks again, \
`{library.back}` goes back."""
NO_MATCH = "No model matches the filter; {library.filter} changes it."
"""Words between backticks are keys and texts to type, words in braces the ids of actions."""

WHICH = "open which run?"
PICKED = 9
"""The most runs that are picked by number."""
ROOM = 42
"""Columns of a run's name and state where it is picked by number."""
SETTINGS = 2.0
"""Seconds between two readings of the settings."""

_LINEAGE = """\
Each model is listed under the parent that its card, an adapter's settings or (less reliable) \
config.json names. Sizes, parameters and dtypes come from files and their headers; no tensor was \
read."""
_SIGNS = (
    f"{READABLE} can be read   {ADAPTER} an adapter   {UNREADABLE} can't be read   {ELSEWHERE} not "
    "here, but named as a parent"
)
_MARKS = f"Marks: {BASE} the base of a new study, {TUNED} a model tuned from it."
ABOUT = Topic("Reading the tree", (_LINEAGE, _SIGNS, _MARKS))


class LibraryScreen(ListScreen):
    """Lists the models; begins studies with them, and leads to the runs that use them."""

    PLACE = "library"
    OF = "models"
    BINDINGS = bindings("library")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    DEFAULT_CSS = """
    LibraryScreen > #notes { color: $warning; }
    LibraryScreen > Horizontal { height: 1fr; }
    LibraryScreen ModelList { width: 3fr; }
    LibraryScreen #facts {
        width: 2fr; padding: 0 2; border-left: solid $line; scrollbar-size-vertical: 1;
    }
    LibraryScreen > #brief { height: 5; padding: 0 1; border-top: solid $line; }
    LibraryScreen.-wide > #brief, LibraryScreen.-nothing > #brief { display: none; }
    LibraryScreen.-nothing #facts { display: none; }
    LibraryScreen.-narrow #facts { display: none; }
    LibraryScreen.-narrow.-opened #facts { display: block; width: 1fr; border-left: none; }
    LibraryScreen.-narrow.-opened ModelList { display: none; }
    LibraryScreen.-narrow.-opened > #brief { display: none; }
    """

    def __init__(self, source: DataSource) -> None:
        super().__init__(source)
        self.holdings = Holdings()
        self._settings = 0.0

    def body(self) -> ComposeResult:
        """The tree, all or some facts of the selected model, and the filter."""
        yield Row(self._notes, id="notes")
        with Horizontal():
            yield ModelList(id="models")
            with VerticalScroll(id="facts", can_focus=False):
                yield Static("", markup=False)
        yield Static("", id="brief", markup=False)
        yield self.box()

    def on_mount(self) -> None:
        self.query_one("#notes").display = False
        self.listing.empty = "Looking for models…"
        self.listing.focus()
        self.call_after_refresh(self.action_rescan)
        self.set_interval(SETTINGS, self._heed_settings)

    @property
    def listing(self) -> ModelList:
        """The tree."""
        return self.query_one(ModelList)

    # Looking

    def action_rescan(self) -> None:
        """Search for models again; the shown models stay until the search ends."""
        self.holdings = replace(self.holdings, done=False)
        self.renew("title")
        self._settings = _changed(config.path())
        self._in_thread(lambda: look(self.source))

    def _heed_settings(self) -> None:
        """Search again after a change of the settings, which name folders."""
        if self.is_current and self.holdings.done and self._settings != _changed(config.path()):
            self.action_rescan()

    def on_screen_resume(self) -> None:
        """Read the runs again: some may be new or deleted."""
        if self.holdings.done:
            known = self.holdings
            self._in_thread(lambda: iter([with_runs(self.source, known)]))

    def _in_thread(self, finding: Callable[[], Iterator[Holdings]]) -> None:
        shown = bool(self.holdings.branches)

        def work() -> None:
            worker = get_current_worker()
            for holdings in finding():
                if worker.is_cancelled:
                    return
                if holdings.done or not shown:
                    self.call_later(self._found, holdings)

        self.run_worker(work, thread=True, group="look", exclusive=True, exit_on_error=False)

    def _found(self, holdings: Holdings) -> None:
        """Show the models and runs known so far."""
        self.holdings = holdings
        if self.holdings.done:
            self.listing.empty = self._empty()
        self.query_one("#notes").display = bool(self.holdings.notes)
        self.renew("notes")
        self.fill()

    def fill(self) -> None:
        """List the models that contain the word, each with its ancestors."""
        word = self.filter.value
        shown = narrowed(self.holdings.branches, word) if word else self.holdings.branches
        if word and not shown:
            self.listing.empty = with_keys(NO_MATCH)
        self.listing.fill(shown)
        self.renew("title")

    # Showing

    def tell(self) -> None:
        """Show the facts below the tree and beside it."""
        branch = self.listing.current
        self.set_class(branch is None, "-nothing")
        if branch is not None:
            relations = Relations(self.holdings.children(branch), self.holdings.runs_with(branch))
            self.query_one("#facts Static", Static).update(full(branch, relations))
            width = max(20, self.size.width - 2)
            self.query_one("#brief", Static).update(brief(branch, relations, width))
        self.renew("keys", "title")

    def on_listing_opened(self) -> None:
        self.action_detail()

    def topics(self) -> list[Topic]:
        """How to read the tree, for the help."""
        return [ABOUT]

    # Keys

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the keys of the library have anything to act on."""
        branch = self.listing.current
        match need:
            case "hidden facts":
                beside = self.has_class("-wide") or self.has_class("-opened")
                return branch is not None and not beside
            case "a model here":
                return branch is not None and branch.entry is not None
            case "a model":
                return branch is not None
            case "models":
                return bool(self.holdings.branches)
            case "models for a study":
                return bool(self.holdings.here(self._meant()))
            case "its runs":
                return bool(self.holdings.runs_with(branch))
        return super().has(need, parameters)

    def action_page(self, way: int) -> None:
        """Select a model a page away; where the facts fill the screen, scroll them."""
        if self.has_class("-opened"):
            self.query_one("#facts", VerticalScroll).scroll_relative(y=way * 10, animate=False)
        else:
            super().action_page(way)

    def action_detail(self) -> None:
        """Give the facts the whole screen, unless they stand beside the tree."""
        if self.has("hidden facts", ()):
            self.add_class("-opened")
            self.renew("keys")

    def action_back(self) -> None:
        """Back to the tree, or out of the filter, or to the runs."""
        if self.has_class("-opened") and not self.has_class("-wide"):
            self.remove_class("-opened")
            self.renew("keys")
        elif self.filter.value or self.filter.has_focus:
            self.filter.value = ""
            self.close_filter()
        else:
            self.dismiss(None)

    def action_mark(self) -> None:
        """Mark the selected model for a study, or unmark it."""
        branch = self.listing.current
        if branch is None or branch.entry is None:
            return
        if branch.entry.trouble:
            self.notify(plain(f"It can't be read. {branch.entry.trouble}"), markup=False)
            return
        marked = self.listing.marked
        others = tuple(name for name in marked if name != branch.name)
        now = others if branch.name in marked else (*marked, branch.name)
        self.listing.base = self.holdings.roles(now)[0] or ""
        self.listing.marked = now

    def action_study(self) -> None:
        """Begin a study of the marked models, or of the selected one and its base."""
        from app.tui.screens.builder import BuilderScreen

        base, tuned = self.holdings.roles(self._meant())
        self.app.push_screen(BuilderScreen(self.source, base, tuned), self.open)

    def action_runs(self) -> None:
        """Open a run that uses the selected model; with several, ask which."""
        runs = self.holdings.runs_with(self.listing.current)
        if len(runs) == 1:
            self.open(runs[0].id)
        elif len(runs) > PICKED:
            offers = [Offer(r.status, f"{r.name}  {r.id[:8]}", r.id, current=False) for r in runs]
            self.app.push_screen(ChooseScreen(WHICH, offers, "part of a name or an id"), self.open)
        elif runs:
            numbered = {str(n): run for n, run in enumerate(runs, 1)}
            offered = {
                n: f"{cut(run.name, ROOM - len(run.status))}  {run.status}  {run.id[:8]}"
                for n, run in numbered.items()
            }
            self.app.push_screen(
                PickScreen(WHICH, "pick", offered),
                lambda got: self.open(numbered[got[0]].id if got else None),
            )

    def action_bench(self) -> None:
        """Open the bench of the newest run that uses the selected model."""
        from app.tui.screens.benching import open_bench

        runs = self.holdings.runs_with(self.listing.current)
        if runs:
            open_bench(self, partial(self.source.bench, runs[0].id), self.source)

    def action_add(self) -> None:
        """Ask for a folder of models, add it to the settings, and search it."""
        from app.tui.screens.folder import FolderScreen

        self.app.push_screen(FolderScreen(), lambda got: self.action_rescan() if got else None)

    def action_copy(self) -> None:
        """Copy the name that a study file says for the selected model."""
        branch = self.listing.current
        if branch is not None:
            self.app.copy_to_clipboard(plain(branch.name))
            self.notify("Copied its name.", timeout=2, markup=False)

    def narrow(self) -> None:
        """Show the remaining models, with the selection on one that contains the word itself."""
        self.fill()
        word, listing = self.filter.value, self.listing
        if listing.current is not None and not contains(listing.current, word):
            listing.select(next(b.name for b in listing.items if contains(b, word)))

    # Studies and runs

    def _meant(self) -> tuple[str, ...]:
        """The marked models, or the selected one."""
        branch = self.listing.current
        marked = self.holdings.here(self.listing.marked)
        return marked or ((branch.name,) if branch is not None else ())

    # Words

    def title_line(self, width: int) -> Content:
        """The number and size of the models, or the marked ones."""
        entries = self.holdings.entries
        left = [(" library ", "bold $accent"), ("models on this machine", "$muted")]
        marked = self.holdings.here(self.listing.marked)
        if marked:
            base, tuned = self.holdings.roles(marked)
            words = f"base {_last(base or '')} · tuned {', '.join(map(_last, tuned)) or 'none yet'}"
            left = [(" library ", "bold $accent"), (words, "$foreground")]
        summary = f"{len(entries)} model{'s' if len(entries) != 1 else ''}"
        total = sum(entry.size or 0 for entry in entries)
        summary += f", {wording.size(total)}" if total else ""
        summary += "" if self.holdings.done else ", looking…"
        return two_ends(left, [(summary + " ", "$muted")], width)

    def _notes(self, width: int) -> Content:
        notes = self.holdings.notes
        if not notes:
            return Content("")
        more = f" (and {len(notes) - 1} more: tauscope models)" if len(notes) > 1 else ""
        return two_ends([(f" ! {notes[0]}", "$warning")], [(more, "$muted")], width)

    def _empty(self) -> str:
        from app.library.shelves import DEEPEST, cache_folder

        places = [
            f"    {_harmless(cache_folder())}  the Hugging Face cache (HF_HUB_CACHE, HF_HOME)"
        ]
        places += [f"    {_harmless(folder)}" for folder in self.holdings.folders]
        settings = _harmless(config.path())
        given = {"{depth}": str(DEEPEST), "{settings}": settings, "{places}": "\n".join(places)}
        return reduce(lambda words, each: words.replace(*each), given.items(), with_keys(EMPTY))


def _last(name: str) -> str:
    """The last part of a name."""
    return plain(name.rstrip("/").rsplit("/", 1)[-1])


def _changed(file: Path) -> float:
    """The time of a file's last change; 0 for a missing file."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _harmless(path: Path | str) -> str:
    return plain(wording.model_name(str(path))).replace("`", "'")
