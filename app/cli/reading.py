"""Commands that show results: runs, show, compare, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import Db, Json, RunId, open_db
from app.text import plain
from core.errors import StudyError

if TYPE_CHECKING:
    from storage.database import Database


def runs(
    context: typer.Context,
    benches: Annotated[
        bool, typer.Option("--benches", help="List only the running benches.")
    ] = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """List the runs, newest first, and below them the running benches."""
    from dataclasses import asdict

    from app.bench import registry
    from app.cli.printing import print_benches, print_json, print_runs
    from app.console.narration import say
    from app.render.data.record import summary_data
    from storage.runs import list_runs

    opened = open_db(context, db, write=None)
    running = registry.benches(opened.path)
    if benches:
        if json:
            print_json([asdict(each) for each in running])
        elif running:
            print_benches(running)
        else:
            say("No bench is running: 'tauscope bench STUDY.toml' starts one.")
        return
    summaries = list_runs(opened)
    if json:
        print_json([summary_data(each) for each in summaries])
        return
    if summaries:
        print_runs(summaries)
    if running:
        print("\n" * bool(summaries) + "Running benches")
        print_benches(running)
    if not summaries:
        say("There are no runs yet: 'tauscope demo' or 'tauscope run STUDY.toml' creates one.")


def show(
    context: typer.Context,
    run: RunId,
    analysis: Annotated[str | None, typer.Argument(metavar="[ANALYSIS]")] = None,
    model: Annotated[
        str,
        typer.Option("--model", metavar="A,B", help="Only these models, or parts of their names."),
    ] = "",
    layers: Annotated[
        str, typer.Option("--layers", metavar="10-20", help="Only these layers.")
    ] = "",
    module: Annotated[
        str, typer.Option("--module", metavar="Q,K", help="Only these modules and groups.")
    ] = "",
    json: Json = False,
    db: Db = None,
) -> None:
    """Show the overview, figures and findings of a run, or the 'overview' or one analysis alone.

    'bench' shows the trials that were saved from the bench.
    """
    from app.cli.printing import print_json, print_measured, print_run
    from app.results import overview
    from app.results.figures import analyses_of, names_in
    from core.figures.filters import of_terms
    from storage.runs import find_run

    opened = open_db(context, db, write=None)
    summary = find_run(opened, run)
    if analysis == "bench":
        _show_bench(opened, summary.id, json=json)
        return
    alone = analysis == overview.NAME
    analyses = () if alone else analyses_of(summary, analysis)
    terms = [("model", model), ("layer", layers), ("module", module)]
    by = of_terms(terms, names_in(opened, summary))
    if alone and by:
        raise StudyError("The overview covers the whole run.", hint="Show it without a filter.")
    if alone and json:
        print_json(overview.data(overview.read(opened, summary)))
    elif json:
        print_measured(opened, summary, analyses, by)
    else:
        whole = None if by or not (alone or analysis is None) else overview.read(opened, summary)
        print_run(opened, summary, analyses, by, whole)
        if analysis is None and not by:
            _show_bench(opened, summary.id, json=False)


def _show_bench(db: Database, run_id: str, *, json: bool) -> None:
    """The trials of the bench that are kept in a run; as JSON, all of each."""
    from app.bench.trials import outcomes
    from app.cli.printing import print_json
    from app.cli.transcripts import print_outcomes
    from storage.trials import trials

    stored = trials(db, run_id)
    if json:
        print_json([each.content for each in stored])
    else:
        print_outcomes(outcomes(stored))


def compare(
    context: typer.Context,
    first: Annotated[
        str, typer.Argument(metavar="RUN", help="Run A: an id, a prefix, or 'latest'.")
    ],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Run B; differences are B minus A.")],
    analysis: Annotated[str | None, typer.Argument(metavar="[ANALYSIS]")] = None,
    by_depth: Annotated[
        bool,
        typer.Option("--by-depth", help="Match layers by relative depth, not by number."),
    ] = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """Compare two runs: figures with the same axes, and their differences."""
    from app.cli.printing import print_comparison, print_json
    from app.results.comparing import analyses_of_both, compared, pairs
    from storage.runs import find_run

    opened = open_db(context, db, write=None)
    one, other = find_run(opened, first), find_run(opened, second)
    analyses = analyses_of_both(one, other, analysis)
    if not json:
        print_comparison(opened, one, other, analyses, by_depth=by_depth)
        return
    views = [
        compared(each, view, made)
        for each in analyses
        for view, made in pairs(opened, one.id, other.id, each, by_depth=by_depth)
    ]
    print_json({"A": one.id, "B": other.id, "views": views})


def export(
    context: typer.Context,
    run: RunId,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write.")],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="A,B",
            help="Formats: csv, json, parquet, md, html, svg, png. Default: all.",
            show_default=False,
        ),
    ] = None,
    db: Db = None,
) -> None:
    """Write everything of a run into a folder."""
    from app.render.data.folder import export as export_run
    from storage.runs import find_run

    opened = open_db(context, db, write=None)
    formats = None
    if format is not None:
        formats = [name.strip() for name in format.split(",") if name.strip()]
    files = export_run(opened, find_run(opened, run).id, to, formats)
    for path in files:
        if path.parent == to:
            print(plain(str(path)))
