"""A filter on a catalogue: whatever is laid out from it is what is left of the whole figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engine import registry
from core.engine.measurement import Measurement
from core.engine.registry import Analysis
from core.figures.choices import (
    chosen,
    default_choice,
    names_of,
    narrowed,
    options,
    present,
    query,
    settled,
)
from core.figures.figure import Cell, Figure, Grid, Lines
from core.figures.filters import ALL, Filter
from core.figures.kinds.curves import Curves
from core.figures.kinds.grids import Heatmap, Matrix
from core.figures.layout import figure
from core.figures.views import GROUPS, Catalogue, Choice, Combination, View
from tests import pretend
from tests.core.figures.samples import RANGES as PRETEND
from tests.core.figures.samples import ROWS, arrays
from tests.selection import combinations, matches, selected

MODELS = ("instruct", "medical", "maths", "retrained")
LAYERS = (0, 1, 2, 3)
MODULES = ("q", "k", "down", *GROUPS)
FILTERED = {"model": "model", "reference": "model", "layer": "layer", "module": "module"}


def of_weights(analysis: Analysis) -> list[Measurement]:
    """A number at every place of an analysis of weights, no two alike."""
    pairs = [(m, r) for m in MODELS for r in MODELS if m != r]
    views = [view for view in analysis.views if not view.loose]
    if not any("reference" in (*view.selectors, *view.laid_out) for view in views):
        pairs = [(m, "") for m in MODELS]
    return [
        Measurement(
            metric=spec.name, value=value / 7, model=model, reference=reference, layer=layer,
            module=module, chance=0.1 if spec.has_chance else None,
        )
        for value, (spec, (model, reference), layer, module) in enumerate(
            (s, p, layer, m)
            for s in analysis.metrics for p in pairs for layer in (None, *LAYERS) for m in MODULES
        )
    ]  # fmt: skip


def ranges_of(rows: list[Measurement]) -> Catalogue:
    return Catalogue(
        ranges={
            "model": MODELS,
            "reference": MODELS,
            "layer": LAYERS,
            "module": MODULES,
            "metric": tuple({row.metric: 0 for row in rows}),
        },
        controls=frozenset({"retrained"}),
        combinations=combinations(rows),
    )


def cases() -> list[tuple[Analysis, View, list[Measurement], Catalogue]]:
    result: list[tuple[Analysis, View, list[Measurement], Catalogue]]
    result = [(pretend.ANALYSIS, v, ROWS, PRETEND) for v in pretend.VIEWS if v.kind != "table"]
    for name in ("tuning_vectors", "vector_cosine", "alignment"):
        analysis = registry.get(name)
        rows = of_weights(analysis)
        views = [v for v in analysis.views if not (v.tabulate or v.loose)]  # loose: of series alone
        result += [(analysis, v, rows, ranges_of(rows)) for v in views]
    return result


CASES = cases()
by_filters = st.builds(
    Filter,
    model=st.lists(st.sampled_from(("base", *MODELS)), unique=True, max_size=3).map(tuple),
    layer=st.lists(st.tuples(st.integers(0, 3), st.integers(2, 6)), max_size=2).map(tuple),
    module=st.lists(st.sampled_from(MODULES), unique=True, max_size=4).map(tuple),
)


def left(made: Figure, view: View, by: Filter) -> Figure:
    """What is left of a whole figure when all that a filter hides is taken out by hand."""

    def seen(coordinate: str, value: Any) -> bool:
        field = FILTERED.get(coordinate)
        wanted = by.of(field) if field in ("model", "module") else ()
        if field == "layer" and by.of("layer"):
            return any(low <= int(value) <= high for low, high in by.of("layer"))
        return not wanted or value in wanted

    if isinstance(made, Lines):
        assert isinstance(view, Curves)
        panels = []
        for panel in made.panels:
            series = []
            for each in panel.series:
                points = [p for p in zip(each.xs, each.cells, strict=True) if seen(view.x, p[0])]
                owner = made.chosen.get("model", each.name)
                if points and seen(view.series, owner):
                    xs, cells = zip(*points, strict=True)
                    series.append(replace(each, xs=xs, cells=cells))
            if not panel.title or seen(view.panel_by, panel.title):
                panels.append(replace(panel, series=tuple(series)))
        return replace(made, panels=tuple(panel for panel in panels if panel.series))
    if isinstance(made, Grid):
        rows = [i for i, name in enumerate(made.rows) if seen(made.row_of, name)]
        columns = [j for j, name in enumerate(made.columns) if seen(made.column_of, name)]
        if view.kind != "matrix":  # which has all models, measured or not
            rows = [i for i in rows if any(made.cells[i][j] for j in columns)]
            named = view.panels
            columns = [j for j in columns if named or any(made.cells[i][j] for i in rows)]
        return replace(
            made,
            rows=tuple(made.rows[i] for i in rows),
            columns=tuple(made.columns[j] for j in columns),
            cells=tuple(tuple(made.cells[i][j] for j in columns) for i in rows),
        )
    return made


def without_yardsticks(made: Figure) -> Figure:
    """The figure without the values of its controls beside other values: a filter that hides a
    control hides these too."""

    def alone(cell: Cell | None) -> Cell | None:
        return None if cell is None else replace(cell, control=None)

    if isinstance(made, Grid):
        return replace(made, cells=tuple(tuple(map(alone, row)) for row in made.cells))
    if isinstance(made, Lines):
        panels = [
            replace(
                p,
                series=tuple(
                    replace(s, cells=tuple(replace(cell, control=None) for cell in s.cells))
                    for s in p.series
                ),
            )
            for p in made.panels
        ]
        return replace(made, panels=tuple(panels))
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].name}-{case[1].key}")
@settings(max_examples=40)
@given(by=by_filters)
def test_filtering_then_laying_out_is_laying_out_then_dropping(case: Any, by: Filter) -> None:
    analysis, view, rows, ranges = case
    few = narrowed(ranges, by)
    choice = default_choice(view, few)
    if hidden(choice, view, by):
        return  # nothing that the view steps through is left: it shows nothing
    if view.panels:  # those that the filter names instead
        view = replace(view, panels=view.panels_in(few))
    spec = analysis.metric(choice.measure)
    made, whole = (
        figure(view, choice, selected(query(view, choice, of), rows), of, spec, arrays)
        for of in (few, ranges)
    )
    assert without_yardsticks(made) == left(without_yardsticks(whole), view, by)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].name}-{case[1].key}")
@settings(max_examples=40)
@given(by=by_filters)
def test_nothing_that_is_hidden_is_asked_for(case: Any, by: Filter) -> None:
    _, view, rows, ranges = case
    few = narrowed(ranges, by)
    choice = default_choice(view, few)
    asked = query(view, choice, few)
    laid_out = {*view.laid_out, *view.steppers}
    for row in rows:
        if matches(asked, row):
            assert by.takes("model", row.model)
            assert by.takes("layer", row.layer)
            assert by.takes("module", row.module)
            assert "reference" not in laid_out or by.takes("model", row.reference)
    for selector in set(view.steppers) & FILTERED.keys():
        for value in options(view, selector, choice, few):
            assert by.takes(FILTERED[selector], value)


def hidden(choice: Choice, view: View, by: Filter) -> bool:
    return any(
        not by.takes(FILTERED[s], getattr(choice, s)) for s in view.steppers if s in FILTERED
    )


def test_without_a_filter_nothing_changes() -> None:
    assert narrowed(PRETEND, ALL) is PRETEND


def test_a_layer_that_is_hidden_gives_way_to_the_nearest() -> None:
    view = next(v for v in registry.get("tuning_vectors").views if v.key == "spectrum")
    rows = of_weights(registry.get("tuning_vectors"))
    few = narrowed(ranges_of(rows), Filter(layer=((2, 3),)))
    assert default_choice(view, few).layer == 2
    assert options(view, "layer", default_choice(view, few), few) == (2, 3)


def test_the_base_that_all_is_held_against_stays() -> None:
    view = pretend.view("distance")
    few = narrowed(PRETEND, Filter(model=("maths",)))
    choice = default_choice(view, few)
    assert choice.model == "maths"
    matching = selected(query(view, choice, few), ROWS)
    assert {(row.model, row.reference) for row in matching} == {("maths", "base")}


def test_a_table_of_many_models_keeps_the_rows_of_some() -> None:
    view = next(v for v in registry.get("evaluation").views if v.key == "table")
    rows = [
        Measurement(metric=metric, value=1.0, model=model, reference=reference, task="t",
                    metric_of="acc" if reference else "")
        for model in ("base", "medical", "maths")
        for metric, reference in (("acc", ""), ("difference", "base"))
    ]  # fmt: skip
    ranges = Catalogue(
        ranges={
            "model": ("base", "medical", "maths"),
            "reference": ("base",),
            "task": ("t",),
            "metric": ("acc", "difference"),
            "metric_of": ("acc",),
        },
        combinations=combinations(rows),
    )
    few = narrowed(ranges, Filter(model=("maths",)))
    asked = query(view, default_choice(view, few), few)
    assert {(r.metric, r.model, r.reference) for r in selected(asked, rows)} == {
        ("acc", "maths", ""), ("difference", "maths", "base")
    }  # fmt: skip


def test_names_are_those_of_all_catalogues_once() -> None:
    names = names_of(
        [
            Catalogue(ranges={"model": ("a", "b"), "layer": (1, 3), "module": ("mlp", "q")}),
            Catalogue(ranges={"model": ("b", "c"), "layer": (0, 1), "module": ("k",)}),
        ]
    )
    assert names["model"] == ("a", "b", "c")
    assert names["layer"] == (0, 1, 3)
    assert names["module"] == ("q", "k", "mlp")


def test_a_task_is_begun_with_that_has_most_to_show() -> None:
    view = Matrix(
        key="sources", title="", caption="", measures=("drop",), rows="reference",
        columns="model", selectors=("task",), finding=str,
    )  # fmt: skip
    pairs = [("first", "base"), ("second", "base"), ("second", "medical"), ("third", "base")]
    ranges = Catalogue(
        ranges={
            "model": ("base", "medical"),
            "reference": ("base", "medical"),
            "task": ("first", "second", "third"),
            "metric": ("drop",),
        },
        combinations=frozenset(
            Combination(metric="drop", model=m, reference="base", task=task) for task, m in pairs
        ),
    )
    assert default_choice(view, ranges).task == "second"


def test_a_score_is_begun_with_that_most_tasks_have() -> None:
    view = Heatmap(
        key="difference", title="", caption="", measures=("difference",),
        rows="model", columns="task", selectors=("metric_of",), finding=str,
    )  # fmt: skip
    pairs = [("acc", "a"), ("bits", "b"), ("bits", "c"), ("f1", "d")]
    ranges = Catalogue(
        ranges={
            "model": ("medical",),
            "task": ("a", "b", "c", "d"),
            "metric_of": ("acc", "bits", "f1"),
            "metric": ("difference",),
        },
        combinations=frozenset(
            Combination(metric="difference", model="medical", task=task, metric_of=of)
            for of, task in pairs
        ),
    )
    assert default_choice(view, ranges).metric_of == "bits"


def test_a_module_that_is_measured_over_all_layers_only_gives_way_to_one_of_the_layer() -> None:
    view = Matrix(
        key="pairs", title="", caption="", finding=str, measures=("cosine",),
        selectors=("layer", "module"), opens={"module": "all"},
    )  # fmt: skip
    ranges = Catalogue(
        ranges={
            "model": ("a", "b"),
            "metric": ("cosine",),
            "layer": (0, 1),
            "module": ("q", "blocks", "all"),
        },
        combinations=frozenset({Combination(metric="cosine", model="a", reference="b")}),
        places=frozenset({(None, "all"), (0, "blocks"), (0, "q"), (1, "blocks"), (1, "q")}),
    )
    opening = default_choice(view, ranges)
    assert (opening.layer, opening.module) == (None, "all")
    assert options(view, "module", opening, ranges) == ("all",)
    there = settled(view, chosen(opening, "layer", 1), ranges)
    assert (there.layer, there.module) == (1, "blocks")
    assert options(view, "module", there, ranges) == ("blocks", "q")
    only = narrowed(ranges, Filter(layer=((1, 1),)))
    assert options(view, "layer", opening, only) == (1,), "over all layers it would be unfiltered"
    filtered = default_choice(view, only)
    assert (filtered.layer, filtered.module) == (1, "blocks")


@pytest.mark.parametrize("probes", [("",), ("general", "medical")])
def test_an_optional_view_of_probe_sets_is_there_with_a_single_one_too(
    probes: tuple[str, ...],
) -> None:
    """A single probe set has no name."""
    views = registry.get("token_shift").views
    ranges = Catalogue(
        ranges={
            "model": ("a",), "metric": ("share_at_position",), "setting": ("1", "2"),
            "probe": tuple(filter(None, probes)),
        },
        combinations=frozenset(
            Combination(
                metric="share_at_position", model="a", reference="base", setting=setting,
                probe=probe,
            )
            for setting in ("1", "2")
            for probe in probes
        ),
    )  # fmt: skip
    view = next(view for view in present(views, ranges) if view.key == "positions")
    assert default_choice(view, ranges).probe == probes[0]


@pytest.mark.parametrize(
    ("probes", "shown"), [(("",), set()), (("one", "two"), {"map", "against", "forgetting"})]
)
def test_a_single_probe_set_stands_against_no_other(
    probes: tuple[str, ...], shown: set[str]
) -> None:
    ranges = Catalogue(
        ranges={"model": ("a",), "metric": ("kl", "nll_change"),
                "probe": tuple(filter(None, probes))},
        combinations=frozenset(
            Combination(metric=metric, model="a", reference="base", probe=probe)
            for metric in ("kl", "nll_change")
            for probe in probes
        ),
    )  # fmt: skip
    views = {view.key for view in present(registry.get("divergence").views, ranges)}
    assert views & {"map", "against", "forgetting"} == shown
    assert {"models", "text"} <= views


def test_a_pair_opens_on_two_models_that_are_no_controls() -> None:
    models = ("retrained", "a", "b")
    ranges = Catalogue(
        ranges={"model": models, "reference": models, "metric": ("sign_conflict",),
                "layer": (0,), "module": ("q",)},
        controls=frozenset({"retrained"}),
        combinations=frozenset(
            Combination(metric="sign_conflict", model=one, reference=other)
            for one in models for other in models if one != other
        ),
    )  # fmt: skip
    view = next(v for v in registry.get("interference").views if v.key == "modules")
    choice = default_choice(view, ranges)
    assert (choice.model, choice.reference) == ("a", "b")
    only = replace(
        ranges,
        combinations=frozenset(c for c in ranges.combinations if "b" not in (c.model, c.reference)),
    )
    assert default_choice(view, only).reference == "retrained", "there is no other"
