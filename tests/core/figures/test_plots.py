"""Resolved plots: ticks, numbers as text, and the parts of a cell that belong to a reading."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.figures.choices import default_choice, narrowed
from core.figures.figure import Cell, Grid, Lines, Point, Scatter
from core.figures.filters import Filter
from core.figures.plots import resolution
from core.figures.plots.numbers import formatter, tick_labels
from core.figures.plots.ranges import Axis, ticks
from core.figures.plots.values import Level, Value
from tests import pretend
from tests.core.figures.samples import RANGES, ROWS


@settings(max_examples=200)
@given(
    low=st.floats(-1e6, 1e6),
    span=st.floats(1e-6, 1e6),
    most=st.integers(2, 12),
)
def test_ticks_cover_the_range_and_differ(low: float, span: float, most: int) -> None:
    marks = ticks(low, low + span, most)
    assert marks[0] <= low + 1e-6 * span + 1e-9 * abs(low)
    assert marks[-1] >= low + span - 1e-6 * span - 1e-9 * abs(low)
    assert len(marks) <= most + 2
    if span > 1e-4 * abs(low):
        labels = tick_labels(marks)
        assert len(set(labels)) == len(labels)


def test_numbers_of_one_figure_share_a_form() -> None:
    write = formatter([0.5, 0.25], signed=True)
    assert (write(0.5), write(-0.25)) == ("+0.500", "-0.250")
    assert formatter([1e-5])(1e-5) == "1.0e-5"
    assert formatter([12345.6])(12345.6) == "12346"


@given(low=st.integers(-50, 200), span=st.integers(1, 300), most=st.integers(2, 12))
def test_ticks_of_a_whole_axis_are_whole_and_within(low: int, span: int, most: int) -> None:
    marks = Axis(low, low + span, whole=True).ticks(most)
    assert marks
    for mark in marks:
        assert low <= mark.at <= low + span
        assert mark.label == str(int(mark.at))


def test_an_excess_has_neither_the_interval_nor_the_chance_level_of_the_raw_value() -> None:
    raw = Cell(0.5, 0.5, 0.25, 0.125, excess=0.25, low=0.45, high=0.55)
    excess = Cell(0.25, 0.5, 0.25, 0.125, excess=0.25, low=0.45, high=0.55)
    assert Value(raw, str).interval == (0.45, 0.55)
    assert Value(raw, str).chance == Level(0.25, 0.0, 0.5)
    assert list(Value(raw, str).drawn()) == [0.5, 0.45, 0.55, 0.25, 0.0, 0.5]
    assert Value(excess, str).interval is None
    assert Value(excess, str).chance is None
    assert list(Value(excess, str).drawn()) == [0.25]


def test_only_a_measured_value_that_differs_from_chance_has_a_tone() -> None:
    cells = (
        Cell(1.0, 1.0),
        Cell(None, None),
        Cell(float("inf"), float("inf")),
        Cell(0.01, 0.01, 0.0, 0.1),
        None,
    )
    plot = resolution.grid(
        Grid(
            title="t", measure="m", unit="", row_name="layer", column_name="module",
            rows=("0",), columns=tuple("abcde"), cells=(cells,), signed=True,
        )
    )  # fmt: skip
    assert [plot.tone(value) for value in plot.cells[0]] == [1.0, None, None, None, None]
    texts = [value.text + value.signs for value in plot.cells[0] if value is not None]
    assert texts == ["+1.000", "·", "+inf", "+0.010~"]


def test_names_beside_points_keep_apart() -> None:
    def beside(*points: Point) -> dict[str, bool]:
        figure = Scatter(
            title="t", measure="m", unit="", across="task", x_name="x", y_name="y",
            point_name="setting", points=points,
        )  # fmt: skip
        named = resolution.scatter(figure).names_beside((0, 1), (0, 1))
        return {point.name: left for point, left in named.items()}

    first, late, far = (
        Point(name, "", Cell(x, x), Cell(0.5, 0.5, mark=name == "late"))
        for name, x in (("first", 0.1), ("late", 0.11), ("far", 0.9))
    )
    assert beside(first, late, far) == {"late": False, "far": True}
    assert beside(first) == {"first": False}


def test_a_model_looks_the_same_whatever_was_measured_yet_and_passes_a_filter() -> None:
    catalogue = replace(RANGES, models=("base", "medical", "maths", "code"))
    view, rows = pretend.view("curves"), [row for row in ROWS if row.metric == "activated"]
    looks: dict[str, set[int]] = {}
    for names in (("maths",), ("base", "maths"), ("medical", "maths", "base")):
        shown = narrowed(catalogue, Filter(model=names))
        own = [row for row in rows if row.model in names]
        choice = default_choice(view, shown)
        figure = view.lay_out(choice, own, shown, pretend.ANALYSIS.metric("activated"))
        assert isinstance(figure, Lines)
        for curve in resolution.curves(figure).curves:
            looks.setdefault(curve.name, set()).add(curve.index)
    assert looks == {"medical": {0}, "maths": {1}, "base": {3}}
