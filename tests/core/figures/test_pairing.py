"""Two figures of one view: common ranges, the same places, and the second minus the first."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.render.terminal.palette import on
from app.render.terminal.scatters import picture
from core.engine.measurement import Better
from core.figures.choices import default_choice, options
from core.figures.common import catalogue_of_both, merged
from core.figures.differences import beyond, largest, minus
from core.figures.figure import Cell, Column, Grid, Lines, Panel, Point, Scatter, Series, Table
from core.figures.pairing import aligned, difference, shared
from core.figures.plots import resolution
from core.figures.plots.ranges import Axis
from core.figures.views import Catalogue, Combination
from tests import pretend

ORDER = "abcdefghij"


def cell(value: float | None, **more: Any) -> Cell:
    return Cell(value, value, **more)


def grid(rows: str, columns: str, seed: int, reach: float = 1.0) -> Grid:
    random_ = random.Random(seed)
    cells = tuple(tuple(cell(random_.uniform(0, reach)) for _ in columns) for _ in rows)
    return Grid(
        title="T", measure="m", unit="", row_name="model", column_name="module",
        rows=tuple(rows), columns=tuple(columns), cells=cells,
    )  # fmt: skip


def lines(values: dict[str, dict[str, list[float]]]) -> Lines:
    panels = tuple(
        Panel(title, tuple(
            Series(name, tuple(range(len(ys))), tuple(map(cell, ys)))
            for name, ys in by_name.items()
        ))
        for title, by_name in values.items()
    )  # fmt: skip
    return Lines(title="T", measure="m", unit="", x_label="layer", panels=panels)


def number(cell: Cell | None) -> float:
    assert cell is not None
    assert cell.value is not None
    return cell.value


def scatter(points: dict[str, tuple[float, float]]) -> Scatter:
    return Scatter(
        title="T", measure="m", unit="", across="task", x_name="one", y_name="two",
        point_name="setting",
        points=tuple(Point(name, "", cell(x), cell(y)) for name, (x, y) in points.items()),
    )  # fmt: skip


def test_a_grid_is_subtracted_place_by_place() -> None:
    first, second = grid("acd", "qv", 1), grid("abd", "qvo", 2, reach=3)
    one, other = aligned(first, second)
    assert isinstance(one, Grid)
    assert isinstance(other, Grid)
    assert one.rows == other.rows == tuple("acbd")
    assert one.columns == other.columns == tuple("qvo")
    assert resolution.grid(one).scale == resolution.grid(other).scale
    result = difference(one, other)
    assert result is not None
    assert isinstance(result.figure, Grid)
    assert result.figure.signed
    want = {
        (r, c): number(second.cells["abd".index(r)]["qvo".index(c)])
        - number(first.cells["acd".index(r)]["qv".index(c)])
        for r in "ad" for c in "qv"
    }  # fmt: skip
    assert {place: c.value for place, c in result.figure.places().items()} == pytest.approx(want)
    assert result.notes == (
        "only A has model c", "only B has model b", "only B has module o",
    )  # fmt: skip


def test_curves_share_axes_and_signs_and_are_subtracted() -> None:
    first = lines({"x": {"a": [1, 2, 3], "c": [1, 1, 1]}, "y": {"a": [0, 0, 1]}})
    second = lines({"x": {"b": [9, 9, 9, 9], "c": [2, 4, 8, 9]}, "y": {"c": [5, 5, 5, 5]}})
    one, other = aligned(first, second)
    assert isinstance(one, Lines)
    assert isinstance(other, Lines)
    plots = resolution.curves(one), resolution.curves(other)
    assert plots[0].x_axis == plots[1].x_axis == Axis(0, 3, whole=True)
    assert plots[0].y_axis == plots[1].y_axis
    assert plots[0].y_axis.high >= 9
    assert [[s.name for s in p.series] for p in one.panels] == [["a", "b", "c"]] * 2
    assert [[s.name for s in p.series] for p in other.panels] == [["a", "b", "c"]] * 2
    result = difference(one, other)
    assert result is not None
    got = {place: c.value for place, c in result.figure.places().items()}
    assert got == {("c", "0", "x"): 1, ("c", "1", "x"): 3, ("c", "2", "x"): 7}
    assert "only A has model a" in result.notes
    assert "only B has layer 3" in result.notes
    assert largest(result, one, other) == (
        "Largest difference: +7 at c, layer 2, x (1 in A, 8 in B); its spread is not known."
    )


def test_names_below_curves_are_united() -> None:
    first = replace(lines({"": {"a": [1, 2]}}), x_names=("q", "o"))
    second = replace(lines({"": {"a": [5, 7]}}), x_names=("o", "up"))
    one, other = aligned(first, second)
    assert isinstance(one, Lines)
    assert isinstance(other, Lines)
    assert one.x_names == other.x_names == ("q", "o", "up")
    result = difference(one, other)
    assert result is not None
    assert {place: c.value for place, c in result.figure.places().items()} == {("a", "o"): 3}


def test_points_share_axes_and_move() -> None:
    first = scatter({"a": (0, 0), "b": (1, 2)})
    second = scatter({"b": (1.5, -7), "c": (30, 4)})
    one, other = aligned(first, second)
    assert isinstance(one, Scatter)
    assert isinstance(other, Scatter)
    plots = [resolution.scatter(figure) for figure in (one, other)]
    frames = [picture(plot, width=60, height=20, palette=on("dark")).frame for plot in plots]
    assert frames[0] == frames[1]
    result = difference(one, other)
    assert result is not None
    got = {place: c.value for place, c in result.figure.places().items()}
    assert got == {("b", "one"): 0.5, ("b", "two"): -9}
    assert result.notes == ("only A has setting a", "only B has setting c")


def test_tables_stay_as_they_are() -> None:
    first = Table(title="T", columns=(Column(name="c"),), rows=(("x",),))
    second = replace(first, rows=(("y",), ("z",)))
    assert aligned(first, second) == (first, second)
    assert difference(first, second) is None
    with pytest.raises(TypeError):
        aligned(first, grid("a", "q", 0))


def test_layers_go_by_number_unless_by_depth() -> None:
    first = lines({"": {"a": [0, 10, 20]}})
    second = lines({"": {"a": [1, 2, 4, 8, 16]}})
    by_number, by_depth = difference(first, second), difference(first, second, (3, 5))
    assert by_number is not None
    assert by_depth is not None
    assert [c.value for c in by_number.figure.places().values()] == [1, -8, -16]
    assert [c.value for c in by_depth.figure.places().values()] == [1 - 0, 4 - 10, 16 - 20]
    assert by_number.notes == ("only B has layer 3, 4",)
    assert by_depth.notes == ()


def test_rows_of_layers_go_by_depth() -> None:
    first = replace(grid("01", "q", 1), row_name="layer", row_of="layer")
    second = replace(grid("0123", "q", 2), row_name="layer", row_of="layer")
    result = difference(first, second, (2, 4))
    assert result is not None
    want = [number(second.cells[j][0]) - number(first.cells[i][0]) for i, j in ((0, 0), (1, 3))]
    assert [c.value for c in result.figure.places().values()] == pytest.approx(want)


def test_the_interval_is_that_of_newcombe() -> None:
    """His example: 56 of 70 against 48 of 80, method 10: 0.2000, 0.0524 to 0.3339."""

    def share(hits: int, n: int) -> Cell:
        ends = stats.binomtest(hits, n).proportion_ci(method="wilson")
        return cell(hits / n, low=ends.low, high=ends.high)

    result = minus(share(56, 70), share(48, 80))
    assert result.value == pytest.approx(0.2)
    assert result.low == pytest.approx(0.0524, abs=5e-5)
    assert result.high == pytest.approx(0.3339, abs=5e-5)
    assert beyond(result) == "interval excludes 0"


numbers = st.floats(-1e6, 1e6)  # never at the level of chance, which says that chance is shown
measured = st.builds(
    lambda v, a, b: cell(v, low=v - a, high=v + b, chance=2e6, chance_sd=a),
    numbers, st.floats(0, 1e6), st.floats(0, 1e6),
)  # fmt: skip


@given(measured, measured)
def test_the_other_way_round_everything_has_the_other_sign(a: Cell, b: Cell) -> None:
    one, other = minus(b, a), minus(a, b)
    assert one.value == -(other.value or 0.0)
    assert one.low == -(other.high or 0.0)
    assert one.high == -(other.low or 0.0)
    assert one.low <= one.value <= one.high
    assert one.chance == other.chance == 0
    assert one.chance_sd == other.chance_sd


def test_spreads_by_chance_add_in_quadrature() -> None:
    result = minus(cell(0.95, chance=0.5, chance_sd=0.04), cell(0.8, chance=0.5, chance_sd=0.03))
    assert result.chance == 0
    assert result.chance_sd == pytest.approx(0.05)
    assert beyond(result) == "beyond chance"
    near = minus(cell(0.85, chance=0.5, chance_sd=0.04), cell(0.8, chance=0.5, chance_sd=0.03))
    assert beyond(near) == "within chance"


def test_what_is_no_raw_value_has_no_interval() -> None:
    raw = Cell(0.4, 0.9, 0.5, 0.01, 0.4, 0.8, 1.0)
    result = minus(raw, replace(raw, shown=0.3, excess=0.3))
    assert (result.low, result.high) == (None, None)
    assert result.shown == pytest.approx(0.1)
    level = replace(raw, shown=0.5)
    assert minus(level, level).chance_sd is None


@given(measured)
def test_a_measurement_differs_from_itself_by_nothing_at_all(a: Cell) -> None:
    assert minus(a, a, same=True) == Cell(0.0, 0.0, same=True)
    assert beyond(minus(a, a, same=True)) == "the same measurement"
    assert minus(a, a).chance_sd is not None, "of two measurements, however equal, it is not known"
    assert minus(Cell(None, None), Cell(None, None), same=True) == Cell(None, None)


def test_only_equal_values_of_a_part_are_the_same() -> None:
    first, second = grid("ab", "qv", 1), grid("ab", "qv", 2)
    second = replace(second, cells=(first.cells[0], second.cells[1]))
    part = replace(first, rows=("a", "c"))
    assert shared(part, first, second) == {("a", "q"), ("a", "v")}
    assert shared(first, first, second) == {("a", "q"), ("a", "v")}, "never what differs"


def test_the_same_measurements_are_counted() -> None:
    near = {"low": 0.0, "high": 2.0, "chance": 0.5, "chance_sd": 0.2}
    first = lines({"x": {"a": [1, 1]}, "y": {"a": [1, 1]}})
    first = replace(first, panels=tuple(
        replace(p, series=(replace(p.series[0], cells=(cell(1, **near), cell(1, **near))),))
        for p in first.panels
    ))  # fmt: skip
    result = difference(first, first, same={("a", "1", "x")})
    assert result is not None
    apart = result.figure.places()
    assert [place for place, c in apart.items() if c.same] == [("a", "1", "x")]
    assert [place for place, c in apart.items() if c.chance_sd is None and c.low is None] == [
        ("a", "1", "x")
    ]
    assert largest(result, first, first) == (
        "The two runs do not differ at the 4 places that they share."
        " At 1 of the 4 places it is the same measurement."
    )
    everywhere = difference(first, first, same=set(apart))
    assert everywhere is not None
    assert largest(everywhere, first, first) == "All 4 places are the same measurements."


def test_the_values_of_points_and_grids_may_be_the_same_too() -> None:
    points = scatter({"a": (0, 1), "b": (1, 2)})
    moved = difference(points, points, same={("a", "two")})
    assert moved is not None
    assert [place for place, c in moved.figure.places().items() if c.same] == [("a", "two")]
    squares, other = grid("ab", "qv", 1), grid("ab", "qv", 2)
    other = replace(other, cells=(squares.cells[0], other.cells[1]))
    result = difference(squares, other, same={("a", "q"), ("a", "v")})
    assert result is not None
    assert [place for place, c in result.figure.places().items() if c.same] == [
        ("a", "q"),
        ("a", "v"),
    ]
    assert largest(result, squares, other).endswith(
        "its spread is not known. At 2 of the 4 places it is the same measurement."
    )


def test_undefined_values_have_an_undefined_difference() -> None:
    assert minus(cell(None), cell(1.0)).shown is None
    empty = difference(grid("a", "q", 1), grid("b", "q", 1))
    assert empty is not None
    assert (
        largest(empty, grid("a", "q", 1), grid("b", "q", 1)) == "No place has a value in both runs."
    )
    same = difference(grid("ab", "q", 1), grid("ab", "q", 1))
    assert same is not None
    sentence = largest(same, grid("ab", "q", 1), grid("ab", "q", 1))
    assert sentence == "The two runs do not differ at the 2 places that they share."


@given(st.sets(st.sampled_from(ORDER)), st.sets(st.sampled_from(ORDER)))
def test_two_orders_become_one_that_keeps_both(a: set[str], b: set[str]) -> None:
    first, second = sorted(a), sorted(b)
    union = merged(first, second)
    assert sorted(union) == sorted(a | b)
    for order in (first, second):
        assert [value for value in union if value in order] == order


def test_numbers_merge_by_size() -> None:
    assert merged(("0", "0.5", "1"), ("0", "0.75", "10")) == ("0", "0.5", "0.75", "1", "10")
    assert merged(("0", "1", "all"), ("0", "1", "2", "all")) == ("0", "1", "2", "all")


def catalogue(tasks: tuple[str, ...], models: tuple[str, ...], layers: int) -> Catalogue:
    return Catalogue(
        ranges={
            "model": models,
            "reference": ("base", *models),
            "layer": tuple(range(layers)),
            "task": tasks,
            "setting": ("top-5%",),
            "metric_of": ("acc",),
            "metric": ("drop",),
        },
        combinations=frozenset(
            Combination(
                metric="drop",
                model=model,
                reference="base",
                task=task,
                setting="top-5%",
                metric_of="acc",
            )
            for model in models
            for task in tasks
        ),
    )


def test_steps_are_those_that_both_runs_have() -> None:
    view = pretend.view("drop")
    first = catalogue(("medqa", "gsm8k"), ("medical", "code"), 4)
    second = catalogue(("gsm8k", "mmlu"), ("medical", "maths"), 6)
    ranges = catalogue_of_both(view, first, second)
    assert ranges is not None
    assert options(view, "task", default_choice(view, ranges), ranges) == ("gsm8k",)
    assert set(ranges.values("model")) == {"medical", "code", "maths"}
    assert ranges.values("layer") == tuple(range(6))
    assert catalogue_of_both(view, first, catalogue(("mmlu",), ("medical",), 4)) is None
    layered = replace(view, selectors=(*view.selectors, "layer"))
    cut = catalogue_of_both(layered, first, second)
    assert cut is not None
    assert cut.values("layer") == tuple(range(4))


@given(numbers, numbers)
def test_a_difference_is_what_was_subtracted(a: float, b: float) -> None:
    assert math.isclose(minus(cell(b), cell(a)).shown or 0.0, b - a, abs_tol=0)


def test_a_difference_of_two_runs_is_better_in_the_direction_of_the_measure() -> None:
    cell = minus(Cell(3.0, 3.0, better="lower"), Cell(4.0, 4.0, better="lower"))
    assert (cell.shown, cell.better) == (-1.0, "lower")
    ways: tuple[dict[str, Better], ...] = (
        {"acc": "higher", "odd": "higher"},
        {"ppl": "lower", "odd": "lower"},
    )
    first, second = (replace(catalogue(("t",), ("a",), 1), better=better) for better in ways)
    both = catalogue_of_both(pretend.view("drop"), first, second)
    assert both is not None
    assert both.better == {"acc": "higher", "ppl": "lower"}


def test_a_rounding_error_is_no_difference() -> None:
    first, second = lines({"": {"a": [0.1 + 0.2, 1.0]}}), lines({"": {"a": [0.3, 1.0 + 1e-9]}})
    result = difference(first, second)
    assert result is not None
    apart = [c.value for c in result.figure.places().values()]
    assert apart == [0.0, pytest.approx(1e-9)]
