"""Commands that manage runs: watch, cancel, delete, gc."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.options import Db, Json, Lines, RunId, confirm, open_db


def cancel(context: typer.Context, run: RunId, db: Db = None) -> None:
    """Ask a run to stop. Finished results stay stored."""
    from app.console.narration import say
    from storage.runs import find_run, request_cancel

    opened = open_db(context, db)
    summary = find_run(opened, run)
    request_cancel(opened, summary.id)
    state = find_run(opened, summary.id).status
    say(f"run {summary.id} {'stops soon' if state == 'running' else f'is {state}'}")


def watch(context: typer.Context, run: RunId, json: Lines = False, db: Db = None) -> None:
    """Follow a run until it ends, from any terminal or host. Ctrl+c leaves it running."""
    from app.cli.watch import watch as follow
    from storage.runs import find_run

    opened = open_db(context, db, write=None)
    follow(opened, find_run(opened, run).id, json=json)


def delete(
    context: typer.Context,
    run: RunId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    db: Db = None,
) -> None:
    """Remove a run. Results that other runs use stay; 'tauscope gc' frees the rest."""
    from app.console.narration import say
    from storage.runs import delete_run, find_run

    opened = open_db(context, db)
    summary = find_run(opened, run)
    if not yes and summary.status != "running":
        confirm(f"Delete run {summary.id} ({summary.name}, {summary.status})?")
    delete_run(opened, summary.id)
    say(f"run {summary.id} is deleted; 'tauscope gc' frees data that no other run uses")


def gc(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the garbage and remove nothing.")
    ] = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """Remove data that no run refers to. Files younger than an hour stay."""
    from dataclasses import asdict

    from app.cli.printing import print_json
    from app.console.narration import say
    from app.results.wording import size
    from core.sizes import counted
    from storage.garbage import collect

    garbage = collect(open_db(context, db, write=None if dry_run else True), dry_run=dry_run)
    if json:
        print_json({"dry_run": dry_run, **asdict(garbage)})
        return
    freed = size(garbage.file_bytes + garbage.database_bytes)
    verb = "would free" if dry_run else "freed"
    units, files = counted(garbage.units, "unit"), counted(garbage.files, "file")
    print(f"{verb} {units}, {files}, {freed}")
    for note in garbage.notes:
        say(note)
