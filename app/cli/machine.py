"""Commands about this machine: its models, its state, and a browser on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Db, Json


def models(
    folder: Annotated[
        list[Path] | None,
        typer.Option("--folder", metavar="DIR", help="Another folder to search; repeatable."),
    ] = None,
    json: Json = False,
) -> None:
    """List the models in the Hugging Face cache and in folders, grouped by family."""
    from app import config
    from app.cli.printing import print_json, print_models
    from app.console.narration import say
    from app.library import catalogue
    from app.library.shelves import Search

    search = Search()
    folders = [*map(Path, config.read().folders), *(folder or [])]
    branches = catalogue.tree(tuple(catalogue.appraised(search, folders)))
    for note in search.notes:
        say(note)
    if json:
        print_json([catalogue.data(each.entry) for each in branches if each.entry is not None])
    elif branches:
        print_models(branches)
    else:
        say(catalogue.advice(folders))


def doctor(context: typer.Context, json: Json = False, db: Db = None) -> None:
    """Say what tauscope finds here: versions, devices, terminal, settings, database."""
    from app.cli.doctor import examine
    from app.cli.printing import print_json, print_table

    topics = examine(db or context.obj)
    if json:
        print_json(topics)
        return
    lines = [
        (topic if place == 0 else "", name, answer)
        for topic, answers in topics.items()
        for place, (name, answer) in enumerate(answers.items())
    ]
    print_table(("", "", ""), lines)


def serve(
    context: typer.Context,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")
    ] = 8000,
    db: Db = None,
) -> None:
    """Show the workstation in a browser on this machine. Prints its address."""
    from app.web.serving import serve as serve_workstation

    serve_workstation(db or context.obj, port)
