"""Small figures of every kind, with all that a drawing must tell apart."""

from __future__ import annotations

from dataclasses import replace

from core.figures.figure import (
    Cell,
    Column,
    Figure,
    Grid,
    Lines,
    Panel,
    Point,
    Scatter,
    Series,
    Table,
)

ODD_NAMES = (
    r"$\frac$",
    "_low",
    "模型",
    "🦙 llama",
    "نموذج",
    "<script>x</script>&\x1b[1m",
    "long" * 20,
)
"""What matplotlib, fonts, browsers and terminals are each tempted to obey."""


def cell(value: float | None, **more: float | int | str | None) -> Cell:
    """A cell that shows its raw value."""
    return Cell(value, value, **more)  # type: ignore[arg-type]


def lines(names: tuple[str, ...] = ("medical", "maths")) -> Lines:
    """Two panels with a gap, intervals, levels of chance, and a control."""
    tuned = tuple(
        Series(
            name,
            (0, 1, 2),
            (
                cell(0.5 + index, chance=0.1, chance_sd=0.01),
                cell(None, chance=0.2, chance_sd=0.02),
                cell(
                    0.75 + index, chance=0.3, chance_sd=0.03, low=0.7 + index, high=0.8 + index, n=7
                ),
            ),
        )
        for index, name in enumerate(names)
    )
    control = Series("retrained", (0, 1, 2), (cell(0.2), cell(0.25), cell(0.21)), control=True)
    return Lines(
        title="write alignment", measure="write", unit="", x_label="layer",
        panels=(Panel("attention", (control, *tuned)), Panel("mlp", tuned)),
    )  # fmt: skip


def matrix(names: tuple[str, ...] = ("medical", "maths", "retrained")) -> Grid:
    """Every pair of models; one of them within chance, one undefined."""
    size = len(names)
    cells = [
        [None if i == j else cell((i - j) / size, chance=0.0, chance_sd=0.01) for j in range(size)]
        for i in range(size)
    ]
    cells[0][1] = cell(0.015, chance=0.0, chance_sd=0.01)
    cells[1][0] = cell(None)
    return Grid(
        title="cosine", measure="cosine", unit="", row_name="model", column_name="model",
        row_of="model", column_of="reference", rows=names, columns=names,
        cells=tuple(map(tuple, cells)), signed=True, controls=frozenset({"retrained"}),
    )  # fmt: skip


def heatmap(layers: int = 5, model: str = "medical") -> Grid:
    """A heat map of that many layers."""
    modules = ("q", "k", "v", "o", "gate", "up", "down", "attention", "mlp")
    return Grid(
        title=f"relative norm · {model}", measure="relative_norm", unit="", row_name="layer",
        column_name="module", rows=tuple(map(str, range(layers))), columns=modules,
        cells=tuple(tuple(cell(i + j / 10) for j in range(len(modules))) for i in range(layers)),
        chosen={"model": model},
    )  # fmt: skip


def bars(names: tuple[str, ...] = ("medical", "retrained")) -> Grid:
    """Two bars a model, with intervals and chance; one is undefined."""
    rows = [
        (
            cell(0.1 * (index + 1), low=0.05, high=0.4, chance=0.01, chance_sd=0.02, n=8),
            cell(-0.2) if index else cell(None),
        )
        for index in range(len(names))
    ]
    return Grid(
        title="excess", measure="two_sided_excess", unit="", row_name="model",
        column_name="module", row_of="model", column_of="module", rows=names,
        columns=("attention", "mlp"), cells=tuple(rows),
        signed=True, controls=frozenset({"retrained"}),
    )  # fmt: skip


def scatter(names: tuple[str, ...] = ("a", "b", "c")) -> Scatter:
    """Points of two kinds, one of them set apart, one without a place, with guides and chance."""
    places = ((0.1, 0.2), (0.5, 0.4), (0.9, 0.3))
    points = [
        Point(
            name,
            "merged" if index else "base",
            cell(places[index % 3][0], chance=0.25, chance_sd=0.01, low=0.0, high=0.6),
            cell(places[index % 3][1] + index // 3 / 4),
        )
        for index, name in enumerate(names)
    ]
    points[1] = replace(points[1], y=replace(points[1].y, mark=True))
    points.append(Point("lost", "merged", cell(None), cell(0.5)))
    return Scatter(
        title="normalised", measure="normalised", unit="", across="task", x_name="medical",
        y_name="maths", point_name="coefficients", points=tuple(points), x_guides=(1.0,),
        y_guides=(0.5,), mark_name="best",
    )  # fmt: skip


def table() -> Table:
    """Numbers, a missing one, and somebody else's text, in more rows than a report lists."""
    rows = [(0, 7, 0.5, " the"), (1, 8, None, "<b>"), *((2, n, 0.1, "x") for n in range(60))]
    return Table(
        title="neurons", note="of medical", rows=tuple(rows),
        columns=(
            Column(name="layer"), Column(name="neuron", form=",d"),
            Column(name="score", form=".3f", signed=True), Column(name="token", outside=True),
        ),
    )  # fmt: skip


def emptied(figure: Figure) -> Figure:
    """The same figure with nothing in it."""
    if isinstance(figure, Grid):
        return replace(figure, rows=(), columns=(), cells=())
    if isinstance(figure, Lines):
        return replace(figure, panels=())
    assert isinstance(figure, Scatter)
    return replace(figure, points=(), x_guides=(), y_guides=())
