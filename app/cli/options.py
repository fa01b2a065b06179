"""Shared parts of the commands: options and arguments, opening the database, a question."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import completed, name_database
from app.text import plain
from core.errors import Cancelled, StudyError

if TYPE_CHECKING:
    from core.study.study import Study
    from storage.database import Database


def _named(url: str | None) -> str | None:
    """The database, which hints then name; without one, an option before the command may have."""
    if url is not None:
        name_database(url)
    return url


Db = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="URL", help="The database: a path or sqlite:///path.", show_default=False,
        callback=_named,
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Lines = Annotated[bool, typer.Option("--json", help="Print one line of JSON per change.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute every unit again.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Start a worker that outlives the terminal.")
]
Now = Annotated[
    bool,
    typer.Option("--now", help="With --detach: start at once, beside running runs."),
]
FollowSeries = Annotated[
    bool, typer.Option("--follow", help="Wait for further checkpoints of the study's series.")
]
Until = Annotated[
    int | None, typer.Option("--until", metavar="STEP", min=0, help="With --follow: the last step.")
]
Idle = Annotated[
    float | None,
    typer.Option(
        "--idle", metavar="MINUTES", help="With --follow: the longest wait for a checkpoint."
    ),
]
TrustTasks = Annotated[
    bool, typer.Option("--trust-task-code", help="Run code of the study's own task files.")
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="local: in one process; ray: over GPUs and hosts.",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT", help="With --engine ray: use this running cluster."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="With --engine ray on this host: number of processes."
    ),
]
StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY.toml", help="A study file, or a ready study's name.")
]
Only = Annotated[str | None, typer.Option("--only", metavar="A,B", help="Only these analyses.")]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="Run id, a unique prefix of one, or 'latest'.")
]


def open_db(context: typer.Context, url: str | None, *, write: bool | None = True) -> Database:
    """The database of the command or the program; closed at the end of the command."""
    from app.console.narration import Patience, say
    from storage.database import open_database

    opened = open_database(url or context.obj, write=write, waiting=Patience(say))
    context.call_on_close(opened.close)
    return opened


def open_workstation(db_url: str | None, study: Study | None = None) -> None:
    """Open the workstation, on the bench of a study if there is one. Raises StudyError without a
    terminal for all three streams: the screens are drawn on stderr."""
    usable = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if not usable or os.environ.get("TERM") == "dumb":
        raise StudyError(
            "The workstation needs a terminal with a movable cursor on stdin, stdout and stderr.",
            hint="Without one: 'tauscope bench STUDY.toml --prompt TEXT'"
            if study
            else "Without one: tauscope demo, run, inspect, runs, watch, show, export, doctor ...",
        )
    from app.jobs.environment import quicken

    quicken()
    from app.tui.app import run

    if study is None:
        run(db_url)
    else:
        run(db_url, study)


def confirm(question: str) -> None:
    """Continue only after a yes. Raises StudyError without a terminal, Cancelled after a no."""
    if not sys.stdin.isatty():
        raise StudyError("There is no terminal for the confirmation.", hint="Use --yes to confirm.")
    print(f"{plain(completed(question))} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        raise Cancelled("Nothing was done.")
