"""Commands that look after runs: follow, stop, remove, free."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.options import Db, Json, Lines, RunId, confirm, open_db


def cancel(context: typer.Context, run: RunId, db: Db = None) -> None:
    """Ask a run to stop. What is finished is kept."""
    from app.console.narration import say
    from storage.runs import find_run, request_cancel

    opened = open_db(context, db)
    found = find_run(opened, run)
    request_cancel(opened, found.id)
    state = find_run(opened, found.id).status
    say(f"run {found.id} {'is asked to stop' if state == 'running' else f'is {state}'}")


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
    """Remove a run. What other runs use of it stays; 'tauscope gc' frees the rest."""
    from app.console.narration import say
    from storage.runs import delete_run, find_run

    opened = open_db(context, db)
    found = find_run(opened, run)
    if not yes and found.status != "running":
        confirm(f"Delete run {found.id}, {found.name}, which is {found.status}?")
    delete_run(opened, found.id)
    say(f"run {found.id} is deleted; 'tauscope gc' frees what no other run uses")


def gc(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the garbage and remove nothing.")
    ] = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """Free what no run refers to. Files that are younger than an hour stay."""
    from dataclasses import asdict

    from app.cli.printing import print_json
    from app.console.narration import say
    from app.results.wording import size
    from storage.garbage import collect

    found = collect(open_db(context, db, write=None if dry_run else True), dry_run=dry_run)
    if json:
        print_json({"dry_run": dry_run, **asdict(found)})
        return
    freed = size(found.file_bytes + found.database_bytes)
    print(
        f"{'would free' if dry_run else 'freed'} {found.units} units, {found.files} files, {freed}"
    )
    for note in found.notes:
        say(note)
