"""The commands: their options, their exit codes, and how an error looks.

Owns the command line. Imports neither torch nor textual nor sqlalchemy at start: each command
fetches what it needs, so that help is there at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import app
from app.text import plain
from core.errors import Cancelled, InputError, StorageError, StudyError, TauscopeError

if TYPE_CHECKING:
    from app.selection import Selection
    from core.demo.family import DemoFamily
    from core.study import Study
    from storage.database import Database

EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (StudyError, 2),
    (InputError, 3),
    (StorageError, 4),
    (Cancelled, 130),
    (KeyboardInterrupt, 130),
    (typer.Abort, 130),
)
"""The exit code of an error: that of the first class it belongs to, else 1."""

_UsageError: Any = typer.BadParameter.__bases__[0]

cli = typer.Typer(
    name="tauscope",
    help="See what fine-tuning did to a language model. Without a command: the workstation.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Db = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="URL", help="The database: a path or sqlite:///path.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Lines = Annotated[bool, typer.Option("--json", help="Print a line of JSON at every change.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute all anew.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Leave it to a worker that outlives the terminal.")
]
StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY.toml", help="A study file, or a ready study's name.")
]
Only = Annotated[str | None, typer.Option("--only", metavar="A,B", help="These analyses alone.")]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="An id, a unique prefix of one, or 'latest'.")
]


def main() -> None:
    """The entry point: every outcome as an exit code, every error as two lines."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A model's name must not bring down a terminal without UTF-8.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code."""
    try:
        code = cli(arguments, prog_name="tauscope", standalone_mode=False)
        sys.stdout.flush()
        if code == _exit_code(KeyboardInterrupt()):  # typer turns ctrl+c into this
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("TAUSCOPE_DEBUG") == "1":
            raise
        _show(error)
        return 2 if isinstance(error, _UsageError) else _exit_code(error)


def _exit_code(error: BaseException) -> int:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _show(error: BaseException) -> None:
    if isinstance(error, TauscopeError):
        title, hint = error.title, error.hint
    elif isinstance(error, _UsageError):
        title, hint = error.format_message(), "'tauscope --help' lists the commands and options."
    elif isinstance(error, KeyboardInterrupt | typer.Abort):
        title, hint = "Interrupted.", ""
    else:
        title = f"{type(error).__name__}: {error}"
        hint = "This is a fault of tauscope; TAUSCOPE_DEBUG=1 shows where."
    print(f"error: {plain(title)}", file=sys.stderr)
    if hint:
        print(f"  {plain(hint)}", file=sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tauscope {app.__version__}")
        raise typer.Exit


@cli.callback(invoke_without_command=True)
def _workstation(
    context: typer.Context,
    db: Db = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    context.obj = db
    if context.invoked_subcommand is not None:
        return
    usable = sys.stdin.isatty() and sys.stdout.isatty()
    if not usable or os.environ.get("TERM") == "dumb":
        raise StudyError(
            "The workstation needs a terminal on both ends, one that can move its cursor.",
            hint="Without one: tauscope demo, run, inspect, runs, watch, show, export, doctor ...",
        )
    from app.tui.app import run as open_workstation

    open_workstation(db)


@cli.command()
def run(
    context: typer.Context,
    study: StudyFile,
    only: Only = None,
    detach: Detach = False,
    fresh: Fresh = False,
    db: Db = None,
) -> None:
    """Compute a study, or go on with its unfinished run. The last line printed is the run's id."""
    known, chosen = _chosen(study, only)
    _compute(_open(context, db), known, chosen.analyses, detach=detach, fresh=fresh)


@cli.command()
def plan(
    context: typer.Context,
    study: StudyFile,
    only: Only = None,
    json: Json = False,
    db: Db = None,
) -> None:
    """Say what a study will take before it starts: units, reading, memory, time."""
    from app.preflight import data, look_ahead, print_preflight
    from app.printing import print_json

    known, chosen = _chosen(study, only)
    found = look_ahead(_open(context, db, write=None), known, chosen.analyses)
    if json:
        print_json(data(found, chosen.skipped))
    else:
        print_preflight(found)


@cli.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; - prints it.")],
    base: Annotated[str, typer.Option("--base", metavar="MODEL", help="A folder or a hub id.")],
    tuned: Annotated[
        list[str], typer.Option("--tuned", metavar="[NAME=]MODEL", help="May be given again.")
    ],
    probe: Annotated[
        str, typer.Option("--probe", metavar="TEXTS", help="A built-in set, a file or task:NAME.")
    ] = "",
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="DOMAIN=A,B", help="A domain's tasks; again for others."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other key, such as run.dtype."),
    ] = None,
    only: Only = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write over a file.")] = False,
) -> None:
    """Write a study file, with hints at all that it may say. Its path is printed."""
    from app import answers, studyfile

    draft = answers.draft(
        base, tuned, probe=probe, tasks=task or (), settings=setting or (), only=only or ""
    )
    if str(file) == "-":
        print(studyfile.written(draft), end="")
        return
    if file.exists() and not yes:
        _ask(f"{file} is there already. Write over it?")
    studyfile.save(draft, file)
    print(plain(str(file)))


@cli.command()
def inspect(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="BASE", help="A folder or a hub id.")],
    tuned: Annotated[list[str], typer.Argument(metavar="TUNED...", help="Models tuned from it.")],
    detach: Detach = False,
    fresh: Fresh = False,
    db: Db = None,
) -> None:
    """Hold models against their base by their weights alone, straight from disk."""
    from core import registry
    from core.study import of_models

    weights = [name for name in registry.names() if registry.get(name).needs == "weights"]
    _compute(_open(context, db), of_models(base, tuned), weights, detach=detach, fresh=fresh)


@cli.command()
def demo(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Export the run there.")
    ] = None,
    family_dir: Annotated[
        Path | None,
        typer.Option("--family-dir", metavar="DIR", help="Where the small models are made."),
    ] = None,
    db: Db = None,
) -> None:
    """Make a family of small models once, run its whole study, and show what it finds."""
    from app import selection
    from app.export.folder import export as export_run
    from app.figures import analyses_of
    from app.narration import say
    from app.printing import print_learnt, print_run
    from core.study import read
    from storage import runs

    opened = _open(context, db)
    family = _family(family_dir)
    study = read(family.study)
    chosen = selection.select(study)
    _say_skipped(chosen.skipped)
    run_id = _work(opened, study, chosen.analyses, fresh=False)
    found = runs.find_run(opened, run_id)
    print_learnt(family.measured)
    print_run(opened, found, analyses_of(found))
    if out is not None:
        files = export_run(opened, run_id, out)
        say(f"{len(files)} files in {out}")
    say("'tauscope' opens the workstation on it.")


@cli.command()
def runs(context: typer.Context, json: Json = False, db: Db = None) -> None:
    """List the runs, newest first."""
    from app.export.record import summary_data
    from app.narration import say
    from app.printing import print_json, print_runs
    from storage.runs import list_runs

    found = list_runs(_open(context, db, write=None))
    if json:
        print_json([summary_data(each) for each in found])
    elif found:
        print_runs(found)
    else:
        say("There are no runs yet: 'tauscope demo' or 'tauscope run STUDY.toml' makes one.")


@cli.command()
def show(
    context: typer.Context,
    run: RunId,
    analysis: Annotated[str | None, typer.Argument(metavar="[ANALYSIS]")] = None,
    json: Json = False,
    db: Db = None,
) -> None:
    """Show the figures and findings of a run, or of one of its analyses."""
    from app.figures import analyses_of
    from app.printing import measured, print_json, print_run
    from storage.runs import find_run

    opened = _open(context, db, write=None)
    found = find_run(opened, run)
    analyses = analyses_of(found, analysis)
    if json:
        print_json(measured(opened, found, analyses))
    else:
        print_run(opened, found, analyses)


@cli.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="RUN", help="A: an id, a prefix, or 'latest'.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="B, which A is subtracted from.")],
    analysis: Annotated[str | None, typer.Argument(metavar="[ANALYSIS]")] = None,
    by_depth: Annotated[
        bool,
        typer.Option("--by-depth", help="Match layers by relative depth, not by number."),
    ] = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """Hold two runs against each other: figures with the same axes, and their differences."""
    from app.comparing import analyses_of_both, compared, pairs
    from app.printing import print_comparison, print_json
    from storage.runs import find_run

    opened = _open(context, db, write=None)
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


@cli.command()
def export(
    context: typer.Context,
    run: RunId,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write.")],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="A,B",
            help="Of csv, json, parquet, md, html, svg and png; all of them if not given.",
            show_default=False,
        ),
    ] = None,
    db: Db = None,
) -> None:
    """Write everything of a run into a folder."""
    from app.export.folder import export as export_run
    from storage.runs import find_run

    opened = _open(context, db, write=None)
    formats = None
    if format is not None:
        formats = [name.strip() for name in format.split(",") if name.strip()]
    files = export_run(opened, find_run(opened, run).id, to, formats)
    for path in files:
        if path.parent == to:
            print(plain(str(path)))


@cli.command()
def merge(
    study: StudyFile,
    coefficients: Annotated[
        str,
        typer.Option("--coefficients", metavar="A=0.7,B=-0.4", help="How much of each vector."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder for the model.")],
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="NAME", help="ties, dare or dare_ties, not a plain sum."),
    ] = None,
    density: Annotated[
        float | None, typer.Option("--density", help="The share of each vector they keep.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of dare's choice.")] = None,
    restrict: Annotated[
        str,
        typer.Option("--restrict", metavar="PARTS", help="attention, mlp, layers like 0-3,7."),
    ] = "",
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="NAME", help="float32, float16 or bfloat16."),
    ] = None,
) -> None:
    """Write the base plus weighted tuning vectors as a model's folder, which is printed."""
    from app import merging, ready
    from core.study import read

    options = {"density": density, "seed": seed}
    point = merging.name_point(coefficients, method, options)
    print(
        plain(
            str(merging.merge(read(ready.find(study)), point, to, restrict=restrict, dtype=dtype))
        )
    )


@cli.command()
def cancel(context: typer.Context, run: RunId, db: Db = None) -> None:
    """Ask a run to stop. What is finished is kept."""
    from app.narration import say
    from storage.runs import find_run, request_cancel

    opened = _open(context, db)
    found = find_run(opened, run)
    request_cancel(opened, found.id)
    state = find_run(opened, found.id).status
    say(f"run {found.id} {'is asked to stop' if state == 'running' else f'is {state}'}")


@cli.command()
def watch(context: typer.Context, run: RunId, json: Lines = False, db: Db = None) -> None:
    """Follow a run until it ends, from any terminal or host. Ctrl+c leaves it running."""
    from app.watch import watch as follow
    from storage.runs import find_run

    opened = _open(context, db, write=None)
    follow(opened, find_run(opened, run).id, json=json)


@cli.command()
def delete(
    context: typer.Context,
    run: RunId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    db: Db = None,
) -> None:
    """Remove a run. What other runs use of it stays; 'tauscope gc' frees the rest."""
    from app.narration import say
    from storage.runs import delete_run, find_run

    opened = _open(context, db)
    found = find_run(opened, run)
    if not yes and found.status != "running":
        _ask(f"Delete run {found.id}, {found.name}, which is {found.status}?")
    delete_run(opened, found.id)
    say(f"run {found.id} is deleted; 'tauscope gc' frees what no other run uses")


@cli.command()
def gc(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """Free what no run refers to. Files that are younger than an hour stay."""
    from dataclasses import asdict

    from app.narration import say
    from app.printing import print_json
    from app.wording import size
    from storage.garbage import collect

    found = collect(_open(context, db, write=None if dry_run else True), dry_run=dry_run)
    if json:
        print_json({"dry_run": dry_run, **asdict(found)})
        return
    freed = size(found.file_bytes + found.database_bytes)
    print(
        f"{'would free' if dry_run else 'freed'} {found.units} units, {found.files} files, {freed}"
    )
    for note in found.notes:
        say(note)


@cli.command()
def models(
    folder: Annotated[
        list[Path] | None,
        typer.Option("--folder", metavar="DIR", help="Look there too; may be given again."),
    ] = None,
    json: Json = False,
) -> None:
    """List the models on this machine, families together: of the Hugging Face cache and folders."""
    from app import config, library
    from app.narration import say
    from app.printing import print_json, print_models
    from app.shelves import Search

    search = Search()
    folders = [*config.read().folders, *(folder or [])]
    branches = library.tree(tuple(library.appraised(search, [Path(each) for each in folders])))
    for note in search.notes:
        say(note)
    if json:
        print_json([library.data(each.entry) for each in branches if each.entry is not None])
    elif branches:
        print_models(branches)
    else:
        say(library.advice(folders))


@cli.command()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="On 127.0.0.1.")] = 8000,
    db: Db = None,
) -> None:
    """Show the workstation in a browser, on this machine alone. Its address is printed."""
    from app.serving import serve as serve_workstation

    serve_workstation(db or context.obj, port)


@cli.command()
def doctor(context: typer.Context, json: Json = False, db: Db = None) -> None:
    """Say what tauscope finds here: versions, devices, terminal, settings, database."""
    from app.doctor import examine
    from app.printing import print_json, print_table

    found = examine(db or context.obj)
    if json:
        print_json(found)
        return
    lines = [
        (topic if place == 0 else "", name, answer)
        for topic, answers in found.items()
        for place, (name, answer) in enumerate(answers.items())
    ]
    print_table(("", "", ""), lines)


def _chosen(study: Path, only: str | None) -> tuple[Study, Selection]:
    """A study and which of its analyses are meant; says which are left out."""
    from app import ready
    from app.selection import select
    from core.study import read

    known = read(ready.find(study))
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    chosen = select(known, names)
    _say_skipped(chosen.skipped)
    return known, chosen


def _open(context: typer.Context, url: str | None, *, write: bool | None = True) -> Database:
    from storage.database import open_database

    opened = open_database(url or context.obj, write=write)
    context.call_on_close(opened.close)
    return opened


def _ask(question: str) -> None:
    """Go on only with a yes. Raises StudyError where nobody can be asked, Cancelled after a no."""
    if not sys.stdin.isatty():
        raise StudyError("There is no terminal to ask on.", hint="Say --yes if you mean it.")
    print(f"{plain(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        raise Cancelled("Nothing was done.")


def _compute(
    db: Database, study: Study, analyses: tuple[str, ...] | list[str], *, detach: bool, fresh: bool
) -> None:
    """Run a study here or leave it to a worker; print the run's id last."""
    if not detach:
        _work(db, study, analyses, fresh=fresh, told=True)
        return
    from app.jobs import ready, start_detached
    from app.narration import say

    run_id = ready(db, study, analyses, fresh=fresh)
    process = start_detached(db.url, run_id)
    say(
        f"run {run_id} is left to process {process}: "
        "'tauscope watch' follows it, 'tauscope cancel' stops it"
    )
    print(run_id)


def _work(
    db: Database,
    study: Study,
    analyses: tuple[str, ...] | list[str],
    *,
    fresh: bool,
    told: bool = False,
) -> str:
    """Compute a study in this process, telling of it; its id, `told` on stdout in any case."""
    from app.jobs import ready
    from app.narration import Narrator, say
    from app.wording import outcome
    from app.worker import work

    run_id = ready(db, study, analyses, fresh=fresh)
    say(f"run {run_id}: {study.name}: {', '.join(analyses)}")
    try:
        with Narrator() as narrator:
            done = work(
                db,
                run_id,
                on_progress=lambda p: narrator.progress(p.done, p.total, p.reused, p.label),
                on_warning=narrator.warn,
                on_stop=lambda: narrator.say("stopping; once more stops at once"),
            )
        say(f"run {run_id}: {outcome(done)}")
    finally:
        if told:
            print(run_id)
    return run_id


def _say_skipped(skipped: dict[str, str]) -> None:
    from app.narration import say

    for reason in dict.fromkeys(skipped.values()):
        names = [name for name, why in skipped.items() if why == reason]
        say(f"skipped: {', '.join(names)} ({reason})")


def _family(folder: Path | None) -> DemoFamily:
    """The demo family, made now if it is not there."""
    from app.narration import Narrator
    from core.demo.family import build

    if folder is None:
        from platformdirs import user_cache_path

        folder = user_cache_path("tauscope", appauthor=False) / "demo"
    with Narrator() as narrator:
        return build(
            folder, progress=lambda stage, done, total: narrator.progress(done, total, 0, stage)
        )


if __name__ == "__main__":
    main()
