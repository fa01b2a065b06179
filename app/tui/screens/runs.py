"""The first screen: all runs, live, and the facts of the selected one; beside them, where there is
room, its overview. Computes nothing.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from app.results import wording
from app.text import plain
from app.tui.data import DataSource
from app.tui.keys import bindings
from app.tui.memory import Memory
from app.tui.screens.control import (
    ask_to_cancel,
    ask_to_cancel_demo,
    ask_to_delete,
    ask_to_end,
    ask_to_make_demo,
    called,
    resume,
    startable,
)
from app.tui.screens.listed import ListScreen
from app.tui.screens.whole import Destination
from app.tui.snapshot import Snapshot
from app.tui.threads import in_thread
from app.tui.warmup import warm_up
from app.tui.widgets.bar import Row, two_ends
from app.tui.widgets.bench_line import BenchLine
from app.tui.widgets.run_detail import LINES, MOST, detail
from app.tui.widgets.run_list import RunList
from app.tui.widgets.run_preview import RunPreview
from app.tui.widgets.steady import Beside
from core.errors import TauscopeError

if TYPE_CHECKING:
    from storage.runs import RunSummary

POLL = 0.25
EVERY = 4
"""With no run under way, one of so many polls reads."""
RESTS = 0.15
"""Seconds on a run before the first pictures of its screen are read ahead."""
LEISURE = 0.9
"""The least seconds between two paintings of progress: each is sent over the line."""
PADDED = 2
"""Columns beside the details of a run."""
OTHERS = 5
"""Lines of the screen besides the runs and the details of the selected one."""


@dataclass
class Unreadable(Message):
    """The database could not be opened at all."""

    error: TauscopeError


class Begun(Message):
    """The first list shows: keys can act from now on."""


class RunsScreen(ListScreen):
    """Lists the runs; opens, starts, cancels, resumes and deletes them."""

    PLACE = "runs"
    OF = "runs"
    BINDINGS = bindings("runs")
    DEFAULT_CSS = """
    RunsScreen > #beside { height: 1fr; }
    RunsScreen > #detail { height: auto; padding: 0 1; border-top: solid $line; }
    """

    def __init__(self, source: DataSource, memory: Memory) -> None:
        super().__init__(source)
        self._before = memory
        self.snapshot: Snapshot | None = None
        self._reading = False
        self._beat = 0
        self._due, self._filled = False, 0.0
        self._ahead: Timer | None = None
        self._left = ""
        """The run whose screen was left, until the list has it."""

    def body(self) -> ComposeResult:
        """The runs, the details of the selected one, and the filter."""
        with Beside(id="beside"):
            yield RunList(id="runs")
            yield RunPreview(self.source)
        yield BenchLine(self.source)
        with Vertical(id="detail"):
            for line in range(MOST):
                yield Row(functools.partial(self._detail, line), id=f"detail-{line}")
        yield self.box(self._before.filter)

    def on_mount(self) -> None:
        self.listing.empty = "Reading the database…"
        self.listing.focus()
        self.set_interval(POLL, self._poll)
        self.call_after_refresh(self._poll)

    def on_screen_resume(self) -> None:
        memory = self.home.memory
        if memory.place is not self._before.place:  # a run's screen was left, here or elsewhere
            self._return_to(memory.selected)
        self._before = memory
        self._beat = -1  # whatever happened meanwhile, at once
        self.query_one(BenchLine).look()
        self._poll()

    def _poll(self) -> None:
        self._beat = (self._beat + 1) % EVERY
        idle = self.snapshot is not None and not (self._makes_demo or self.snapshot.under_way)
        if not self._reading and self.app.screen is self and not (idle and self._beat):
            self._reading = True
            in_thread(self, self._read, self._show, group="poll", exclusive=False)

    def _read(self) -> Snapshot:
        try:
            snapshot = Snapshot(self.source.runs())
            return snapshot if snapshot.under_way else replace(snapshot, demo=self.source.demo())
        except TauscopeError as error:
            return Snapshot(error=error)
        finally:
            self._reading = False

    def _show(self, new: Snapshot) -> None:
        """Show the new snapshot; while the database can't be read, the last one stays."""
        old = self.snapshot
        if new.error and old is None:
            self.app.post_message(Unreadable(new.error))
            return
        if new.error and old is not None:
            new = replace(new, runs=old.runs)
        self.snapshot = new
        if old is not None and old.demo and not new.demo and not new.under_way:
            in_thread(self, self.source.demo_trouble, self._say_why, group="demo")
        same = new == old and new.trouble == old.trouble
        self._due |= not same or new.under_way
        progress = old is not None and old.stands == new.stands
        if self._due and not (progress and time.monotonic() - self._filled < LEISURE):
            self.fill()
        if old is None:
            self.listing.select(self._before.selected)
            self.app.post_message(Begun())
            in_thread(self, warm_up, group="warm-up")

    def _say_why(self, trouble: str) -> None:
        """The making of the demo has ended: show its error, if any."""
        if trouble and not (self.snapshot and self.snapshot.has_demo):
            self.notify(plain(trouble), severity="error", markup=False)

    def placed(self, memory: Memory) -> Memory:
        """The memory with the filter and the selected run; unchanged before the first list."""
        if self.snapshot is None:
            return memory
        run, word = self.listing.current, self.filter.value
        return memory.model_copy(update={"filter": word, "selected": run.id if run else ""})

    @property
    def listing(self) -> RunList:
        """The list."""
        return self.query_one(RunList)

    def fill(self) -> None:
        """List the runs that contain the word, or say why there are none."""
        self._due, self._filled = False, time.monotonic()
        snapshot = self.snapshot or Snapshot()
        self.listing.empty = snapshot.instead
        self.listing.fill(snapshot.containing(self.filter.value))
        if self._left:
            self._return_to(self._left)
        self.renew("title")

    def tell(self) -> None:
        """Show the details in as few lines as they need, and read ahead the first pictures."""
        run = self.listing.current
        self.query_one("#detail").display = run is not None or self.snapshot is None
        taken = LINES if run is None else len(self._told(run, self.size.width - PADDED))
        for place, line in enumerate(self.query("#detail Row").results(Row)):
            line.display = place < taken
            line.renew()
        self.query_one(RunPreview).ask(run)
        self.renew("keys")
        if self._ahead is not None:
            self._ahead.stop()
        if run is not None and run.status == "done":
            self._ahead = self.set_timer(RESTS, functools.partial(self._read_ahead, run))

    def _read_ahead(self, run: RunSummary) -> None:
        """Cache the first pictures of the selected run, or of the marked comparison, before they
        are opened."""
        both, width = self.listing.compared, self.size.width

        def reading() -> None:  # whoever opens it will be told what can't be read
            from app.tui.widgets.pictures import beside

            if both is not None:
                self.source.compare_ahead(*both)
            else:
                self.source.read_ahead(run, beside(width))

        in_thread(self, reading, group="ahead", exclusive=False)

    def on_listing_opened(self) -> None:
        self.action_open()

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the keys of the list have anything to act on."""
        run = self.listing.current
        match need:
            case "a run":
                return run is not None
            case "a filter":
                return self.filter.display
            case "runs":
                return bool(self.snapshot and self.snapshot.runs)
            case "work under way":
                return self._makes_demo or (run is not None and run.status in wording.UNDER_WAY)
            case "a run to start":
                return startable(run)
            case "a run at rest":
                return run is not None and run.status != "running"
            case "a bench":
                return bool(self.query_one(BenchLine).benches)
            case "two runs":
                return self.listing.compared is not None
            case "no demo":
                return not (self.snapshot and (self.snapshot.has_demo or self.snapshot.demo))
        return super().has(need, parameters)

    @property
    def _makes_demo(self) -> bool:
        """Are the demo's models being trained? No run is under way then."""
        return bool(self.snapshot and self.snapshot.demo)

    def destinations(self) -> Iterator[Destination]:
        """The runs."""
        for run in self.snapshot.runs if self.snapshot is not None else ():
            about = f"run, {run.status}, {', '.join(run.models)}"
            go = functools.partial(self.open, run.id)
            yield Destination(f"{run.name} {run.id[:8]}", about, go)

    def action_open(self) -> None:
        """Open the selected run."""
        run = self.listing.current
        self.open(run.id if run is not None else None)

    def _return_to(self, run_id: str) -> None:
        """Select the run whose screen was left, since the next keys are meant for it; a new run as
        soon as the list has it."""
        listing = self.listing
        listing.select(run_id)
        there = listing.current is not None and listing.current.id == run_id
        self._left = "" if there else run_id

    def action_jump(self) -> None:
        """Put a letter on every run, and select the run of the pressed letter."""
        from app.tui.screens.jump import JumpTarget, jump

        listing = self.listing
        x, placed = listing.region.x, [(listing.keys[at], y) for at, y in listing.places()]
        jump(self, [JumpTarget(x, y, f"screen.select({run_id!r})") for run_id, y in placed])

    def action_select(self, run_id: str) -> None:
        """Select a run, if it is still in the list."""
        self.listing.select(run_id)

    def action_mark(self) -> None:
        """Mark the selected run to be compared, or unmark it."""
        self.listing.mark()

    def action_compare(self) -> None:
        """Compare two runs."""
        from app.tui.screens.compare import CompareScreen

        both = self.listing.compared
        if both is not None:
            self.app.push_screen(CompareScreen(self.source, *both))

    def action_build(self) -> None:
        """Build a study and start it."""
        from app.tui.screens.builder import BuilderScreen

        self.app.push_screen(BuilderScreen(self.source), self.open)

    def action_start(self) -> None:
        """Ask for a study file and start it."""
        from app.tui.screens.start import StartScreen

        self.app.push_screen(StartScreen(self.source), self.open)

    def action_demo(self) -> None:
        """Make the demo; its run appears by itself. Asks first where runs exist, since another key
        may have been meant."""
        ask_to_make_demo(self, self.source, sure=not (self.snapshot and self.snapshot.runs))

    def action_bench(self) -> None:
        """Try the models of the selected run's study."""
        from app.tui.screens.benching import open_bench

        run = self.listing.current
        if run is not None:
            open_bench(self, functools.partial(self.source.bench, run.id), self.source)

    def action_stop(self) -> None:
        """End the bench of the selected run's study, or the first one, once confirmed."""
        run = self.listing.current
        line = self.query_one(BenchLine)
        ask_to_end(self, self.source, line.of(run.name if run is not None else ""))
        self.set_timer(POLL, line.look)

    def action_library(self) -> None:
        """Show the models on this machine."""
        from app.tui.screens.library import LibraryScreen

        self.app.push_screen(LibraryScreen(self.source))

    def action_cancel(self) -> None:
        """Cancel the selected run, or the demo before it has one, once confirmed."""
        if self._makes_demo:
            ask_to_cancel_demo(self, self.source)
        else:
            ask_to_cancel(self, self.source, self.listing.current)

    def action_resume(self) -> None:
        """Start a worker on the selected run again."""
        resume(self, self.source, self.listing.current)

    def action_delete(self) -> None:
        """Delete the selected run, once confirmed."""
        ask_to_delete(self, self.source, self.listing.current)

    def action_unfilter(self) -> None:
        """Drop the filter."""
        self.filter.value = ""
        self.close_filter()

    def title_line(self, width: int) -> Content:
        """The number of runs, or the error in reading them."""
        left = [(" tauscope ", "bold $accent"), ("what fine-tuning did", "$muted")]
        snapshot = self.snapshot
        if snapshot is None:
            return two_ends(left, [], width)
        if snapshot.trouble:
            return two_ends([(f" ! {snapshot.trouble}", "bold $warning")], [], width)
        active = sum(run.status == "running" for run in snapshot.runs)
        if snapshot.demo and snapshot.runs:
            left = [left[0], (plain(f"demo: {snapshot.demo}"), "$muted")]
        words = f"{len(snapshot.runs)} run{'s' if len(snapshot.runs) != 1 else ''}"
        if active:
            words += f", {active} running"
        return two_ends(left, [(words + " ", "$muted")], width)

    def labels(self) -> dict[str, str]:
        """Label the key that resumes a run as the one that starts a queued run."""
        return called(self.listing.current)

    def _detail(self, line: int, width: int) -> Content:
        run = self.listing.current
        lines = self._told(run, width) if run is not None else []
        return lines[line] if line < len(lines) else Content("")

    def _told(self, run: RunSummary, width: int) -> list[Content]:
        """The details of the selected run, in more lines where the list leaves some free."""
        runs = self.snapshot.runs if self.snapshot is not None else ()
        free = self.size.height - OTHERS - len(runs)
        return detail(run, max(20, width), max(LINES, min(MOST, free)))
