"""One view on the page: finding, charts side by side, chance and method in words, numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from app.render.data.numbers import Numbers, numbers
from app.render.data.sentences import on_chance, on_method
from app.render.html import bars, curves, grids, passages, scatters
from app.render.html.markup import Markup, joined, tag
from app.results.figures import Shown
from core.figures.figure import Table
from core.figures.plots.curves import CurvesPlot
from core.figures.plots.grids import BarsPlot, BoxesPlot, GridPlot
from core.figures.plots.passages import PassagesPlot
from core.figures.plots.resolution import resolve
from core.figures.plots.scatters import PointsPlot
from core.figures.plots.tables import arrange


def section(together: Sequence[Shown], controls: frozenset[str]) -> Markup:
    """The figures of one view, which are read side by side and share one scale."""
    first = together[0]
    charts = [_figure(each, together, controls) for each in together]
    facts = (("Shown", first.view.caption), ("Chance", on_chance(together)),
             ("Method", on_method(together)))  # fmt: skip
    kind = " listing" if isinstance(first.figure, Table) else ""
    if len(together) == 1 and not _is_wide(first):
        kind = " beside"
    return tag(
        "section",
        tag("h3", first.view.title),
        tag("div", *charts, class_="together"),
        tag("dl", *(_fact(name, words) for name, words in facts), class_="notes"),
        id=anchor(first),
        class_=f"view{kind}",
    )


def anchor(shown: Shown) -> str:
    """The anchor of a view on the page."""
    return f"{shown.analysis.name}-{shown.view.key}"


def headline(together: Sequence[Shown]) -> Shown:
    """The figure that represents the view: the one under its default choice."""
    return next((each for each in together if each.opening), together[0])


def _figure(shown: Shown, together: Sequence[Shown], controls: frozenset[str]) -> Markup:
    inside = []
    if "model" in shown.view.selectors:
        name = shown.choice.model
        inside.append(tag("h4", tag("bdi", name), " (control)" if name in controls else ""))
    if shown.finding:
        inside.append(tag("figcaption", shown.finding, class_="finding"))
    if isinstance(shown.figure, Table):
        inside += map(_table, numbers(_arranged(shown.figure)))
    else:
        tables = map(_table, numbers(shown.figure))
        plot = resolve(shown.figure, shown.view.kind, [each.figure for each in together])
        inside.append(tag("div", *_CHARTS[type(plot)](plot), class_="chart"))
        if not isinstance(plot, PassagesPlot):  # a passage's figure has only its text
            inside.append(tag("details", tag("summary", "Numbers"), *tables))
    return tag("figure", *inside)


def _is_wide(shown: Shown) -> bool:
    """Does the figure need the whole width of the page?"""
    return shown.view.kind in ("curves", "table", "text")


_CHARTS: dict[type, Callable[[Any], Iterator[Markup]]] = {
    CurvesPlot: curves.draw,
    PointsPlot: scatters.draw,
    BarsPlot: bars.draw,
    BoxesPlot: bars.draw,
    GridPlot: grids.draw,
    PassagesPlot: passages.draw,
}


def _arranged(table: Table) -> Table:
    """The table with its results first, and the values that all rows share in its note."""
    arranged = arrange(table)
    shared = [f"All rows: {' · '.join(arranged.shared)}."] if arranged.shared else []
    return replace(arranged.shown, note=" ".join([*shared, table.note]).strip())


def _table(numbers: Numbers) -> Markup:
    kinds = ["words" if index in numbers.texts else None for index in range(len(numbers.head))]
    named = zip(numbers.head, kinds, strict=True)
    head = tag("tr", *(tag("th", name, scope="col", class_=kind) for name, kind in named))
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row", class_=kinds[0]),
            *(_entry(*entry, kind) for entry, kind in zip(entries, kinds[1:], strict=True)),
        )
        for name, entries in numbers.rows
    ]
    caption = [tag("caption", numbers.title)] if numbers.title else []
    table = tag("table", *caption, tag("thead", head), tag("tbody", *rows))
    note = [tag("p", numbers.note, class_="quiet")] if numbers.note else []
    return tag("div", table, *note, class_="scroll", style=f"--columns: {len(numbers.head)}")


def _entry(value: str, beside: str, kind: str | None) -> Markup:
    return tag("td", value, *([tag("small", beside)] if beside else []), class_=kind)


def _fact(name: str, words: str) -> Markup:
    return joined([tag("dt", name), tag("dd", words)]) if words else Markup()
