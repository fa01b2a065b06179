"""Commands that compute or prepare: run, plan, new, inspect, demo, merge."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import (
    Address,
    Db,
    Detach,
    Engine,
    FollowSeries,
    Fresh,
    Idle,
    Json,
    Now,
    Only,
    StudyFile,
    TrustTasks,
    Until,
    Workers,
    confirm,
    open_db,
)
from app.text import plain
from core.sizes import counted

if TYPE_CHECKING:
    from app.jobs.following import Follow
    from app.jobs.selection import AnalysisSelection
    from core.demo.family import DemoFamily
    from core.engine.measurement import Progress
    from core.models.identity import IdentityMemory
    from core.study.study import Study
    from storage.database import Database


def run(
    context: typer.Context,
    study: StudyFile,
    only: Only = None,
    detach: Detach = False,
    now: Now = False,
    fresh: Fresh = False,
    follow: FollowSeries = False,
    until: Until = None,
    idle: Idle = None,
    engine: Engine = None,
    address: Address = None,
    workers: Workers = None,
    trust_task_code: TrustTasks = False,
    db: Db = None,
) -> None:
    """Compute a study, or resume its unfinished run. The last line of output is the run's id.

    With --follow the run then waits for further checkpoints, and computes them: until STEP, until
    none comes for MINUTES, or until it is stopped. With --engine ray several processes compute.
    """
    from app.jobs.following import Follow
    from core.errors import StudyError

    if not follow and (until, idle) != (None, None):
        raise StudyError("--until and --idle need --follow.", hint="Add --follow.")
    if idle is not None and not idle >= 0:
        raise StudyError("--idle is a number of minutes from 0 on.")
    if now and not detach:
        raise StudyError("--now needs --detach.", hint="Add --detach.")
    known, chosen = _chosen(study, only, trust_task_code)
    known = _placed(known, {"engine": engine, "address": address, "workers": workers})
    _compute(
        open_db(context, db), known, chosen.analyses, detach=detach, fresh=fresh, now=now,
        follow=Follow(until, None if idle is None else 60 * idle) if follow else None,
    )  # fmt: skip


def plan(
    context: typer.Context,
    study: StudyFile,
    only: Only = None,
    workers: Workers = None,
    json: Json = False,
    trust_task_code: TrustTasks = False,
    db: Db = None,
) -> None:
    """Estimate a study's cost before it starts: units, reading, memory, time.

    With --workers it shows the share of each of N cards.
    """
    from app.cli.printing import print_json, print_preflight
    from app.jobs.preflight import data, look_ahead

    known, chosen = _chosen(study, only, trust_task_code)
    if workers is not None:
        known = known.model_copy(update={"run": known.run.model_copy(update={"workers": workers})})
    ahead = look_ahead(open_db(context, db, write=None), known, chosen.analyses)
    estimate = data(ahead, chosen.skipped)
    if json:
        print_json(estimate)
    else:
        print_preflight(estimate)


def new(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Study file to write; - writes to stdout.")
    ],
    base: Annotated[str, typer.Option("--base", metavar="MODEL", help="A folder or a hub id.")],
    tuned: Annotated[
        list[str], typer.Option("--tuned", metavar="[NAME=]MODEL", help="Repeatable.")
    ],
    probe: Annotated[
        list[str] | None,
        typer.Option(
            "--probe",
            metavar="[NAME=]TEXTS",
            help="A built-in set, a file or task:NAME; repeatable with names.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="DOMAIN=A,B", help="Tasks of a domain; repeatable."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other key, such as run.dtype."),
    ] = None,
    only: Only = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite the file.")] = False,
) -> None:
    """Write a study file with all possible settings as comments. Prints its path."""
    from app.cli import answers
    from app.console.narration import say
    from app.drafts import studyfile

    draft = answers.draft(
        base, tuned, probes=probe or (), tasks=task or (), settings=setting or (), only=only or ""
    )
    for place in answers.absent(draft):
        say(f"warning: {place} does not exist")
    if str(file) == "-":
        print(studyfile.written(draft), end="")
        return
    if file.exists() and not yes:
        confirm(f"{file} exists. Overwrite it?")
    studyfile.save(draft, file)
    print(plain(str(file)))


def inspect(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="BASE", help="A folder or a hub id.")],
    tuned: Annotated[
        list[str], typer.Argument(metavar="TUNED...", help="Models tuned from the base.")
    ],
    detach: Detach = False,
    fresh: Fresh = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """Compare models with their base by their weights, straight from disk.

    Reports for each model the size of its change, its place, its rank, new directions, and chance
    levels; then warnings. The last line of output is the run's id, which --json has under "run".
    """
    from core.engine import registry
    from core.study.intake import of_models

    opened = open_db(context, db)

    def tell(run_id: str, done: bool) -> None:
        from app.cli.inspection.telling import tell_of

        tell_of(opened, run_id, done=done, json=json)

    weights = [name for name in registry.names() if registry.get(name).needs == "weights"]
    study = of_models(base, tuned)
    _compute(opened, study, weights, detach=detach, fresh=fresh, tell=tell)


def demo(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to export the run to.")
    ] = None,
    family_dir: Annotated[
        Path | None,
        typer.Option("--family-dir", metavar="DIR", help="Folder for the small models."),
    ] = None,
    db: Db = None,
) -> None:
    """Train a family of small models once, run its whole study, and show the findings."""
    from app.cli.printing import print_learnt, print_run
    from app.console.narration import say
    from app.jobs import selection
    from app.render.data.folder import export as export_run
    from app.results import overview
    from app.results.figures import analyses_of
    from core.study.intake import read
    from storage import runs

    opened = open_db(context, db)
    family = _family(family_dir)
    study = read(family.study)
    chosen = selection.select(study)
    _say_skipped(chosen.skipped)
    run_id = _work(opened, study, chosen.analyses, fresh=False)
    run = runs.find_run(opened, run_id)
    print_learnt(family.measured)
    print_run(opened, run, analyses_of(run), overview=overview.read(opened, run))
    if out is not None:
        files = export_run(opened, run_id, out)
        say(f"{counted(len(files), 'file')} in {out}")
    say("'tauscope' opens the workstation.")


def merge(
    context: typer.Context,
    study: StudyFile,
    coefficients: Annotated[
        str,
        typer.Option("--coefficients", metavar="A=0.7,B=-0.4", help="Coefficient of each vector."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder for the model.")],
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="NAME", help="Method: ties, dare, della, sce, …; default: sum."
        ),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option("--density", help="Share of each vector that a method keeps."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", help="By how much della's density rises and falls with size."),
    ] = None,
    gamma: Annotated[
        float | None,
        typer.Option("--gamma", help="Share of the largest elements that breadcrumbs drops."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Random seed of dare and della.")
    ] = None,
    restrict: Annotated[
        str,
        typer.Option("--restrict", metavar="PARTS", help="attention, mlp, layers like 0-3,7."),
    ] = "",
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="NAME", help="float32, float16 or bfloat16."),
    ] = None,
    db: Db = None,
) -> None:
    """Write the base plus weighted tuning vectors as a model's folder. Prints its path."""
    from app.cli import merging
    from app.drafts import ready
    from core.study.intake import read

    options = {"density": density, "epsilon": epsilon, "gamma": gamma, "seed": seed}
    point = merging.name_point(coefficients, method, options)
    merged = merging.merge(
        read(ready.find(study)), point, to,
        restrict=restrict, dtype=dtype, memory=_memory(context, db),
    )  # fmt: skip
    print(plain(str(merged)))


def _memory(context: typer.Context, db: str | None) -> IdentityMemory | None:
    """The cache of file hashes in the database; None if it can't be used."""
    from core.errors import StorageError
    from storage.database import path_of
    from storage.identities import Remembered

    try:
        if path_of(db or context.obj).is_file():
            return Remembered(open_db(context, db, write=None))
    except StorageError:
        pass  # a merge needs no database
    return None


def _chosen(study: Path, only: str | None, trusts_tasks: bool) -> tuple[Study, AnalysisSelection]:
    """A study and its chosen analyses; reports the skipped ones on stderr."""
    from app.drafts import ready
    from app.jobs.selection import select
    from core.study.intake import read
    from core.trust import with_task_code

    known = read(ready.find(study))
    known = with_task_code(known) if trusts_tasks else known
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    chosen = select(known, names)
    _say_skipped(chosen.skipped)
    return known, chosen


def _placed(study: Study, options: dict[str, str | int | None]) -> Study:
    """The study with the places of computation that the options name."""
    from core.errors import StudyError
    from core.study.study import Run

    changes = {name: value for name, value in options.items() if value is not None}
    try:
        run = Run.model_validate({**study.run.model_dump(), **changes})
    except ValueError:
        raise StudyError(
            f"{' '.join(f'--{name} {value}' for name, value in changes.items())} can't be used.",
            hint="The engine is 'local' or 'ray', the address HOST:PORT.",
        ) from None
    if run.engine == "local" and changes.keys() & {"address", "workers"}:
        raise StudyError("--address and --workers need --engine ray.")
    return study.model_copy(update={"run": run})


TellRun = Callable[[str, bool], None]
"""Prints the run's id on stdout, and its results if it is done."""


def _tell_id(run_id: str, done: bool) -> None:
    print(run_id)


def _compute(
    db: Database,
    study: Study,
    analyses: tuple[str, ...] | list[str],
    *,
    detach: bool,
    fresh: bool,
    now: bool = False,
    tell: TellRun = _tell_id,
    follow: Follow | None = None,
) -> None:
    """Run a study here or start a worker for it; then print the run on stdout."""
    if not detach:
        _work(db, study, analyses, fresh=fresh, tell=tell, follow=follow)
        return
    from app.console.narration import say
    from app.jobs.launcher import check, ready, start_detached
    from core import trust

    check(study, follows=follow is not None)
    run_id = ready(db, study, analyses, fresh=fresh, follows=follow is not None)
    process = start_detached(db.url, run_id, now=now, trust=trust.of(study), follow=follow)
    say(
        f"run {run_id} runs in process {process}: "
        f"'tauscope watch {run_id}' follows it, 'tauscope cancel {run_id}' stops it"
    )
    tell(run_id, False)


def _work(
    db: Database,
    study: Study,
    analyses: tuple[str, ...] | list[str],
    *,
    fresh: bool,
    tell: TellRun | None = None,
    follow: Follow | None = None,
) -> str:
    """Compute a study in this process and return the run's id. `tell` is called with it at the end,
    also after a failure or a stop, unless the start failed without a run."""
    from app.console.narration import Narrator, say
    from app.jobs.launcher import check, ready
    from app.jobs.worker import work
    from app.results.wording import now, outcome
    from app.results.workers import line
    from core import trust

    check(study, follows=follow is not None)
    run_id = ready(db, study, analyses, fresh=fresh, follows=follow is not None)
    say(f"{study.name}: {', '.join(analyses)}")
    finished = named = False

    begun = time.time()

    def show(progress: Progress) -> None:
        nonlocal named
        if progress.total and not named:  # from here on the run is stored
            named = True
            narrator.say(f"run {run_id}")
        passed = time.time() - begun
        narrator.show(
            progress.done, progress.total, _time_left(progress), progress.label,
            _percent(progress, passed),
        )  # fmt: skip

    try:
        with Narrator() as narrator:
            done = work(
                db,
                run_id,
                on_progress=show,
                on_warning=narrator.warn,
                on_workers=lambda states: narrator.below([line(each, now()) for each in states]),
                on_stop=lambda: narrator.say("stopping; interrupt again to stop at once"),
                keep=False,
                trust=trust.of(study),
                follow=follow,
            )
        say(f"run {run_id}: {outcome(done)}")
        finished = True
    finally:
        if tell is not None and (finished or _remains(db, run_id)):
            tell(run_id, finished)
    return run_id


def _remains(db: Database, run_id: str) -> bool:
    """Does the run still exist? True if the database can't tell."""
    from core.errors import RunError, StorageError
    from storage.runs import find_run

    try:
        find_run(db, run_id)
    except RunError:
        return False
    except StorageError:
        return True
    return True


def _time_left(progress: Progress) -> str:
    from app.results.wording import left

    expected = progress.expected
    return left(None if expected is None else expected - time.time(), rough=progress.rough)


def _percent(progress: Progress, passed: float) -> int | None:
    """The share of the time that passed, since units are very uneven; None while no end is known.
    `passed`: seconds."""
    if progress.expected is None:
        return None
    expected = max(0.0, progress.expected - time.time())
    return int(100 * passed / max(1e-3, passed + expected))


def _say_skipped(skipped: dict[str, str]) -> None:
    from app.console.narration import say

    for reason in dict.fromkeys(skipped.values()):
        names = [name for name, why in skipped.items() if why == reason]
        say(f"skipped: {', '.join(names)} ({reason})")


def _family(folder: Path | None) -> DemoFamily:
    """The demo family; trained first if it is missing."""
    from app.console.narration import Narrator
    from core.demo.family import build

    if folder is None:
        from platformdirs import user_cache_path

        folder = user_cache_path("tauscope", appauthor=False) / "demo"
    with Narrator() as narrator:
        return build(
            folder, progress=lambda stage, done, total: narrator.progress(done, total, stage)
        )
