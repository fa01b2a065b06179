"""Figures of predictions in one plain sentence each.

Owns the wording of findings on divergence and on shifted tokens. Reads figures alone.
"""

from __future__ import annotations

from core.figures.figure import Cell, Grid, Lines, Scatter, Table
from core.figures.passages import Passages
from core.figures.records import DivergenceRecord, ShiftRecord
from core.figures.significance import LEVEL, is_null
from core.sizes import among, counted


def of_map(figure: Grid) -> str:
    """Where tuning gained most and where it forgot most."""
    cells = [
        (cell.value, cell, f"{model} on {probe}")
        for model, row in zip(figure.rows, figure.cells, strict=True)
        for probe, cell in zip(figure.columns, row, strict=True)
        if cell is not None and cell.value is not None and model not in figure.controls
    ]
    if not cells or figure.measure != "nll_change":
        return ""
    known = [each for each in cells if not is_null(each[1])]
    gained, forgot = min(cells, key=_first), max(cells, key=_first)
    phrases = []
    if gained[0] < 0:
        phrases.append(f"{gained[2]} gained most ({gained[0]:+.3g} nats per token)")
    if forgot[0] > 0:
        phrases.append(f"{forgot[2]} forgot most ({forgot[0]:+.3g})")
    words = ", ".join(phrases) or "No prediction changed"
    sure = among(len(known), len(cells), "change", "is", "are")
    return f"{words}; {sure} significant (q < {LEVEL})."


def of_scatter(figure: Scatter) -> str:
    """The number of models that gained on both probe sets, and that lost on one."""
    known = [p.place for p in figure.points if p.place is not None]
    if figure.measure != "nll_change" or not known:
        return ""
    both = sum(x < 0 and y < 0 for x, y in known)
    apart = sum((x < 0) != (y < 0) for x, y in known)
    return (
        f"Of {counted(len(known), 'model')}, {both} gained on both {figure.x_name} and "
        f"{figure.y_name}, {apart} on one alone."
    )


def of_forgetting(figure: Scatter) -> str:
    """Whether models that moved further on one probe set lost more on the other."""
    known = [
        p.place for p in figure.points if p.place is not None and p.name not in figure.controls
    ]
    if len(known) < 3:
        return "Fewer than three tuned models have both values: there is nothing to compare."
    pairs = [(one, two) for index, one in enumerate(known) for two in known[index + 1 :]]
    along = sum((one[0] - two[0]) * (one[1] - two[1]) > 0 for one, two in pairs)
    return (
        f"In {along} of {len(pairs)} pairs of tuned models the larger {figure.x_name} goes with "
        f"the larger {figure.y_name} (without a relation: half of them)."
    )


def of_models(figure: Table) -> str:
    """Which tuned model is furthest from the base, and where, beside rounding."""
    records: tuple[DivergenceRecord, ...] = figure.records
    known = [(r.kl.value, r) for r in records if r.kl is not None and r.kl.value is not None]
    if not known:
        return ""
    value, most = max(known, key=lambda pair: pair[0])
    if value == 0:
        return "All predictions are the base's."
    assert most.kl is not None
    floor = "" if most.kl.chance is None else f"; rounding alone gives {most.kl.chance:.2g}"
    words = f"{_named(most)} is furthest from the base (KL {value:.3g} nats per token{floor})"
    change = None if most.change is None else most.change.value
    if change is None:
        return f"{words}."
    return f"{words}; its NLL there changed by {change:+.3g}."


def of_text(figure: Passages) -> str:
    """Empty: a text needs no finding."""
    return ""


def of_promoted(figure: Table) -> str:
    """The tuned model whose promoted tokens stand out most."""
    records: tuple[ShiftRecord, ...] = figure.records
    known = [
        (r.share - r.chance, r) for r in records if r.share is not None and r.chance is not None
    ]
    if not known:
        return ""
    apart, most = max(known, key=lambda pair: pair[0])
    if apart <= 0 or not most.tokens:
        return "No tuned model promotes the same tokens at more positions than expected by chance."
    listed = ", ".join(most.tokens[:5])
    return (
        f"{_named(most)} promotes the same tokens most often (at {most.share:.0%} of the "
        f"positions, {most.chance:.0%} by chance): {listed}."
    )


def of_tokens(figure: Table) -> str:
    """The first tokens of the order."""
    where = " on ".join(filter(None, figure.chosen.values()))
    if not figure.rows:
        return f"{where}: no token stands out in this order."
    shown = dict.fromkeys(str(row[0]).strip() or "␣" for row in figure.rows)
    return f"{where}, first in this order: {', '.join(list(shown)[:10])}."


def of_positions(figure: Lines) -> str:
    """The position where a tuned model promotes its tokens furthest above chance."""
    known = [
        (cell.value - cell.chance, series, position, cell)
        for panel in figure.panels
        for series in panel.series
        if not series.companion and not series.control
        for position, cell in zip(series.xs, series.cells, strict=True)
        if cell.value is not None and cell.chance is not None
    ]
    if not known:
        return ""
    apart, most, position, cell = max(known, key=lambda each: each[0])
    if apart <= 0:
        return "No tuned model promotes its tokens at any position more than expected by chance."
    _, _, other, least = min((k for k in known if k[1] is most), key=lambda each: each[0])
    near = (
        f", nearest to it at {figure.x_names[other]} ({_percent(least)})"
        if other != position
        else ""
    )
    return (
        f"{most.name} promotes its tokens furthest above chance at position "
        f"{figure.x_names[position]} ({_percent(cell)}){near}."
    )


def _percent(cell: Cell) -> str:
    return f"{cell.value:.0%}; {cell.chance:.0%} by chance"


def _named(record: DivergenceRecord | ShiftRecord) -> str:
    return f"{record.model} on {record.probe}" if record.probe else record.model


def _first(each: tuple[float, Cell, str]) -> float:
    return each[0]
