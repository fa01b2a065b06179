"""Figures of scores, drops and points in one plain sentence each, and their marks.

Owns the wording. Reads figures alone: no measurement, no database.
"""

from __future__ import annotations

from dataclasses import replace

from core.engine.measurement import Measurement
from core.figures.figure import Grid, Scatter, Table
from core.figures.findings import average, where
from core.figures.records import DropRecord, PointRecord, ScoreRecord
from core.figures.rounding import denoised
from core.figures.score_tables import ALL
from core.figures.significance import excludes, held, tested


def of_points(figure: Table) -> str:
    """One plain sentence on the table of points: how many of them keep all of a task
    that tells the domain's own model from the base."""
    records: tuple[PointRecord, ...] = figure.records
    known = [(r, r.share) for r in records if r.share is not None and not _is_tuned(r)]
    telling = [share for record, share in known if not _is_level(record.base)]
    silent = len(known) - len(telling)
    sentences = []
    if telling:
        reached = sum(share >= 1 for share in telling)
        sentences.append(
            f"{reached} of {len(telling)} scores reach that of the domain's own model, tuned "
            "models left out."
        )
    if silent:
        scores = f"{'further ' * bool(telling)}{'score says' if silent == 1 else 'scores say'}"
        sentences.append(
            f"{silent} {scores} little: there the interval of the base's share includes 1."
        )
    return " ".join(sentences)


def of_scores(figure: Table) -> str:
    """One plain sentence on the table of scores: where tuning changed them for certain."""
    records: tuple[ScoreRecord, ...] = figure.records
    known = [
        (value, record, difference)
        for record in records
        if (difference := record.difference) is not None and (value := difference.value) is not None
    ]
    sure = [each for each in known if excludes(each[2].low, each[2].high)]
    if not known:
        return ""
    count = _count(len(sure), len(known), "differences")
    words = f"The interval excludes 0 for {count} from the base"
    if sure:
        value, record, _ = max(sure, key=lambda each: abs(each[0]))
        words += f", the largest {value:+.3g} in {record.metric} ({record.model}, {record.task})"
    return f"{words}."


def of_differences(figure: Grid) -> str:
    """One plain sentence on the heat map of differences from the base."""
    cells = [
        (cell, model, task)
        for model, row in zip(figure.rows, figure.cells, strict=True)
        for task, cell in zip(figure.columns, row, strict=True)
        if cell is not None and cell.value is not None
    ]
    if not cells:
        return ""
    most = max(cells, key=lambda entry: abs(entry[0].value or 0.0))
    apart = sum(excludes(cell.low, cell.high) for cell, _, _ in cells)
    if not most[0].value:
        alike = "the score is" if len(cells) == 1 else f"all {len(cells)} scores are"
        return f"{figure.chosen.get('metric_of', '')}: {alike} the base's."
    return (
        f"{figure.chosen.get('metric_of', '')}: the interval excludes 0 for "
        f"{_count(apart, len(cells), 'differences')} from the base; the largest is {most[1]}'s on "
        f"{most[2]} ({most[0].value:+.3g})."
    )


def of_drops(figure: Grid) -> str:
    """One plain sentence on a heat map of drops: the number that exceed their random controls."""
    cells = [
        cell for row in figure.cells for cell in row if cell is not None and cell.value is not None
    ]
    if not cells:
        return "No drop can be given here."
    beyond = [cell for cell in cells if cell.q is not None and not tested(cell.q).is_null]
    drop, chance = average([c.value for c in cells]), average([c.chance for c in cells])
    random = "" if chance is None else f", random ones {denoised(chance, 100):+.3g} %"
    chosen = figure.chosen.get("setting", "them")
    source = f" of {figure.chosen['reference']}" if "reference" in figure.chosen else ""
    return (
        f"{where(figure, 'task', 'metric_of')}ablating {chosen}{source} costs {drop:+.3g} % in "
        f"the mean{random}; {_exceeding(len(beyond), len(cells))} the random controls."
    )


def of_selections(figure: Grid) -> str:
    """One plain sentence on selections side by side: the number of drops of each that exceed their
    controls.

    A column is named after its selection, then the source of its neurons."""
    counts = []
    selections = [name.rpartition(" ")[0] for name in figure.columns]
    for selection in dict.fromkeys(selections):
        columns = [j for j, name in enumerate(selections) if name == selection]
        cells = [row[j] for row in figure.cells for j in columns]
        tests = [tested(cell.q) for cell in cells if cell is not None and cell.q is not None]
        if tests:
            counts.append(
                f"{sum(not test.is_null for test in tests)} of {len(tests)} of {selection}"
            )
    if not counts:
        return of_drops(figure)
    return f"{where(figure, 'task', 'metric_of')}{', '.join(counts)} exceed their random controls."


def of_drop_table(figure: Table) -> str:
    """One plain sentence on all drops of a run."""
    records: tuple[DropRecord, ...] = figure.records
    verdicts = [tested(record.q) for record in records if record.q is not None]
    beyond = sum(not verdict.is_null for verdict in verdicts)
    if not verdicts:
        return ""
    return (
        f"{_exceeding(beyond, len(verdicts))} the random controls, corrected for the "
        "number of tests."
    )


def mark_pareto(figure: Scatter) -> Scatter:
    """The figure with its Pareto front marked: the points that no other one beats in both."""
    known = [p.place for p in figure.points if p.place is not None]
    points = tuple(
        replace(p, x=replace(p.x, mark=True), y=replace(p.y, mark=True))
        if p.place is not None and not any(_beats(other, p.place) for other in known)
        else p
        for p in figure.points
    )
    return replace(figure, points=points)


def of_trade(figure: Scatter) -> str:
    """One plain sentence on the best compromise of two domains: the largest lesser share."""
    known = [(point, place) for point in figure.points if (place := point.place) is not None]
    if not known:
        return ""
    best, (x, y) = max(known, key=lambda entry: min(entry[1]))
    return (
        f"Best compromise: {best.name} keeps {x:.0%} of {figure.x_name} and {y:.0%} of "
        f"{figure.y_name} (no interval)."
    )


def mark_best(figure: Grid) -> Grid:
    """The figure with its highest value marked."""
    known = [c.value for row in figure.cells for c in row if c is not None and c.value is not None]
    best = max(known, default=None)
    cells = tuple(
        tuple(
            cell if cell is None or best is None else replace(cell, mark=cell.value == best)
            for cell in row
        )
        for row in figure.cells
    )
    return replace(figure, cells=cells)


def of_grid(figure: Grid) -> str:
    """One plain sentence on a grid of coefficients: where its best value lies."""
    best = [
        (cell, down, across)
        for down, row in zip(figure.rows, figure.cells, strict=True)
        for across, cell in zip(figure.columns, row, strict=True)
        if cell is not None and cell.mark
    ]
    if not best:
        return ""
    known = [c.value for row in figure.cells for c in row if c is not None and c.value is not None]
    if len(best) == len(known) > 1:
        return (
            f"{where(figure, 'task', 'metric_of')}all {len(known)} points score alike "
            f"({known[0]:.2f} of the domain's own model)."
        )
    # A vector alone says least where a sum does as well: it may be the domain's own model.
    cell, down, across = next((b for b in best if {b[1], b[2]} != {"0", "1"}), best[0])
    return (
        f"{where(figure, 'task', 'metric_of')}best with {figure.row_name} {down} and "
        f"{figure.column_name} {across} ({cell.value:.2f} of the domain's own model)."
    )


def _is_tuned(point: PointRecord) -> bool:
    """Is a point a tuned model as it is, of which one is the domain's own? One whole vector."""
    name = point.coefficients
    return name.endswith("=1") and not {",", ":"} & set(name) and point.parts == ALL


def _is_level(base: Measurement | None) -> bool:
    """Does the interval of the base's share include 1, that of the domain's own model? Without an
    interval, as of few items that agree: is it 1?"""
    if base is None or base.low is None or base.high is None:
        return base is not None and base.value == 1
    return held(base.low, base.high, 1.0).is_null


def _beats(other: tuple[float, float], place: tuple[float, float]) -> bool:
    return other != place and other[0] >= place[0] and other[1] >= place[1]


def _exceeding(some: int, of: int) -> str:
    things = "drop" if of == 1 else "drops"
    return f"{_count(some, of, things)} {'exceeds' if some == 1 else 'exceed'}"


def _count(some: int, of: int, things: str) -> str:
    """The count in words, such as "2 of 3 drops" or "all 3 drops"."""
    return f"all {of} {things}" if some == of > 1 else f"{some} of {of} {things}"
