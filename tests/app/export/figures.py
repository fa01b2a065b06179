"""Small figures of every kind, with all that a drawing must tell apart."""

from __future__ import annotations

from core.views import Cell, Grid, Lines, Panel, Series

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


def cell(value: float | None, **more: float | int | None) -> Cell:
    """A cell that shows its raw value."""
    return Cell(value, value, **more)  # type: ignore[arg-type]


def lines(names: tuple[str, ...] = ("medical", "maths")) -> Lines:
    """Two panels with a gap, intervals, levels of chance, and a control."""
    found = tuple(
        Series(
            name,
            (0, 1, 2),
            (
                cell(0.5 + at, chance=0.1, chance_sd=0.01),
                cell(None, chance=0.2, chance_sd=0.02),
                cell(0.75 + at, chance=0.3, chance_sd=0.03, low=0.7 + at, high=0.8 + at, n=7),
            ),
        )
        for at, name in enumerate(names)
    )
    control = Series("retrained", (0, 1, 2), (cell(0.2), cell(0.25), cell(0.21)), control=True)
    return Lines(
        title="write alignment", measure="write", unit="", x_label="layer",
        panels=(Panel("attention", (control, *found)), Panel("mlp", found)),
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
        rows=names, columns=names, cells=tuple(map(tuple, cells)), signed=True,
        controls=frozenset({"retrained"}),
    )  # fmt: skip


def heatmap(layers: int, model: str = "medical") -> Grid:
    """A heat map of that many layers."""
    modules = ("q", "k", "v", "o", "gate", "up", "down", "attention", "mlp")
    return Grid(
        title=f"relative norm · {model}", measure="relative_norm", unit="", row_name="layer",
        column_name="module", rows=tuple(map(str, range(layers))), columns=modules,
        cells=tuple(tuple(cell(i + j / 10) for j in range(len(modules))) for i in range(layers)),
        model=model,
    )  # fmt: skip


def bars(names: tuple[str, ...] = ("medical", "retrained")) -> Grid:
    """Two bars a model, with intervals and chance; one is undefined."""
    rows = [
        (
            cell(0.1 * (at + 1), low=0.05, high=0.4, chance=0.01, chance_sd=0.02, n=8),
            cell(-0.2) if at else cell(None),
        )
        for at in range(len(names))
    ]
    return Grid(
        title="excess", measure="two_sided_excess", unit="", row_name="model",
        column_name="module", rows=names, columns=("attention", "mlp"), cells=tuple(rows),
        signed=True, controls=frozenset({"retrained"}),
    )  # fmt: skip
