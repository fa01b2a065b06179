"""A run as one Markdown document: the overview first, then each figure with its numbers and chance.

Owns the order and the escaping: no text from outside can become markup or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from app.bench.trials import HEAD, Outcome, outcomes
from app.render.data.numbers import LISTED, Entry, numbers
from app.render.data.origin import facts
from app.render.terminal.chart import draw
from app.results import overview, workers
from app.results.figures import Shown, analyses_of, shown
from app.text import plain
from core.figures.figure import Figure, Table
from core.figures.passages import Passages
from core.files.partial import written
from core.overview.cards import lines
from core.sizes import counted
from storage.database import Database
from storage.runs import RunSummary
from storage.trials import trials

_MARKS = re.compile(r"[\\`*_\[\]|~$]|^\s*(?:[#+=-](?=[\s#=-]|$)|\d+(?=[.)]\s))")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """Write the report; return its file."""
    path = folder / "report.md"
    figures = [each for analysis in analyses_of(run) for each in shown(db, run, analysis)]
    with written(path) as file:
        for block in _blocks(db, run, figures):
            file.write(f"{block}\n\n")
    return [path]


def escaped(text: str) -> str:
    """Text from outside as Markdown that shows it unchanged."""
    return _MARKS.sub(_escape, plain(text).translate(_HTML))


def _escape(match: re.Match[str]) -> str:
    """An escaped mark: one with a meaning in Markdown, or at the start of a heading or list."""
    mark = match.group().lstrip()
    return f"{mark[:-1]}&#{ord(mark[-1])};" if mark[-1].isdigit() else f"\\{mark}"


def _blocks(db: Database, run: RunSummary, figures: Sequence[Shown]) -> Iterator[str]:
    yield f"# {escaped(run.name)}"
    yield f"Run `{run.id}`, {run.status}: {run.done} of {counted(run.total, 'unit')}."
    if run.error_title:
        yield f"**Error:** {escaped(run.error_title)} {escaped(run.error_hint)}"
    yield "## Overview"
    yield from _overview(overview.read(db, run), {_anchor(each) for each in figures})
    yield "<details><summary>Every figure in one sentence</summary>"
    yield "\n".join(
        f"- **{escaped(f.heading)}.** {escaped(f.finding)}" for f in figures if f.finding
    )
    yield "</details>"
    warnings = workers.doubts(db, run.id)
    if warnings:
        yield "## Warnings"
        yield "\n".join(f"- **{escaped(w.subject)}** {escaped(w.message)}" for w in warnings)
    titled = ""
    for each in figures:
        if each.analysis.title != titled:
            titled = each.analysis.title
            yield f"## {escaped(titled)}"
        yield from _figure(each)
    yield from _bench(outcomes(trials(db, run.id)))
    yield "## Origin"
    yield _table(["", ""], facts(db, run))


def _overview(contents: overview.Overview, anchors: Collection[str]) -> Iterator[str]:
    """The cards, and the most important findings with links to their figures."""
    for card in contents.cards:
        yield f"### {escaped(card.title)}"
        yield "\n".join(f"- **{line.name}:** {escaped(line.words)}" for line in lines(card))
    yield "### Findings, largest first"
    if contents.instead:
        yield contents.instead
    items = []
    for number, finding in enumerate(contents.findings, 1):
        place = finding.candidate.figure
        name, to = escaped(overview.heading(place)), f"{place.analysis}-{place.view}"
        link = f"[{name}](#{to})" if to in anchors else name
        items.append(f"{number}. {escaped(finding.sentence)} {link}")
    yield "\n".join(items)
    if contents.waiting:
        yield contents.waiting


def _bench(results: Sequence[Outcome]) -> Iterator[str]:
    """The trials kept from the bench."""
    if results:
        yield "## Bench"
    for each in results:
        yield f"### Trial {each.id}"
        yield _fenced("\n".join(map(plain, each.prompt.split("\n"))))
        if each.settings:
            yield escaped(each.settings)
        yield _table(HEAD, [row.words for row in each.rows])


def _anchor(each: Shown) -> str:
    return f"{each.analysis.name}-{each.view.key}"


def _figure(each: Shown) -> Iterator[str]:
    yield f'<a id="{_anchor(each)}"></a>'
    yield f"### {escaped(each.view.title)}"
    yield escaped(each.view.caption)
    if not isinstance(each.figure, Table):  # which is a table already
        rows = LISTED if isinstance(each.figure, Passages) else 24
        yield _fenced(draw(each.figure, each.view.kind, width=100, height=rows, colour=False))
    if each.finding:
        yield escaped(each.finding)
    if isinstance(each.figure, Passages):
        return
    yield from _tables(each.figure)
    if each.view.together or isinstance(each.figure, Table):
        return
    spec = each.analysis.metric(each.figure.measure)
    unit = f" ({escaped(spec.unit)})" if spec.unit else ""
    yield f"`{spec.name}`{unit}: {escaped(spec.description)}"


def _tables(figure: Figure) -> Iterator[str]:
    for each in numbers(figure):
        if each.title:
            yield f"**{escaped(each.title)}**"
        rows = [[name, *map(_words, entries)] for name, entries in each.rows]
        yield _table(each.head, rows)
        if each.note:
            yield escaped(each.note)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    rows = [[escaped(word) for word in head], rule]
    rows += [[escaped(words) for words in line] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _words(entry: Entry) -> str:
    value, beside = entry
    return f"{value} ({beside})" if beside else value


def _fenced(text: str) -> str:
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
