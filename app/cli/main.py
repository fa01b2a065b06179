"""The command line: the list of commands, exit codes, and the form of errors.

Imports neither torch nor textual nor sqlalchemy at start: each command of `app.cli` imports its
dependencies when it runs, so help appears at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

import app
from app.cli import bench, lifecycle, machine, reading, running
from app.cli.options import Db, open_workstation
from app.commands import completed, name_database
from app.console import streams
from app.text import plain
from core.errors import (
    Cancelled,
    InputError,
    StorageError,
    StudyError,
    TauscopeError,
    of_the_system,
    reason,
)

EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (StudyError, 2),
    (InputError, 3),
    (StorageError, 4),
    (Cancelled, 130),
    (KeyboardInterrupt, 130),
    (typer.Abort, 130),
)
"""Exit codes by class of error; the first matching class counts, else 1."""

_UsageError: Any = typer.BadParameter.__bases__[0]

cli = typer.Typer(
    name="tauscope",
    help="See what fine-tuning did to a language model. Without a command: the workstation.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: tuple[Callable[..., None], ...] = (
    running.run, running.plan, running.new, running.inspect, running.demo, reading.runs,
    reading.show, reading.compare, reading.export, running.merge, bench.bench, lifecycle.cancel,
    lifecycle.watch, lifecycle.delete, lifecycle.gc, machine.models, machine.doctor, machine.serve,
)  # fmt: skip
"""The commands in the order of the help."""
for command in COMMANDS:
    cli.command()(command)


def main() -> None:
    """The entry point: exits with a code; prints an error as two lines."""
    streams.prepare()
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run the command of these arguments; returns the exit code."""
    name_database(None)
    try:
        code = cli(arguments, prog_name="tauscope", standalone_mode=False)
        sys.stdout.flush()
        if code == _exit_code(KeyboardInterrupt()):  # typer returns this code for ctrl+c
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt, SystemExit) as raised:
        error: BaseException = raised
        # click turns a closed pipe into a SystemExit
        fault = streams.fault_of_stdout() if isinstance(raised, OSError | SystemExit) else None
        if fault is not None:
            if fault.__context__ is None:
                return _unheard(fault)
            error = fault.__context__  # the failure before its end could be reported
            streams.drop_stdout()
        if isinstance(error, SystemExit):
            raise
        if os.environ.get("TAUSCOPE_DEBUG") == "1":
            raise
        _show(error)
        return 2 if isinstance(error, _UsageError) else _exit_code(error)


def _unheard(fault: OSError) -> int:
    """The exit code for output that could not be written, or not to its end. Success, and silent,
    if the reader closed the pipe."""
    streams.drop_stdout()
    if isinstance(fault, BrokenPipeError):
        return 0
    print(f"error: The output can't be written: {fault.strerror}.", file=sys.stderr)
    return 1


def _exit_code(error: BaseException) -> int:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _show(error: BaseException) -> None:
    if isinstance(error, TauscopeError):
        title, hint = error.title, error.hint
    elif isinstance(error, _UsageError):
        title, hint = error.format_message(), "'tauscope --help' lists the commands and options."
    elif isinstance(error, KeyboardInterrupt | typer.Abort):
        title, hint = "Interrupted.", ""
    elif words := of_the_system(error):
        title, hint = words, "TAUSCOPE_DEBUG=1 shows the traceback."
    else:
        title = f"{type(error).__name__}: {reason(error)}"
        hint = "This is a bug in tauscope; TAUSCOPE_DEBUG=1 shows the traceback."
    print(f"error: {plain(completed(title))}", file=sys.stderr)
    for line in completed(hint).split("\n") if hint else ():
        print(f"  {plain(line)}", file=sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tauscope {app.__version__}")
        raise typer.Exit


@cli.callback(invoke_without_command=True)
def _workstation(
    context: typer.Context,
    db: Db = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    context.obj = db
    if context.invoked_subcommand is not None:
        return
    open_workstation(db)


if __name__ == "__main__":
    main()
