"""Output of the commands on stdout: tables, charts, JSON. Owns widths and colours there."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from app.render.terminal.lines import folded
from app.results import wording
from app.text import plain
from core.errors import RunError
from core.figures.filters import ALL, FIELDS, Filter
from core.sizes import counted

if TYPE_CHECKING:
    from app.bench.registry import BenchSummary
    from app.library.lineage import Branch
    from app.results.overview import Overview
    from core.engine.registry import Analysis
    from storage.database import Database
    from storage.runs import RunSummary

_HELD = 1 << 23  # characters of rows buffered in memory
_PIECES = 1000  # rows written at once
_WIDE = 100  # without a known width
_ENDLESS = 100_000  # for one row per line


def width() -> int:
    """The columns to print in."""
    return shutil.get_terminal_size((_WIDE, 24)).columns


def colourful() -> bool:
    """Does stdout support colours?"""
    usable = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return usable and not os.environ.get("NO_COLOR")


def folds() -> bool:
    """Are tables folded to `width`? Elsewhere every row is one whole line."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def print_json(data: Any) -> None:
    """Print data as JSON; infinite numbers become null."""
    print(json.dumps(_finite(data), indent=2))


def print_json_line(data: Any) -> None:
    """Print JSON in one line and flush it."""
    print(json.dumps(_finite(data)), flush=True)


def print_learnt(measured: Mapping[str, Any]) -> None:
    """Print the scores of the demo family's models on held-out texts and questions of their
    domain."""
    print(
        "The demo family: scores on held-out items of each model's domain, before and after tuning"
    )
    print_table(
        ("model", "loss, base", "tuned", "accuracy, base", "tuned", "by chance"),
        [
            (
                name,
                *(f"{scores['held_out_loss'][who]:.2f}" for who in ("base", "tuned")),
                *(f"{scores['accuracy'][who]:.0%}" for who in ("base", "tuned")),
                "25%",
            )
            for name, scores in measured["learnt"].items()
        ],
    )
    print()


def print_table(
    head: Sequence[str], lines: Iterable[Sequence[str]], *, one_line: bool = False
) -> None:
    """Print a table. A terminal folds long text, or cuts it with `one_line`; elsewhere every row is
    one whole line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=any(head)
    )
    for name in head:
        # Ids are copied from here, so they stay in one piece.
        table.add_column(name, overflow="fold", no_wrap=name in ("id", "status", "done"))
    for line in lines:
        table.add_row(*(Text(plain(words)) for words in line))
    on_screen = sys.stdout.isatty()
    console = Console(
        width=width() if folds() and not one_line else _ENDLESS,
        no_color=not colourful(), highlight=False,
    )  # fmt: skip
    with console.capture() as captured:
        console.print(table)
    edge = Console(width=width(), no_color=not colourful(), highlight=False)
    for line in map(str.rstrip, captured.get().splitlines()):
        if one_line and on_screen:
            edge.print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis")
        else:
            print(line)


def print_runs(runs: Sequence[RunSummary]) -> None:
    """Print the list of runs, newest first."""
    now = wording.now()
    print_table(
        ("id", "study", "status", "done", "models", "created", "took"),
        [
            (
                run.id, run.name, run.status, wording.percent(run), ", ".join(run.models),
                wording.moment(run.created, now), wording.lasted(run, now),
            )
            for run in runs
        ],
    )  # fmt: skip


def print_benches(benches: Sequence[BenchSummary]) -> None:
    """Print the running benches, with the memory that they hold."""

    def held(each: BenchSummary) -> str:
        return ", ".join(f"{wording.size(n)} on {device}" for device, n in each.held.items())

    print_table(
        ("study", "process", "state", "holds", "unused", "ends after"),
        [
            (
                each.study, str(each.pid), each.state, held(each), wording.span(each.rested),
                wording.span(each.idle),
            )
            for each in benches
        ],
    )  # fmt: skip


def print_models(branches: Sequence[Branch]) -> None:
    """Print the tree of lineage, one line per model; then the errors of unreadable models."""
    print_table(
        ("model", "kind", "size", "parameters", "dtype", "architecture", "trouble"),
        [
            (
                "  " * branch.depth + wording.model_name(branch.name),
                *(wording.model_facts(branch.entry) if branch.entry else [""] * 5),
                (branch.entry.trouble or "") if branch.entry else "not on this machine",
            )
            for branch in branches
        ],
        one_line=True,
    )


def print_overview(overview: Overview) -> None:
    """Print the cards of a run and its findings."""
    from app.render.terminal.overview import printed

    colour = colourful()
    for row in printed(overview, width()):
        pieces = ((words, "1" if tone == "bold" else "") for words, tone in row)
        print("".join(f"\x1b[{code}m{w}\x1b[0m" if code and colour else w for w, code in pieces))


def print_run(
    db: Database,
    run: RunSummary,
    analyses: Sequence[Analysis],
    by: Filter = ALL,
    overview: Overview | None = None,
) -> None:
    """Print the overview of a run, if there is one; then every figure under a filter, each with its
    finding; then the warnings."""
    from app.render.terminal.chart import draw
    from app.results.figures import shown
    from storage import runs

    columns, colour = width(), colourful()
    whole = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    print_heading(run)
    if overview is not None:
        print()
        print_overview(overview)
    nothing = bool(by)
    if by:
        print_words(f"only {by}", columns)
    for analysis in analyses:
        for each in shown(db, run, analysis, by=by):
            nothing = False
            print()
            if not each.figure.title.startswith(each.view.title):  # which the figure begins with
                print_words(each.view.title, columns, bold=colour)
            kind = each.view.kind
            size = {"width": columns, "height": 20}
            print_chart(draw(each.figure, kind, **size, colour=colour, whole=whole))
            if each.finding:
                print_words(each.finding, columns)
    if nothing:
        print_words("No results match the filter.", columns)
    for warning in runs.warnings(db, run.id):
        print()
        print_words(f"warning: {warning.subject}: {warning.message}", columns)


def print_heading(run: RunSummary) -> None:
    """Print the name and the state of a run, and why it failed."""
    state = f"{run.status}, {run.done} of {counted(run.total, 'unit')}"
    print_words(f"{run.name} · run {run.id} · {state}", width(), bold=colourful())
    if run.error_title:
        print_words(f"error: {' '.join(wording.trouble(run))}", width())


def print_comparison(
    db: Database,
    first: RunSummary,
    second: RunSummary,
    analyses: Sequence[Analysis],
    *,
    by_depth: bool = False,
) -> None:
    """Print the figures of two runs one below the other with the same axes, and their
    difference."""
    from app.render.terminal.chart import draw
    from app.results.comparing import CAPTION, pairs
    from core.figures.differences import NAMES

    columns, colour = width(), colourful()
    for name, run in zip(NAMES, (first, second), strict=True):
        print_words(f"{name}  {run.name} · run {run.id} · {run.status}", columns, bold=colour)
    print_words(CAPTION, columns)
    for analysis in analyses:
        shown = False
        for view, made in pairs(db, first.id, second.id, analysis, by_depth=by_depth):
            shown = True
            print()
            print_words(view.title, columns, bold=colour)
            figures = [*made.figures]
            if made.difference is not None:
                figures.append(made.difference.figure)
            for name, figure in zip((*NAMES, ""), figures, strict=False):
                if name:
                    print_words(name, columns, bold=colour)
                print_chart(draw(figure, view.kind, width=columns, height=20, colour=colour))
            for words in (made.told, *(f"Note: {note}." for note in made.notes)):
                if words:
                    print_words(words, columns)
        if not shown:
            print()
            print_words(f"{analysis.title}: no figure can show both runs.", columns)


def print_measured(
    db: Database, run: RunSummary, analyses: Sequence[Analysis], by: Filter = ALL
) -> None:
    """Print the measurements of a run that match a filter, in the form of `print_json`.

    Buffers all rows first: the reader may be slow, and with a rollback journal an open read blocks
    writers. Raises RunError if there is no space for them.
    """
    with tempfile.SpooledTemporaryFile(max_size=_HELD, mode="w+", encoding="ascii") as aside:
        try:
            pieces = _as_json(db, run, analyses, by)
            while block := "".join(islice(pieces, _PIECES)):
                aside.write(block)  # it checks its size only after a `write`
            aside.seek(0)
        except OSError as error:
            raise RunError(
                f"The rows can't be buffered in {tempfile.gettempdir()}: {error.strerror}.",
                hint="Free some space there, or set TMPDIR to a folder with space.",
            ) from error
        shutil.copyfileobj(aside, sys.stdout)


def print_preflight(data: Mapping[str, Any]) -> None:
    """Print the tables of a preflight in JSON."""
    from app.jobs import preflight

    print_words(f"{data['study']}, on {data['device']}")
    print()
    print_table(preflight.SHARES, preflight.shares(data))
    print()
    print_table(preflight.MODELS, preflight.models(data))
    head, rows = preflight.cards(data)
    if rows:
        print()
        print_table(head, rows)
    asked = preflight.questions(data["shares"])
    if asked:
        print()
        print_table(("task", "asked", "items in all"), asked)
    print()
    for line in preflight.totals(data):
        print_words(line)
    print_words(preflight.code(data["trust"]))
    for about, note in data["notes"]:
        print_words(f"warning: {about}: {note}")


def _as_json(
    db: Database, run: RunSummary, analyses: Sequence[Analysis], by: Filter
) -> Iterator[str]:
    """A JSON list of measurements, piece by piece."""
    from app.results.figures import lines
    from core.engine.measurement import COLUMNS

    places = [(field, COLUMNS.index(field)) for field in FIELDS]
    names = [f"    {json.dumps(name)}: " for name in COLUMNS]
    before = "[\n"
    for analysis in analyses:
        with lines(db, run, analysis) as rows:
            for row in rows:
                line = (analysis.name, *row)
                if all(by.takes(field, line[column]) for field, column in places):  # type: ignore[arg-type]
                    members = ",\n".join(map(str.__add__, names, map(_told, line)))
                    yield f"{before}  {{\n{members}\n  }}"
                    before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _told(value: str | float | None) -> str:
    """One value as in `print_json`; much faster, since its types are known."""
    if value is None or isinstance(value, float):
        return "null" if value is None or not math.isfinite(value) else repr(value)
    return json.dumps(value)


def print_words(words: str, columns: int | None = None, *, bold: bool = False) -> None:
    """Print a sentence, folded to the terminal."""
    text = "\n".join(folded(plain(words), columns or width(), hyphens=False))
    print(f"\x1b[1m{text}\x1b[0m" if bold else text)


def print_chart(drawn: str) -> None:
    """Print a chart in the terminal's colours; charts are drawn in full colour."""
    if not colourful():
        print(drawn)
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text.from_ansi(drawn), soft_wrap=True)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data
