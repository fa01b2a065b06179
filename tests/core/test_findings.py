"""A sentence says what its figure shows, also where values or intervals are missing."""

from __future__ import annotations

from dataclasses import replace

from core import findings
from core.figures import Cell, Grid, Lines, Panel, Series


def _cell(value: float | None, low: float | None = None, high: float | None = None) -> Cell:
    return Cell(value, value, 0.0, 0.01, value, low, high)


def _grid(
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    *cells: tuple[Cell | None, ...],
    controls: frozenset[str] = frozenset(),
) -> Grid:
    return Grid(
        title="", measure="", unit="", row_name="model", column_name="module", rows=rows,
        columns=columns, cells=cells, controls=controls,
    )  # fmt: skip


SIDES = ("attention", "mlp")


def test_intervals_are_compared_within_one_model() -> None:
    """a's attention lacks an interval; b's must not stand in for it."""
    figure = _grid(
        ("a", "b"), SIDES,
        (_cell(0.4), _cell(0.1, 0.0, 0.2)),
        (_cell(0.6, 0.3, 0.9), _cell(0.6, 0.25, 0.95)),
    )  # fmt: skip
    assert "apart for 0 of 2 models" in findings.of_attention_against_mlp(figure)


def test_both_sides_avoiding_is_called_avoiding() -> None:
    figure = _grid(("a",), SIDES, (_cell(-0.1, -0.12, -0.08), _cell(-0.3, -0.32, -0.28)))
    said = findings.of_attention_against_mlp(figure)
    assert said.startswith(
        "Updates of attention avoid the base's directions less than those of mlp"
    )
    assert "apart for 1 of 1" in said


def test_controls_are_no_findings() -> None:
    figure = _grid(
        ("a", "null"), SIDES, (_cell(0.2), _cell(0.1)), (_cell(9.0), _cell(-9.0)),
        controls=frozenset({"null"}),
    )  # fmt: skip
    assert "of 1 models" in findings.of_attention_against_mlp(figure)
    matrix = _grid(
        ("a", "b", "null"), ("a", "b", "null"),
        (None, _cell(0.2), _cell(0.9)), (_cell(0.2), None, _cell(0.9)), (None, None, None),
        controls=frozenset({"null"}),
    )  # fmt: skip
    assert findings.of_cosines(matrix).startswith("a and b share the most (cosine +0.20);")


def test_nothing_changed_is_said() -> None:
    lines = Series("same", (0, 1), (_cell(0.0), _cell(0.0)))
    figure = Lines(
        title="", measure="", unit="", x_label="layer",
        panels=(Panel("attention", (lines,)), Panel("mlp", (lines,))),
    )  # fmt: skip
    assert findings.of_sizes(figure) == "No tuned model changed the layers' weights."
    empty = _grid(("a",), SIDES, (_cell(None), _cell(None)))
    assert "can't be compared" in findings.of_attention_against_mlp(empty)
    assert "No update" in findings.of_alignment(_grid(("0",), ("q",), (_cell(None),)))
    assert findings.of_largest(_grid(("0",), ("q",), (None,))) == ""


def test_the_largest_and_the_smallest_are_single_modules() -> None:
    figure = _grid(
        ("0", "1"), ("q", "mlp", "up"),
        (_cell(0.5), _cell(9.0), _cell(0.2)), (_cell(0.1), _cell(0.0), _cell(0.3)),
    )  # fmt: skip
    figure = replace(figure, chosen={"model": "medical"})
    assert findings.of_largest(figure) == (
        "medical: largest in q of layer 0 (0.5), smallest in q of layer 1 (0.1)."
    )
