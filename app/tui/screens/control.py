"""Actions of the screens on a run, if there is one: cancel, resume and delete it in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from app.commands import completed
from app.render.terminal.lines import fitted
from app.text import plain
from app.tui.data import DataSource
from app.tui.keys import written
from app.tui.threads import busy, in_thread, said

if TYPE_CHECKING:
    from app.bench.registry import BenchSummary
    from storage.runs import RunSummary


def ask_to_cancel(screen: Screen[None], source: DataSource, run: RunSummary | None) -> None:
    """Cancel a run once that is confirmed. Finished units are kept."""
    if run is not None:
        again = written("runs.resume")
        question = f"Cancel '{_name(run)}'? Finished units stay, and {again} resumes the run."
        asked = "Asked the worker to stop."
        _ask(screen, question, lambda: source.cancel(run.id), asked, of=run.id)


def ask_to_make_demo(screen: Screen[None], source: DataSource, *, sure: bool) -> None:
    """Have the demo made, once that is confirmed unless it is `sure`."""
    done = "Started training the demo's models."
    if sure:
        in_background(screen, source.start_demo, done)
    else:
        question = "Train the demo's small models? This takes a few minutes."
        _ask(screen, question, source.start_demo, done)


def ask_to_cancel_demo(screen: Screen[None], source: DataSource) -> None:
    """Stop the making of the demo once that is confirmed."""
    again = written("runs.demo")
    question = f"Stop training the demo's models? {again} trains the unfinished models again."
    _ask(screen, question, source.cancel_demo, "Stopped the demo.")


def ask_to_delete(screen: Screen[None], source: DataSource, run: RunSummary | None) -> None:
    """Delete a run once that is confirmed."""
    if run is not None:
        freed = completed("'tauscope gc' then frees results that no other run uses.")
        question = f"Delete run '{_name(run)}' ({run.status})? {freed}"
        _ask(screen, question, lambda: source.delete(run.id), "Deleted the run.", of=run.id)


def ask_to_end(screen: Screen[None], source: DataSource, bench: BenchSummary | None) -> None:
    """End a bench once that is confirmed."""
    if bench is not None:
        name = fitted(bench.study, min(40, len(plain(bench.study)))).rstrip()
        question = f"Stop the bench of '{name}'? It is {bench.state}; unsaved answers are lost."
        ended = "Stopped the bench."
        _ask(screen, question, lambda: source.end_bench(bench), ended, of=str(bench.pid))


def startable(run: RunSummary | None) -> bool:
    """Does `resume` act on this run?"""
    return run is not None and (run.ended_early or run.status == "queued")


def called(run: RunSummary | None) -> dict[str, str]:
    """The label of `resume` for a run that it starts or tries again, by the action's name."""
    if run is None or not startable(run):
        return {}
    if run.status == "queued":
        return {"resume": "start"}
    return {"resume": "try again"} if run.failed else {}


def resume(screen: Screen[None], source: DataSource, run: RunSummary | None) -> None:
    """Start a worker on a run that ended early, or at once on a queued run."""
    if run is not None:
        done, waits = "Started a worker on this run.", run.status == "queued"
        in_background(screen, lambda: source.resume(run.id, now=waits), done, of=run.id)


def in_background(
    screen: Screen[None], work: Callable[[], Any], done: str, *, of: str = ""
) -> None:
    """Do blocking work in a thread, and report the end or the error. One at a time for each subject
    `of`."""
    group = f"{done} {of}"
    if not busy(screen, group):
        in_thread(
            screen,
            work,
            lambda _: screen.notify(done, timeout=3, markup=False),
            refused=lambda error: screen.notify(plain(said(error)), severity="error", markup=False),
            group=group,
        )


def _ask(
    screen: Screen[None], question: str, work: Callable[[], Any], done: str, *, of: str = ""
) -> None:
    from app.tui.screens.confirm import ConfirmScreen

    def answered(yes: bool | None) -> None:
        if yes:
            in_background(screen, work, done, of=of)

    screen.app.push_screen(ConfirmScreen(question), answered)


def _name(run: RunSummary) -> str:
    """The run's name, cut to the room of a question."""
    return fitted(run.name, min(40, len(plain(run.name)))).rstrip()
