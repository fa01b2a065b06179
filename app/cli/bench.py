"""`tauscope bench`: models of a study, tried on a prompt. Loads and computes nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.options import Db, Json, StudyFile, open_db, open_workstation
from core.errors import StudyError, TauscopeError
from core.texts.encoding import Alone

if TYPE_CHECKING:
    from app.bench.asking import Ask
    from app.console.narration import Narrator
    from core.bench.messages import Event, Generate, Request, Score
    from core.study.study import Study
    from storage.database import Database

_TYPED = "COMMANDLINE"
"""The source of a parameter that was typed."""

Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="NAME", help="A column, such as medical; repeatable."),
]
Mixes = Annotated[
    list[str] | None,
    typer.Option("--mix", metavar="A=0.7,B=0.4", help="A mix as a column; repeatable."),
]


def bench(
    context: typer.Context,
    study: StudyFile,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="The prompt.")
    ] = None,
    continuation: Annotated[
        str | None,
        typer.Option(
            "--continuation", metavar="TEXT", help="Score this text instead of generating."
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FILE", help="File of prompts: .txt by line, or .jsonl."),
    ] = None,
    column: Columns = None,
    mix: Mixes = None,
    tokens: Annotated[
        int, typer.Option("--tokens", help="Maximum number of generated tokens.")
    ] = 64,
    temperature: Annotated[
        float, typer.Option("--temperature", help="0: always the likeliest token.")
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option("--top-p", help="Draw from the likeliest tokens with this total probability."),
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", metavar="TEXT", help="Stop generating at this text; repeatable."),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option("--system", metavar="TEXT", help="System prompt; uses the chat template."),
    ] = None,
    template: Annotated[
        bool | None,
        typer.Option("--template/--no-template", help="Write the prompt in the chat template."),
    ] = None,
    alone: Annotated[
        Alone, typer.Option("--alone", help="How a scored text without a prompt is encoded.")
    ] = "item",
    lens: Annotated[
        bool, typer.Option("--lens", help="With a continuation: the likeliest token by layer.")
    ] = False,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="RUN", help="Write the results into a run.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Keep the models in a worker for the next command.")
    ] = False,
    idle: Annotated[
        float | None,
        typer.Option(
            "--idle", metavar="MINUTES", help="With --detach: stop after this time unused."
        ),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the study's worker.")] = False,
    json: Json = False,
    db: Db = None,
) -> None:
    """Try a study's models on a prompt: generate with all of them, or score a continuation.

    Without --column and --mix, the columns are the base and every tuned model but the controls.
    The base is always the first column. Without a prompt or a continuation the bench opens as a
    screen.
    """
    from app import config
    from app.cli import transcripts
    from app.drafts import ready
    from core.bench.messages import Generate, Prompt, refuse_odd
    from core.study.intake import read

    known = read(ready.find(study))
    opened = open_db(context, db)
    if end:
        _end(opened, known)
        return
    if idle is not None and not (detach and idle > 0):
        raise StudyError("--idle needs --detach and a number of minutes above 0.")
    if prompt is None and prompts is None and continuation is None:
        _refuse_options(context)
        open_workstation(opened.url, known)
        return
    templated = template if template is not None else system is not None
    first = Generate(
        prompt=Prompt(
            text=prompt or "", system=system or "", template=templated, alone=alone
        ),
        columns=_columns(known, column or (), mix or ()), tokens=tokens, temperature=temperature,
        top_p=top_p, seed=seed, stop=tuple(stop or ()),
    )  # fmt: skip
    refuse_odd(first)
    if continuation == "":
        raise StudyError("The continuation is empty, so there is nothing to score.")
    typed = prompt is not None or prompts is None
    asked = list(_requests(first, continuation, prompts, typed, template is None))
    for index, request in enumerate(asked):
        with _numbered(index, len(asked)):
            refuse_odd(request)
    if lens and not all(request.do == "score" for request in asked):
        raise StudyError("--lens needs a continuation.", hint="Add --continuation TEXT.")
    minutes = (idle or config.read().bench_idle) if detach else None
    trials: list[dict[str, Any]] = []
    try:
        for each in _trials(opened, known, asked, lens=lens, minutes=minutes, keep=keep):
            trials.append(each)
    finally:  # shows the answers before an error or an interrupt
        if trials:
            transcripts.print_trials(known.name, trials, json=json)


def _refuse_options(context: typer.Context) -> None:
    """Raise StudyError for options of a request, which the screen would ignore."""
    known = ("study", "db")
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in known and getattr(context.get_parameter_source(name), "name", "") == _TYPED
    ]
    if given:
        unused = ", ".join(sorted(given))
        raise StudyError(
            f"Without a prompt the bench opens as a screen, which does not take {unused}.",
            hint="Add --prompt TEXT.",
        )


def _columns(study: Study, named: Sequence[str], mixes: Sequence[str]) -> tuple[str, ...]:
    """The columns in the form in which the bench writes them; the base comes first."""
    from core.bench.columns import parse

    tuned = study.models.tuned
    plain = [name for name, model in tuned.items() if model.role != "control"]
    wanted = (*named, *mixes) if named or mixes else plain
    return tuple(dict.fromkeys(parse(name, tuple(tuned)).text for name in ("base", *wanted)))


def _requests(
    first: Generate, continuation: str | None, file: Path | None, alone: bool, free: bool
) -> Iterator[Generate | Score]:
    """The request of the options, then the requests of a file, whose keys replace options.
    `free`: no option says whether the template is used."""
    from app.bench import prompts

    if alone:
        yield _request(first, {"continuation": continuation})
    for entry in prompts.read(file) if file else ():
        own_prompt = replace(
            first.prompt, template=bool(entry.get("system")) or first.prompt.template
        )
        asked = replace(first, prompt=own_prompt) if free else first
        yield _request(asked, {"continuation": continuation} | entry)


def _request(first: Generate, entry: dict[str, Any]) -> Generate | Score:
    from core.bench.messages import Score

    prompt = replace(
        first.prompt,
        text=entry.get("prompt", first.prompt.text),
        system=entry.get("system", first.prompt.system),
        alone=entry.get("alone", first.prompt.alone),
    )
    text = entry.get("continuation")
    if text is None:
        return replace(first, prompt=prompt)
    return Score(prompt=prompt, continuation=text, columns=first.columns)


def _trials(
    db: Database,
    study: Study,
    asked: Sequence[Request],
    *,
    lens: bool,
    minutes: float | None,
    keep: str | None,
) -> Iterator[dict[str, Any]]:
    """Ask each request, tell its steps on stderr, and keep the results if asked to."""
    from app.bench import asking
    from app.console.narration import Narrator
    from storage.runs import find_run
    from storage.trials import keep_trial

    run = find_run(db, keep).id if keep is not None else None
    idle = None if minutes is None else 60 * minutes
    with Narrator() as narrator:
        tell = lambda words: narrator.progress(0, 0, words)  # noqa: E731
        with asking.line(db, study, tell, idle=idle) as ask:
            for index, request in enumerate(asked):
                if len(asked) > 1:
                    narrator.progress(index, len(asked), "prompts")
                with _numbered(index, len(asked)):
                    trial = _trial(ask, request, narrator)
                    if lens:
                        trial["lenses"] = _lenses(ask, request, narrator)
                if run is not None:
                    keep_trial(db, run, trial)
                yield trial


@contextmanager
def _numbered(index: int, count: int) -> Iterator[None]:
    """Say of an error which of many prompts it is about."""
    try:
        yield
    except TauscopeError as error:
        if count > 1:
            error.title = f"Prompt {index + 1} of {count}: {error.title}"
        raise


def _trial(ask: Ask, request: Request, narrator: Narrator) -> dict[str, Any]:
    from app.bench.trials import trial
    from core.bench.messages import Step, Warned

    events: list[Event] = []

    def give(event: Event) -> None:
        events.append(event)
        if isinstance(event, Step):
            narrator.progress(0, 0, event.label)
        elif isinstance(event, Warned):
            narrator.warn("", event.message)

    ask(request, give)
    return trial(request, events)


def _lenses(ask: Ask, request: Request, narrator: Narrator) -> list[Any]:
    """The grid of each column."""
    from core.bench.messages import Lens, Score

    assert isinstance(request, Score)
    grids = []
    for column in request.columns:
        asked = Lens(prompt=request.prompt, continuation=request.continuation, column=column)
        grids.append(_trial(ask, asked, narrator).get("lens", []))
    return grids


def _end(db: Database, study: Study) -> None:
    from app.bench import places, registry
    from app.console.narration import say

    key = places.key(study)
    benches = [each for each in registry.benches(db.path) if each.key == key]
    for each in benches:
        registry.end(each)
        say(f"the bench of {each.study} (process {each.pid}) stops")
    if not benches:
        say(f"no bench of {study.name} is running")
