"""What views ask for, what may be stepped through, and how figures are laid out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine import measurement, registry
from core.engine.measurement import Measurement, MetricSpec
from core.figures.choices import (
    chosen,
    default_choice,
    narrowed,
    options,
    present,
    query,
    readings,
    settled,
)
from core.figures.figure import Cell, Column, Figure, Grid, Lines, Scatter, Table
from core.figures.filters import Filter
from core.figures.kinds.curves import Curves
from core.figures.kinds.grids import Bars, Heatmap, Plane
from core.figures.layout import figure
from core.figures.plots.values import Value, yardsticks
from core.figures.views import (
    Catalogue,
    Choice,
    Combination,
    View,
    by_name,
    natural,
)
from core.models.naming import GROUP_OF, ORDER
from tests import pretend
from tests.core.figures.samples import RANGES, ROWS, arrays
from tests.selection import selected


def spec(name: str) -> MetricSpec:
    return pretend.ANALYSIS.metric(name)


def drawn(key: str, **changed: Any) -> Figure:
    view = pretend.view(key)
    choice = replace(default_choice(view, RANGES), **changed)
    rows = selected(query(view, choice, RANGES), ROWS)
    return figure(view, choice, rows, RANGES, spec(choice.measure), arrays)


def test_base_has_a_line_of_its_own_before_the_tuned() -> None:
    lines = drawn("curves")
    assert isinstance(lines, Lines)
    (panel,) = lines.panels
    assert [series.name for series in panel.series] == ["base", *pretend.TUNED]
    assert panel.series[2].xs == tuple(pretend.LAYERS)
    assert [c.shown for c in panel.series[2].cells] == [2 + layer / 10 for layer in pretend.LAYERS]


def test_a_line_has_its_chance_level_beside_it() -> None:
    lines = drawn("distance", model="maths")
    assert isinstance(lines, Lines)
    line, level = lines.panels[0].series
    assert (line.name, line.faint) == ("maths", False)
    assert (level.name, level.faint, level.control) == ("independent", True, False)
    assert [c.shown for c in line.cells] == pytest.approx([0.3] * len(pretend.LAYERS))
    assert {c.shown for c in level.cells} == {0.5}


def test_several_lines_have_levels_that_are_told_apart() -> None:
    view = replace(pretend.view("distance"), selectors=())
    choice = default_choice(view, RANGES)
    rows = list(selected(query(view, choice, RANGES), ROWS))
    lines = figure(view, choice, rows, RANGES, spec("hamming"))
    assert isinstance(lines, Lines)
    names = [s.name for s in lines.panels[0].series]
    assert names == [*pretend.TUNED, "independent"], "equal levels are one"
    rows[0] = replace(rows[0], chance=0.4)
    lines = figure(view, choice, rows, RANGES, spec("hamming"))
    assert isinstance(lines, Lines)
    assert [s.name for s in lines.panels[0].series][:2] == ["instruct", "instruct independent"]


def test_sources_and_targets_stand_against_each_other() -> None:
    grid = drawn("drop")
    assert isinstance(grid, Grid)
    assert grid.rows == ("base", *pretend.TUNED)
    assert grid.columns == pretend.TUNED
    assert (grid.row_name, grid.row_of) == ("neurons from", "reference")
    assert grid.chosen == {"task": "medqa", "metric_of": "acc", "setting": "top-5%"}
    assert grid.cells[2][1] is not None
    assert grid.cells[2][1].value == 19.0


def test_coefficients_are_numbers_in_order() -> None:
    grid = drawn("grid", task="gsm8k")
    assert isinstance(grid, Grid)
    assert grid.rows == grid.columns == ("0", "0.5", "1")
    cells = {(r, c): grid.cells[i][j] for i, r in enumerate(grid.rows)
          for j, c in enumerate(grid.columns)}  # fmt: skip
    cell = cells["0.5", "1"]
    assert cell is not None
    assert cell.value == pytest.approx(0.4 + 0.7 - 0.2 * 0.25)
    marked = [place for place, cell in cells.items() if cell is not None and cell.mark]
    assert marked == [("0", "1")]


@pytest.mark.parametrize("values", [(10.0, 9.0, 0.5), ("10", "9", "a2", "a10")])
def test_axes_sort_numbers_by_size(values: tuple[Any, ...]) -> None:
    placed = pretend.Placed(at=lambda setting: (values[int(setting)], 0))
    view = pretend.view("grid")
    assert isinstance(view, Plane)
    view = replace(view, place=lambda catalogue: placed, only={}, marks=None)
    rows = [
        Measurement(metric="normalised", value=1.0, reference="base", task="t", setting=str(i))
        for i in range(len(values))
    ]
    made = figure(view, Choice(measure="normalised", task="t"), rows, RANGES, spec("normalised"))
    assert isinstance(made, Grid)
    wanted = ("0.5", "9", "10") if isinstance(values[0], float) else ("9", "10", "a2", "a10")
    assert made.rows == wanted


def test_points_hold_one_task_against_another() -> None:
    scatter = drawn("plane")
    assert isinstance(scatter, Scatter)
    assert (scatter.x_name, scatter.y_name) == ("medqa", "gsm8k")
    points = {point.name: point for point in scatter.points}
    assert set(points) == {row.setting for row in ROWS if pretend.coefficients(row.setting)
                           and row.metric == "normalised"}  # fmt: skip
    assert "removal:medical=1" not in points
    assert points["medical=0.5"].place == pytest.approx((0.7, 0.35))
    assert points["base"].group == "base"
    best = ("medical=1", "medical=1,maths=0.5", "medical=1,maths=1", "medical=0.5,maths=1")
    assert {name for name, point in points.items() if point.mark} == {*best, "maths=1"}


def test_a_point_with_an_undefined_value_has_no_place() -> None:
    row = Measurement(metric="normalised", value=None, reference="base", task="medqa",
                      setting="medical=0.25")  # fmt: skip
    other = replace(row, task="gsm8k", value=0.5)
    view = replace(pretend.view("plane"), only={}, marks=None)
    choice = Choice(measure="normalised", task="medqa", against="gsm8k")
    made = figure(view, choice, [row, other], RANGES, spec("normalised"))
    assert isinstance(made, Scatter)
    assert [point.place for point in made.points] == [None]


def test_a_table_is_sorted_as_chosen() -> None:
    strongest, by_layer = drawn("neurons", model="medical"), drawn("neurons", order="by layer")
    assert isinstance(strongest, Table)
    assert isinstance(by_layer, Table)
    scores = [float(row[2] or 0) for row in strongest.rows]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(pretend.LAYERS) * pretend.NEURONS
    assert max(scores) > 10 + len(pretend.LAYERS) - 2, "those of the chosen model"
    assert [row[:2] for row in by_layer.rows[:2]] == [(0, 0), (0, 1)]


def test_columns_write_their_values() -> None:
    assert Column(name="n", form=",d").written(12345) == "12,345"
    assert Column(name="n", form=".2f", signed=True).written(0.5) == "+0.50"
    assert Column(name="n").written(None) == ""
    assert Column(name="n").written(" the ") == " the "
    assert Column(name="n", outside=True).written("  the ") == "␣␣the␣"
    assert Column(name="n", outside=True).written("  ") == "␣␣"


def test_a_later_selector_offers_what_goes_with_the_earlier() -> None:
    view = pretend.view("drop")
    choice = default_choice(view, RANGES)
    assert choice.setting == "top-5%"
    assert options(view, "metric_of", choice, RANGES) == ("acc", "acc_norm")
    assert options(view, "setting", choice, RANGES) == ("top-1%", "top-5%", "top-10%")
    other = chosen(choice, "task", "gsm8k")
    assert options(view, "metric_of", other, RANGES) == ("exact_match",)


def test_a_scatter_is_never_held_against_itself() -> None:
    view = pretend.view("plane")
    choice = default_choice(view, RANGES)
    assert choice.task != choice.against
    assert options(view, "against", choice, RANGES) == ("gsm8k",)
    assert options(view, "against", chosen(choice, "task", "gsm8k"), RANGES) == ("medqa",)


def test_views_that_have_nothing_to_show_are_absent() -> None:
    keys = {view.key for view in present(pretend.VIEWS, RANGES)}
    assert keys == {view.key for view in pretend.VIEWS} - {"nowhere"}
    never = Combination(
        metric="drop",
        model="medical",
        reference="base",
        task="medqa",
        setting="never",
        metric_of="acc",
    )
    there = replace(RANGES, combinations=RANGES.combinations | {never})
    view = pretend.view("nowhere")
    assert isinstance(view, Heatmap)
    view = replace(view, rows="reference", columns="model", selectors=("task", "metric_of"))
    assert present([view], RANGES) == ()
    assert present([view], there) == (view,)
    assert present(pretend.VIEWS, Catalogue()) == pretend.VIEWS[:-1], "until something is measured"


def test_a_model_that_is_no_control_is_shown_first() -> None:
    ranges = Catalogue(ranges={"model": ("base", "null", "medical")}, controls=frozenset({"null"}))
    assert default_choice(pretend.view("distance"), ranges).model == "medical"


def test_readings_follow_the_metric() -> None:
    view = replace(pretend.view("curves"), measures=("hamming", "score"))
    assert readings(view, Choice(measure="hamming"), spec("hamming")) == ("raw", "chance")
    assert readings(view, Choice(measure="score"), spec("score")) == ("raw",)
    with_excess = replace(view, excess={"hamming": "hamming_excess"})
    choice = Choice(measure="hamming")
    assert readings(with_excess, choice, spec("hamming")) == ("raw", "chance", "excess")
    assert readings(pretend.view("distance"), choice, spec("hamming")) == ("raw",), "both are drawn"


def test_curves_with_the_base_can_be_read_as_differences_from_it() -> None:
    view = Curves(key="on", title="", caption="", measures=("share", "other"), finding=lambda f: "")
    values = {("base", 0): 40.0, ("base", 1): 50.0, ("medical", 0): 42.5, ("medical", 1): 47.0,
              ("maths", 0): None, ("maths", 2): 9.0}  # fmt: skip
    rows = [
        Measurement(metric="share", model=m, layer=layer, value=v, low=1.0, high=2.0)
        for (m, layer), v in values.items()
    ]
    models = ("base", "medical", "maths")
    ranges = Catalogue(
        ranges={"metric": ("share",), "model": models, "layer": (0, 1, 2)},
        combinations=frozenset(Combination(metric="share", model=model) for model in models),
    )
    metric_spec = MetricSpec(name="share", title="share on", description="")
    choice = replace(default_choice(view, ranges), reading="difference")
    assert readings(view, choice, metric_spec, ranges) == ("raw", "difference")
    assert settled(view, choice, ranges) == choice
    made = figure(view, choice, rows, ranges, metric_spec)
    assert isinstance(made, Lines)
    assert made.signed
    assert made.title == "share on minus the base's"
    (panel,) = made.panels
    points = {
        s.name: [(x, c.shown, c.base) for x, c in zip(s.xs, s.cells, strict=True)]
        for s in panel.series
    }
    assert points == {"medical": [(0, 2.5, 40.0), (1, -3.0, 50.0)], "maths": [(0, None, 40.0)]}
    drawn = Value(panel.series[0].cells[0], str)
    assert drawn.interval is None, "the interval is of the value, not of the difference"
    assert yardsticks(drawn.cell)[0] == "base 40, difference +2.5"

    without = narrowed(ranges, Filter(model=("medical", "maths")))
    other = replace(choice, measure="other")
    assert (
        readings(view, choice, metric_spec, without)
        == readings(view, other, metric_spec, ranges)
        == ("raw",)
    )
    assert settled(view, choice, without).reading == "raw"


def test_a_filter_names_panels_that_a_view_has_not() -> None:
    view = Curves(
        key="size", title="", caption="", measures=("norm",), panels=("attention", "mlp"),
        finding=lambda lines: "",
    )  # fmt: skip
    places = [(model, module) for model in ("a", "b") for module in ("attention", "mlp", "q", "o")]
    rows = [
        Measurement(metric="norm", model=m, module=module, layer=0, value=1.0)
        for m, module in places
    ]
    modules = ("q", "o", "attention", "mlp")
    ranges = Catalogue(ranges={"model": ("a", "b"), "layer": (0,), "module": modules})
    for wanted, panels in (
        (Filter(), ("attention", "mlp")),
        (Filter(module=("o",)), ("o",)),
        (Filter(module=("o", "mlp")), ("mlp",)),
    ):
        narrow = narrowed(ranges, wanted)
        choice = default_choice(view, narrow)
        matching = selected(query(view, choice, narrow), rows)
        made = figure(
            view, choice, matching, narrow, MetricSpec(name="norm", title="", description="")
        )
        assert isinstance(made, Lines)
        assert tuple(panel.title for panel in made.panels) == panels
        assert all([s.name for s in panel.series] == ["a", "b"] for panel in made.panels)


def test_heads_stand_beside_one_another_layer_by_layer() -> None:
    """Rows of whole matrices, of other models and of other modules stay out."""
    analysis = registry.get("alignment")
    view = next(view for view in analysis.views if view.key == "heads")
    rows = [
        Measurement(metric=metric, model=model, layer=layer, module=module, head=head,
                    value=layer + (head or 0) / 8, chance=0.5)
        for metric in ("two_sided", "two_sided_excess") for model in ("a", "b")
        for layer in (0, 3) for module in ("o", "k", "gate")
        for head in (None, *(range(8) if module == "o" else range(2)))
    ]  # fmt: skip
    ranges = Catalogue(
        ranges={"model": ("a", "b"), "layer": (0, 3), "module": ("k", "o", "gate", "attention")}
    )
    choice = default_choice(view, ranges)
    assert options(view, "module", choice, ranges) == ("k", "o")
    choice = chosen(choice, "module", "o")
    metric_spec = analysis.metric("two_sided")
    made = figure(view, choice, selected(query(view, choice, ranges), rows), ranges, metric_spec)
    assert isinstance(made, Grid)
    assert (made.rows, made.columns) == (("0", "3"), tuple("01234567"))
    assert made.cells[1][5] == Cell(3.625, 3.625, 0.5, excess=3.625)


def test_measures_of_the_run_are_those_of_a_view_that_names_none() -> None:
    view = Bars(
        key="scores", title="", caption="", finding=lambda grid: "",
        rows="model", columns="task",
    )  # fmt: skip
    scores = [
        Combination(metric=metric, model=model, task=task)
        for model in ("base", "medical") for metric, task in (("acc", "medqa"), ("f1", "squad"))
    ]  # fmt: skip
    ranges = Catalogue(
        ranges={
            "model": ("base", "medical"),
            "task": ("medqa", "squad"),
            "metric": ("acc", "f1", "other"),
        },
        combinations=frozenset(
            [*scores, Combination(metric="other", model="medical", reference="base")]
        ),
    )
    assert default_choice(view, ranges).measure == "acc"
    row = Measurement(metric="acc", value=0.5, model="medical", task="medqa")
    grid = figure(view, default_choice(view, ranges), [row], ranges, spec("acc"))
    assert isinstance(grid, Grid)
    assert (grid.rows, grid.columns) == (("medical",), ("medqa",))
    none = Measurement(metric="acc", value=None, model="base", task="medqa")
    grid = figure(view, default_choice(view, ranges), [none, row], ranges, spec("acc"))
    assert isinstance(grid, Grid)
    assert grid.rows == ("medical", "base"), "a group without a value comes last"
    assert [[cell and cell.value for cell in line] for line in grid.cells] == [[0.5], [None]]


@pytest.mark.parametrize("view", pretend.VIEWS, ids=lambda view: view.key)
def test_a_query_fixes_every_coordinate(view: View) -> None:
    """No two rows that a figure is made of may fall on one place."""
    choice = default_choice(view, RANGES)
    asked = query(view, choice, RANGES)
    assert asked.keys() == {"metric", *measurement.COORDINATES}
    assert {name for name, wanted in asked.items() if wanted == "any"} <= set(view.free)
    matching = selected(asked, ROWS)
    assert len(matching) == len(set(matching))
    assert bool(matching) == (view.key != "nowhere")


def test_every_declared_view_lays_out_what_it_declares() -> None:
    for name in registry.names():
        analysis = registry.get(name)
        known = {metric.name for metric in analysis.metrics}
        for view in analysis.views:
            assert set(view.measures) <= known
            assert set((view.excess or {}).values()) <= known
            assert set(view.opens) <= set(view.selectors)
            assert not set(view.fixed) & set(view.selectors)
            assert (view.tabulate is not None) or (view.kind != "table")


@given(st.lists(st.text(alphabet="ab0123.-=%", max_size=6)))
def test_natural_order_is_an_order(texts: list[str]) -> None:
    keys = sorted(map(natural, texts))
    assert all(a <= b for a, b in pairwise(keys))


def test_numbers_in_names_count_as_numbers() -> None:
    assert sorted(["top-10%", "top-2%", "top-0.5%", "all"], key=natural) == [
        "all", "top-0.5%", "top-2%", "top-10%"
    ]  # fmt: skip


def test_modules_stand_before_groups() -> None:
    assert by_name({"all", "down", "q", "strange", "mlp"}) == ("q", "down", "mlp", "all", "strange")


def test_every_module_has_its_place_before_the_groups() -> None:
    assert set(GROUP_OF) < set(ORDER)
    assert by_name(("mlp", "mixer", "other", "q", "down", "embedding")) == (
        "q", "mixer", "down", "other", "embedding", "mlp",
    )  # fmt: skip


def test_a_cosine_stands_beside_the_largest_cosine_with_a_control() -> None:
    analysis = registry.get("vector_cosine")
    pairs = {("a", "b"): 0.3, ("a", "null"): -0.05, ("b", "null"): 0.02}
    rows = [
        Measurement(
            metric="cosine", model=model, reference=reference, module="all", value=value,
            chance=0.0, chance_sd=1e-4,
        )
        for (one, other), value in pairs.items()
        for model, reference in ((one, other), (other, one))
    ]  # fmt: skip
    models = ("a", "b", "null")
    ranges = Catalogue(
        ranges={"model": models, "reference": models, "module": ("all",), "metric": ("cosine",)},
        controls=frozenset({"null"}),
    )
    view = analysis.views[0]
    choice = Choice(measure="cosine", module="all")
    grid = figure(view, choice, rows, ranges, analysis.metric("cosine"))
    assert isinstance(grid, Grid)
    cells = {
        (row, column): cell
        for row, line in zip(grid.rows, grid.cells, strict=True)
        for column, cell in zip(grid.columns, line, strict=True)
    }
    cell, of_control = cells["a", "b"], cells["a", "null"]
    assert cell is not None
    assert of_control is not None
    assert (cell.nominal, cell.control) == (True, 0.05)
    assert (of_control.nominal, of_control.control) == (True, None)
    assert view.finding(grid).endswith("cosines with a control reach 0.05.")
