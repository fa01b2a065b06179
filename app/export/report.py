"""A run as one Markdown document: findings first, then each figure with its numbers and chance.

Owns the order and the escaping: no text from outside can become markup or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from app.charts import draw
from app.export.files import written
from app.figures import Shown, analyses_of, shown
from app.text import plain
from core.figures import Cell, Figure, Grid, Lines, Scatter, Table
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

_MARKS = re.compile(r"[\\`*_\[\]|~$]|^\s*(?:[#+=-](?=[\s#=-]|$)|\d+(?=[.)]\s))")
LISTED = 50
"""Rows of a table that the report lists."""

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """The file written."""
    path = folder / "report.md"
    figures = [each for analysis in analyses_of(run) for each in shown(db, run, analysis)]
    with written(path) as file:
        for block in _blocks(db, run, figures):
            file.write(f"{block}\n\n")
    return [path]


def escaped(text: str) -> str:
    """Text from outside as Markdown that shows it as it is."""
    return _MARKS.sub(_escape, plain(text).translate(_HTML))


def _escape(found: re.Match[str]) -> str:
    """A mark that means something anywhere, or what would begin a heading or a list."""
    mark = found.group().lstrip()
    return f"{mark[:-1]}&#{ord(mark[-1])};" if mark[-1].isdigit() else f"\\{mark}"


def _blocks(db: Database, run: RunSummary, figures: Sequence[Shown]) -> Iterator[str]:
    yield f"# {escaped(run.name)}"
    yield f"Run `{run.id}`, {run.status}: {run.done} of {run.total} units."
    if run.error_title:
        yield f"**Error:** {escaped(run.error_title)} {escaped(run.error_hint)}"
    yield "## Findings"
    yield "\n".join(
        f"- **{escaped(f.view.title)}.** {escaped(f.finding)}" for f in figures if f.finding
    )
    warnings = runs.warnings(db, run.id)
    if warnings:
        yield "## Warnings"
        yield "\n".join(f"- **{escaped(w.subject)}** {escaped(w.message)}" for w in warnings)
    titled = ""
    for each in figures:
        if each.analysis.title != titled:
            titled = each.analysis.title
            yield f"## {escaped(titled)}"
        yield from _figure(each)
    yield "## Origin"
    yield _origin(db, run)


def _figure(each: Shown) -> Iterator[str]:
    yield f"### {escaped(each.view.title)}"
    yield escaped(each.view.caption)
    if not isinstance(each.figure, Table):  # which is a table already
        yield _fenced(draw(each.figure, each.view.kind, width=100, height=24, colour=False))
    if each.finding:
        yield escaped(each.finding)
    yield from _tables(each.figure)
    if isinstance(each.figure, Table):
        return
    spec = each.analysis.metric(each.figure.measure)
    unit = f" ({escaped(spec.unit)})" if spec.unit else ""
    yield f"`{spec.name}`{unit}: {escaped(spec.description)}"


def _tables(figure: Figure) -> Iterator[str]:
    if isinstance(figure, Grid):
        head = [f"{figure.row_name} \\ {figure.column_name}", *figure.columns]
        lines = [
            [name, *(_words(cell, figure) for cell in cells)]
            for name, cells in zip(figure.rows, figure.cells, strict=True)
        ]
        yield _table(head, lines)
    elif isinstance(figure, Lines):
        yield from _panels(figure)
    elif isinstance(figure, Scatter):
        head = [figure.point_name, "kind", figure.x_name, figure.y_name]
        yield _table(
            head,
            ([p.name, p.group, _words(p.x, figure), _words(p.y, figure)] for p in figure.points),
        )
    else:
        yield from _listing(figure)


def _panels(figure: Lines) -> Iterator[str]:
    for panel in figure.panels:
        if panel.series:
            if panel.title:
                yield f"**{escaped(panel.title)}**"
            names = [s.name + (" (control)" if s.control else "") for s in panel.series]
            known = [dict(zip(s.xs, s.cells, strict=True)) for s in panel.series]
            xs = sorted({x for series in panel.series for x in series.xs})
            called = figure.x_names or {x: str(x) for x in xs}
            lines = [[called[x], *(_words(k.get(x), figure) for k in known)] for x in xs]
            yield _table([figure.x_label, *names], lines)


def _listing(figure: Table) -> Iterator[str]:
    """The first rows of a table: all of them are a matter for the files beside the report."""
    lines = [
        [column.written(value) for column, value in zip(figure.columns, row, strict=True)]
        for row in figure.rows[:LISTED]
    ]
    yield _table([column.name for column in figure.columns], lines)
    if len(figure.rows) > LISTED:
        yield f"… and {len(figure.rows) - LISTED:,} more."
    if figure.note:
        yield escaped(figure.note)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    rows = [[escaped(word) for word in head], rule]
    rows += [[escaped(words) for words in line] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _words(cell: Cell | None, figure: Grid | Lines | Scatter) -> str:
    """What is shown, and beside it what chance alone would give."""
    if cell is None:
        return ""
    if cell.shown is None:
        return "undefined"
    words = f"{cell.shown:{'+' if figure.signed else ''}.4g}"
    beside = []
    if cell.value is not None and cell.shown != cell.value:
        beside.append(f"raw {cell.value:.4g}")
    if cell.chance is not None and cell.shown != cell.chance:
        spread = "" if cell.chance_sd is None else f" ± {cell.chance_sd:.2g}"
        beside.append(f"chance {cell.chance:.4g}{spread}")
    if cell.mark and not isinstance(figure, Lines):
        beside.append(figure.mark_name)
    return f"{words} ({', '.join(beside)})" if beside else words


def _origin(db: Database, run: RunSummary) -> str:
    known = runs.provenance(db, run.id)
    facts = [("created", run.created.isoformat(timespec="seconds")), ("host", run.host)]
    facts += [(name, str(known[name])) for name in ("device", "seed") if name in known]
    versions = known.get("environment", {}).get("versions", {})
    facts.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    facts += [
        (f"{analysis} took", f"{seconds:.1f} s")
        for analysis, seconds in runs.durations(db, run.id).items()
    ]
    for name, model in known.get("models", {}).items():
        words = f"{model.get('path', '')}, fingerprint {str(model.get('fingerprint', ''))[:16]}"
        facts.append((f"model {name}", words))
    return _table(["", ""], [[name, words] for name, words in facts if words])


def _fenced(text: str) -> str:
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
