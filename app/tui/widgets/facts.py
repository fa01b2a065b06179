"""Details of a run: its error, warnings, host and settings. Scrolls; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from app.commands import completed
from app.results import wording, workers
from app.text import short
from app.tui.able import Able
from app.tui.columns import table
from app.tui.keys import bindings, written
from core.sizes import counted
from storage.standing import PLANNED

if TYPE_CHECKING:
    from app.jobs.gauge import Usage
    from app.tui.data import Background
    from core.engine.measurement import FailedUnit, WorkerState
    from storage.runs import RunSummary, RunWarning


_UNIT = 24
"""Columns that the unit in hand needs beside the rest of its worker."""
_NARROWEST = 40
_LISTED = 12
"""Failed units that are named; an export names all."""


class Facts(VerticalScroll, Able, can_focus=True):
    """The last tab of a run."""

    PLACE = "facts"
    BINDINGS = bindings("facts")
    DEFAULT_CSS = """
    Facts { padding: 1 2; scrollbar-size-vertical: 1; }
    Facts > Static { margin-bottom: 1; }
    """

    _load: Usage | None = None
    _shown: tuple[RunSummary, Background] | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="load", markup=False)
        yield Static("Reading…", id="facts", markup=False)

    def on_mount(self) -> None:
        self._say_load()

    def show_load(self, reading: Usage | None) -> None:
        """Show the load of this host, if it is known."""
        if reading != self._load:
            self._load = reading
            if self.is_mounted:
                self._say_load()

    def _say_load(self) -> None:
        words = self.query_one("#load", Static)
        words.display = self._load is not None
        if self._load is not None:
            words.update(_section("This host", wording.loads(self._load)))

    def on_resize(self) -> None:
        """Lay the tables out for the new width."""
        if self._shown is not None:
            self.show(*self._shown)

    def show(self, run: RunSummary, background: Background) -> None:
        """Show all facts: first the error, then the warnings, then the rest."""
        self._shown = run, background
        progress: list[tuple[str, str]] = []
        progress += [(run.status, wording.in_hand(run))] if run.status in wording.UNDER_WAY else []
        progress += wording.standing(run, background.standings)
        parts = [_section("Progress", progress)] if background.standings else []
        parts += [_warnings(background.warnings), _section("Run", _facts(run))]
        width = max(_NARROWEST, self.scrollable_content_region.width)
        if background.workers:
            parts.insert(0, _workers(background.workers, width))
        if background.failed:
            parts.insert(0, _failed(run, background.failed))
        title, hint = wording.trouble(run)
        if title:
            parts.insert(0, _error(title, hint, background.last_words))
        facts = {k: v for k, v in background.provenance.items() if k != PLANNED}  # said above
        origin = list(_flat(facts))
        if origin:
            parts.append(_section("Provenance", origin))
        for words in self.query("#facts").results(Static):  # none before it is on the screen
            words.update(Content("\n\n").join(parts))

    def action_down(self) -> None:
        """Scroll down."""
        self.scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll up."""
        self.scroll_up(animate=False)


def _workers(states: Sequence[WorkerState], width: int) -> Content:
    lines = table(workers.HEAD, workers.rows(states, wording.now()), width, least=_UNIT)
    heading = Content.assemble(("Workers  ", "bold $accent"), (workers.together(states), "$muted"))
    return Content("\n").join([heading, *lines])


def _failed(run: RunSummary, failed: Sequence[FailedUnit]) -> Content:
    again = f"{written('run.resume')} tries {'it' if len(failed) == 1 else 'them'} again"
    heading = Content.assemble(
        (f"{counted(len(failed), 'failed unit')}  ", "bold $error"),
        (again if run.ended_early else "", "$muted"),
    )
    lines = [Content(short(completed(workers.given_up(each)))) for each in failed[:_LISTED]]
    if len(failed) > _LISTED:
        lines.append(Content.styled(f"and {len(failed) - _LISTED} more", "$muted"))
    return Content("\n").join([heading, *lines])


def _facts(run: RunSummary) -> Iterator[tuple[str, str]]:
    yield "study", run.name
    yield "id", run.id
    yield "status", run.status
    yield "models", ", ".join(m for m in run.models if m not in run.controls)
    yield "controls", ", ".join(m for m in run.models if m in run.controls) or "none"
    yield "analyses", ", ".join(run.analyses).replace("_", " ")
    yield "units", f"{run.done} of {run.total}, {run.reused} reused from earlier runs"
    yield "created", _when(run.created)
    yield "started", _when(run.started)
    yield "finished", _when(run.finished)
    yield "took", wording.lasted(run, wording.now())
    yield "host", f"{run.host} (process {run.pid})" if run.host else ""


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts by their path."""
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif isinstance(value, list | tuple):
            yield path, ", ".join(map(str, value))
        else:
            yield path, "" if value is None else str(value)


def _section(heading: str, pairs: Iterable[tuple[str, str]]) -> Content:
    shown = [(short(name), short(value)) for name, value in pairs if value]
    width = min(28, max((len(name) for name, _ in shown), default=0)) + 2
    rows = [Content.styled(heading, "bold $accent")]
    rows += [Content.assemble((f"{name}  ".ljust(width), "$muted"), value) for name, value in shown]
    return Content("\n").join(rows)


def _error(title: str, hint: str, last_words: Sequence[str]) -> Content:
    lines = [Content.styled("Error", "bold $error"), Content(short(title))]
    if hint:
        lines.append(Content(short(hint)))
    lines += [Content(short(words)) for words in last_words[:1]]
    lines += [Content.styled(f"  {short(words)}", "$muted") for words in last_words[1:]]
    return Content("\n").join(lines)


def _warnings(warnings: Sequence[RunWarning]) -> Content:
    if not warnings:
        return Content.styled("No warnings.", "$muted")
    rows = [Content.styled("Warnings", "bold $warning")]
    for warning in warnings:
        subject = (f"{short(warning.subject)}  ", "bold") if warning.subject else ""
        rows.append(Content.assemble(subject, short(warning.message)))
    return Content("\n").join(rows)


def _when(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""
