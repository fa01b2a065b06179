"""Resolved plots: ticks, numbers as text, and the parts of a cell that belong to a reading."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.render.terminal.bars import Painter
from app.render.terminal.palette import on
from core.engine import registry
from core.engine.measurement import Better, Measurement
from core.figures.choices import default_choice, narrowed
from core.figures.figure import Cell, Grid, Lines, Panel, Point, Scatter, Series
from core.figures.filters import Filter
from core.figures.plots import resolution
from core.figures.plots.curves import CurvesPlot
from core.figures.plots.grids import GridPlot
from core.figures.plots.multiples import alone, coincide, split
from core.figures.plots.numbers import formatter, significant, tick_labels
from core.figures.plots.plot import OF_BASE
from core.figures.plots.ranges import Axis, axis, scale, ticks
from core.figures.plots.values import Level, Value
from core.figures.views import Catalogue, Choice
from tests import pretend
from tests.core.figures.samples import RANGES, ROWS


def test_neighbouring_ticks_differ_however_close_they_are() -> None:
    assert tick_labels([0.0078125, 0.007813, 0.0078135]) == ["0.0078125", "0.007813", "0.0078135"]
    assert tick_labels([0.5, 0.5]) == ["0.5", "0.5"]


@settings(max_examples=200)
@given(
    low=st.floats(-1e6, 1e6),
    span=st.floats(1e-6, 1e6),
    most=st.integers(2, 12),
)
@example(low=0.0078125, span=1e-6, most=3)
def test_ticks_cover_the_range_and_differ(low: float, span: float, most: int) -> None:
    marks = ticks(low, low + span, most)
    assert marks[0] <= low + 1e-6 * span + 1e-9 * abs(low)
    assert marks[-1] >= low + span - 1e-6 * span - 1e-9 * abs(low)
    assert len(marks) <= most + 2
    if span > 1e-4 * abs(low):
        labels = tick_labels(marks)
        assert len(set(labels)) == len(labels)


def test_zeros_alone_have_an_axis_that_begins_there() -> None:
    assert (axis([0.0, 0.0], zero=True).low, axis([0.0]).high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("reach", "value", "words"),
    [
        (0.5, 4e-5, "4e-5"), (0.5, -4e-5, "-4e-5"), (0.5, -4e-200, "0.000"), (0.5, 0.0006, "0.001"),
        (0.5, -0.0, "0.000"), (50.0, -0.004, "-4e-3"), (500.0, -0.04, "0.0"), (9.0, 0.0, "0.000"),
    ],
)  # fmt: skip
def test_no_number_among_large_ones_reads_as_zero_where_there_is_room(
    reach: float, value: float, words: str
) -> None:
    assert formatter([reach + 0.01])(value) == words
    assert formatter([-0.0, 7.0, -7.0], signed=True)(-0.0) == "+0"
    assert significant([400.0])(-0.3) == "0"


def test_numbers_of_one_figure_share_a_form() -> None:
    write = formatter([0.5, 0.25], signed=True)
    assert (write(0.5), write(-0.25)) == ("+0.500", "-0.250")
    assert formatter([1e-5])(1e-5) == "1.0e-5"
    assert formatter([12345.6])(12345.6) == "12346"
    assert formatter([3.0, 17.0])(3.0) == "3", "counts, ranks and places are whole"
    assert formatter([0.0, 1.0])(1.0) == "1.000"


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
    tones = [None if value is None else value.tone for value in plot.cells[0]]
    assert tones == [1.0, None, None, None, None]
    texts = [value.text + value.signs for value in plot.cells[0] if value is not None]
    assert texts == ["+1.000", "·", "+inf", "+0.010~"]


def graded(better: Better, *values: float | Cell, signed: bool = True) -> GridPlot:
    """A row of cells whose better direction is given."""
    cells = (v if isinstance(v, Cell) else Cell(v, v, better=better) for v in values)
    made = tuple(cells)
    return resolution.grid(
        Grid(
            title="drop · top-1%", measure="m", unit="%", row_name="model", column_name="task",
            rows=("0",), columns=tuple("abcdefgh"[: len(made)]), cells=(made,), signed=signed,
        )
    )  # fmt: skip


def told(plot: GridPlot) -> list[tuple[float | None, str]]:
    return [(value.tone, value.side) for value in plot.cells[0] if value is not None]


def test_a_signed_value_with_a_direction_is_better_or_worse_and_not_up_or_down() -> None:
    null = Cell(-1.0, -1.0, 0.0, low=-3.0, high=0.5, better="lower")
    lower = graded("lower", -4.0, 2.0, 0.0, null)
    assert told(lower) == [(1.0, "better"), (0.25, "worse"), (0.5, ""), (None, "")]
    assert [value.signs for value in lower.values()] == ["✓", "✗", "", "~"]
    assert told(graded("higher", -4.0, 2.0)) == [(0.0, "worse"), (0.75, "better")]
    assert lower.heading == "drop [%] (lower is better) · top-1%"
    assert (lower.scale.ramp, lower.scale.ends) == ("better", ("better -4", "+2 worse"))
    assert lower.remarks(dense=False)[:4] == [
        "lower is better", "dim ~ interval includes 0", "✓ better", "✗ worse",
    ]  # fmt: skip


def test_colours_cover_the_values_that_have_one() -> None:
    """A drop that its random controls reach too does not make the significant ones pale."""
    cells = [Cell(v, v, 0.0, q=q, better="lower") for v, q in ((19.5, 0.01), (82.5, 0.9))]
    plot = graded("lower", *cells)
    assert told(plot) == [(0.0, "worse"), (None, "")]
    assert plot.scale.ends == ("0", "+19.50 worse")
    assert graded("lower", cells[1]).scale.ends == ("0", "+82.50 worse"), "no value has a colour"
    levels = [Cell(v, v, 0.5, chance_sd=0.1) for v in (0.5, 0.8, 0.9)]
    assert told(graded("neither", *levels, signed=False)) == [(None, ""), (0.0, ""), (1.0, "")]


def test_a_value_without_a_direction_is_neither_better_nor_worse() -> None:
    plot = graded("neither", -4.0, 2.0)
    assert told(plot) == [(0.0, ""), (0.75, "")]
    assert plot.scale.ramp == "signed"
    scores = graded("lower", 4.0, 2.0, signed=False)
    assert told(scores) == [(1.0, ""), (0.0, "")]
    assert (scores.scale.ramp, scores.heading) == (
        "sequential", "drop [%] (lower is better) · top-1%",
    )  # fmt: skip
    mixed = graded("lower", Cell(1.0, 1.0, better="higher"), Cell(1.0, 1.0, better="lower"))
    assert mixed.better == "neither"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_a_scale_about_zero_covers_the_values_and_no_more(values: list[float]) -> None:
    colours = scale(values, signed=True)
    if any(values):
        assert (colours.low, colours.high) == (min(0.0, *values), max(0.0, *values))
    assert colours.tone(0.0) == 0.5
    tones = colours.tones(9)
    assert tones == sorted(tones)
    assert max(abs(tone - 0.5) for tone in (tones[0], tones[-1])) == pytest.approx(0.5)


def test_points_that_are_models_look_as_their_lines_do() -> None:
    """The sign and the colour of a model are those of its place in the study; a control's are
    those of controls, and a model is no kind of point that a table would name twice."""
    view = next(v for v in registry.get("divergence").views if v.key == "against")
    catalogue = Catalogue(
        ranges={"model": ("maths", "null"), "probe": ("a", "b")}, controls=frozenset({"null"}),
        models=("base", "medical", "maths", "null"),
    )  # fmt: skip
    rows = [
        Measurement(metric="kl", value=i + len(model), model=model, reference="base", probe=probe)
        for model in ("maths", "null") for i, probe in enumerate("ab")
    ]  # fmt: skip
    choice = Choice(measure="kl", probe="a", against="b")
    figure = view.lay_out(choice, rows, catalogue, registry.get("divergence").metric("kl"))
    assert isinstance(figure, Scatter)
    plot = resolution.scatter(figure)
    assert [(p.name, p.index, p.control) for p in plot.every] == [
        ("maths", 1, False), ("null", 2, True),
    ]  # fmt: skip
    assert [(e.text, e.index, e.control) for e in plot.legend() if e.symbol == "series"] == [
        ("maths", 1, False), ("null", 2, True),
    ]  # fmt: skip
    assert plot.table().head == ("model", "a", "b")


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


def test_a_line_stands_alone_or_each_apart_with_its_own_signs() -> None:
    """On the axes of the whole, beside the base and the controls."""

    def series(name: str, value: float, **more: bool) -> Series:
        return Series(name, (0, 1), (Cell(value, value),) * 2, **more)

    def named(plot: CurvesPlot) -> dict[str, list[str]]:
        return {panel.title: [curve.name for curve in panel.curves] for panel in plot.panels}

    curves = (
        series("base", 1.0), series("medical", 2.0),
        series("medical by chance", 0.5, companion=True),
        series("null", 0.1, control=True), series("maths", 9.0),
    )  # fmt: skip
    figure = Lines(title="t", measure="m", unit="", x_label="layer", panels=(Panel("", curves),))
    whole = resolution.curves(figure)
    lone, apart = alone(whole, "maths"), split(whole)
    assert named(lone) == {"": ["base", "null", "maths"]}
    assert named(apart) == {
        "medical": ["base", "medical", "medical by chance", "null"],
        "maths": ["base", "null", "maths"],
    }
    index = {curve.name: curve.index for curve in whole.curves}
    for plot in (lone, apart):
        assert plot.y_axis == whole.y_axis
        assert [e.text for e in plot.legend()] == [e.text for e in whole.legend()]
        assert all(c.index == index[c.name] for panel in plot.panels for c in panel.curves)

    shared = (*curves[:2], curves[4], series("chance", 0.3, companion=True))
    once = split(resolution.curves(replace(figure, panels=(Panel("", shared),))))
    assert named(once) == {
        "medical": ["base", "medical", "chance"], "maths": ["base", "maths", "chance"],
    }, "a level of all lines stands in every panel"  # fmt: skip

    two = replace(figure, panels=(Panel("attention", curves), Panel("mlp", curves[1:])))
    turned = split(resolution.curves(two))
    assert (turned.series_name, turned.panel_name) == ("module", "model")
    assert named(turned)["base"] == ["attention"]
    assert named(turned)["medical"] == [
        "attention", "attention by chance", "mlp", "mlp by chance",
    ]  # fmt: skip
    assert [c.index for c in turned.panels[1].curves] == [0, 0, 1, 1]
    only = replace(figure, panels=(Panel("", curves[:3]),))
    assert named(split(resolution.curves(only))) == named(resolution.curves(only))


@pytest.mark.parametrize("seed", range(12))
def test_lines_coincide_where_half_of_their_points_lie_within_a_row_of_another(seed: int) -> None:
    chance, rows = random.Random(seed), 10
    spread = chance.choice((0.3, 1.0, 6.0))
    heights = [[chance.gauss(0, spread) for _ in range(8)] for _ in range(4)]
    heights.append([-20.0, *[20.0] * 7])  # sets the axis
    lines = [Series(f"m{i}", tuple(range(8)), tuple(Cell(y, y) for y in line_heights))
             for i, line_heights in enumerate(heights)]  # fmt: skip
    base = Series("base", tuple(range(8)), tuple(Cell(20.0, 20.0) for _ in range(8)))
    figure = Lines(title="t", measure="m", unit="", x_label="layer",
                   panels=(Panel("", (base, *lines)),))  # fmt: skip
    plot = resolution.curves(figure)
    row = (plot.y_axis.high - plot.y_axis.low) / rows
    near = sum(
        any(abs(line_heights[x] - other[x]) < row for other in heights if other is not line_heights)
        for line_heights in heights
        for x in range(8)
    )
    assert coincide(plot, rows) is (near > 20)
    assert not coincide(split(plot), rows), "a line and the base alone are told apart"


def test_a_model_looks_the_same_whatever_was_measured_yet_and_passes_a_filter() -> None:
    catalogue = replace(RANGES, models=("base", "medical", "maths", "code"))
    view, rows = pretend.view("curves"), [row for row in ROWS if row.metric == "activated"]
    looks: dict[str, set[int]] = {}
    for names in (("maths",), ("base", "maths"), ("medical", "maths", "base")):
        shown = narrowed(catalogue, Filter(model=names))
        chosen = [row for row in rows if row.model in names]
        choice = default_choice(view, shown)
        figure = view.lay_out(choice, chosen, shown, pretend.ANALYSIS.metric("activated"))
        assert isinstance(figure, Lines)
        for curve in resolution.curves(figure).curves:
            looks.setdefault(curve.name, set()).add(curve.index)
    assert looks == {"medical": {0}, "maths": {1}, "base": {OF_BASE}}
    ground = on("dark")
    tuned = {str(ground.line(place, False).color) for place in range(50)}
    assert str(ground.line(OF_BASE, False).color) not in tuned, "however many models there are"


def test_the_bars_of_a_model_look_as_its_lines_do() -> None:
    """Their colour and sign are of the model's place in the study, whatever was measured of it."""
    catalogue = Catalogue(
        ranges={"model": ("maths", "null"), "module": ("attention", "mlp")},
        controls=frozenset({"null"}), models=("base", "medical", "maths", "null"),
    )  # fmt: skip
    view = next(v for v in registry.get("alignment").views if v.key == "summary")
    rows = [
        Measurement(metric="gain", value=1.0, model=model, module=module)
        for model in ("maths", "null") for module in ("attention", "mlp")
    ]  # fmt: skip
    spec = registry.get("alignment").metric("gain")
    figure = view.lay_out(Choice(measure="gain"), rows, catalogue, spec)
    assert isinstance(figure, Grid)
    plot = resolution.bars(figure)
    assert [plot.index(0, j) for j in range(2)] == [1, 1]
    assert [(row.index, plot.faint(i, 1)) for i, row in enumerate(plot.rows)] == [
        (1, False), (2, True),
    ]  # fmt: skip
    palette = on("dark")
    line = [s for s in Painter(plot, 80, palette).line(0) if s.style and s.style.color]
    assert {s.style for s in line if s.text.strip() in ("■", "█")} == {palette.line(1, False)}
    turned = resolution.bars(
        replace(figure, row_name="module", row_of="module", column_of="model",
                rows=("attention", "mlp"), columns=("maths", "null"))
    )  # fmt: skip
    assert [turned.index(0, j) for j in range(2)] == [1, 2]
