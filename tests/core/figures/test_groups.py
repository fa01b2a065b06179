"""Groups of models: mean, interval and tests of their members, made when a figure is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from core.engine import registry
from core.engine.measurement import Measurement
from core.figures import groups
from core.figures.choices import default_choice, options, present, query
from core.figures.figure import Lines, Table
from core.figures.kinds.groups import OF_GROUPS
from core.figures.kinds.steps import BY_STEP
from core.figures.layout import figure
from core.figures.plots.resolution import curves
from core.figures.views import Catalogue, View
from core.statistics.intervals import welch
from tests.selection import combinations, matches

GROUPS = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "alone": "", "c": "lone"}
VALUES = {
    "base": 0.0,
    "a1": 1.0,
    "a2": 1.5,
    "a3": 1.1,
    "b1": 4.0,
    "b2": 4.4,
    "alone": 9.0,
    "c": 2.0,
}


def rows_of(values: dict[str, float], **coordinates: Any) -> list[Measurement]:
    return [
        Measurement(
            **{"metric": "norm", "model": m, "value": v, "n": 99, "chance": 0.5, **coordinates}
        )
        for m, v in values.items()
    ]


def ranges_of(rows: list[Measurement], of: dict[str, str]) -> Catalogue:
    models = tuple(dict.fromkeys(row.model for row in rows))
    plain = Catalogue(
        ranges={"model": models, "metric": tuple({row.metric: 0 for row in rows})},
        models=models,
        combinations=combinations(rows),
        places=frozenset((row.layer, row.module) for row in rows),
    )
    return groups.added(plain, groups.of_models(of))


def drawn(view: View, rows: list[Measurement], ranges: Catalogue) -> Any:
    choice = default_choice(view, ranges)
    wanted = query(view, choice, ranges)
    asked = groups.asked(wanted, ranges.groups)
    chosen = [row for row in rows if matches(asked, row)]
    if view.tabulate is None:
        chosen = groups.joined(chosen, wanted, ranges.groups)
    spec = registry.get("tuning_vectors").metric(choice.measure)
    return figure(view, choice, chosen, ranges, spec)


@pytest.mark.parametrize("seed", range(5))
def test_the_test_is_welchs(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(0, 1, 3 + seed), random.normal(0.5, 3, 4)
    made, wanted = welch(list(a), list(b)), stats.ttest_ind(b, a, equal_var=False)
    low, high = wanted.confidence_interval(0.95)
    assert (made.value, made.low, made.high, made.p) == pytest.approx(
        (b.mean() - a.mean(), low, high, wanted.pvalue), rel=1e-9
    )


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0])])
def test_groups_without_spread_are_not_tested(a: list[float], b: list[float]) -> None:
    assert welch(a, b).p is None
    assert welch(a, b).value == pytest.approx(np.mean(b) - np.mean(a))


def test_means_have_students_interval_over_members() -> None:
    by_group = {s.mean.model: s for s in groups.spreads(rows_of(VALUES), groups.of_models(GROUPS))}
    assert set(by_group) == {"a", "b", "lone"}
    mean = by_group["a"].mean
    low, high = stats.t.interval(0.95, 2, np.mean([1, 1.5, 1.1]), stats.sem([1, 1.5, 1.1]))
    assert (mean.value, mean.low, mean.high) == pytest.approx((1.2, low, high))
    assert (mean.n, mean.chance, mean.chance_sd) == (3, 0.5, None)
    assert by_group["a"].sd == pytest.approx(np.std([1, 1.5, 1.1], ddof=1))
    assert (by_group["lone"].mean.low, by_group["lone"].sd) == (None, None)


def test_two_groups_are_compared_and_corrected_together() -> None:
    rows = rows_of(VALUES) + rows_of({**VALUES, "b1": 1.0, "b2": 1.4}, metric="relative_norm")
    tests = groups.comparisons(groups.spreads(rows, groups.of_models({**GROUPS, "c": ""})))
    assert [(t.first.mean.model, t.second.mean.model) for t in tests] == [("a", "b")] * 2
    p = [t.difference.p or 0.0 for t in tests]
    assert 0.0 not in p
    assert [t.q for t in tests] == pytest.approx(stats.false_discovery_control(p))


def test_pairs_of_models_and_tests_over_items_have_no_mean() -> None:
    rows = rows_of(VALUES, reference="alone") + rows_of(VALUES, metric="p_value")
    assert not list(groups.spreads(rows, groups.of_models(GROUPS)))
    assert "a" not in ranges_of(rows_of(VALUES, reference="alone"), GROUPS).values("model")


def test_curves_have_a_band_for_each_group() -> None:
    rows = [
        row
        for layer in (0, 1)
        for row in rows_of({m: v + layer for m, v in VALUES.items()}, layer=layer, module="mlp")
    ]
    view = next(v for v in registry.get("tuning_vectors").views if v.kind == "curves")
    view = replace(view, measures=("norm",))
    ranges = replace(ranges_of(rows, GROUPS))
    ranges = replace(ranges, ranges={**ranges.ranges, "layer": (0, 1), "module": ("mlp",)})
    made = drawn(view, rows, ranges)
    assert isinstance(made, Lines)
    lines = {line.name: line for panel in made.panels for line in panel.series}
    assert {name for name, line in lines.items() if line.band} == {"a", "b", "lone"}
    assert [cell.value for cell in lines["a"].cells] == pytest.approx([1.2, 2.2])
    plot = curves(made)
    (curve,) = [c for c in plot.curves if c.name == "a"]
    below, above = curve.edges()
    assert below[0][1] < 1.2 < above[0][1]
    assert plot.y_axis.high >= max(edge[1][1] for c in plot.curves for edge in c.edges() if edge)


def test_series_of_seeds_make_a_series_of_means() -> None:
    values = {"s@1": 1.0, "s@2": 2.0, "t@1": 3.0, "t@2": 6.0}
    rows = rows_of(values)
    ranges = ranges_of(rows, dict.fromkeys(values, "seeds"))
    made = drawn(BY_STEP, rows, ranges)
    lines = {line.name: line for line in made.panels[0].series}
    assert [cell.value for cell in lines["seeds"].cells] == [2.0, 4.0]
    assert lines["seeds"].band
    assert not groups.comparisons(groups.spreads(rows, ranges.groups))  # no pair at one step


def test_tables_say_which_groups_differ() -> None:
    rows = rows_of(VALUES)
    ranges = ranges_of(rows, GROUPS)
    means, tests = (drawn(view, rows, ranges) for view in OF_GROUPS[:2])
    assert isinstance(means, Table)
    assert [row[2] for row in means.rows] == ["a", "b", "lone"]
    assert isinstance(tests, Table)
    assert len(tests.rows) == 3
    assert OF_GROUPS[0].finding(means) == "Members of each group: a 3, b 2, lone 1."
    assert OF_GROUPS[1].finding(tests) == (
        "1 of 1 difference is significant (q < 0.05), first norm: b is 3 above a."
    )


def test_views_of_groups_exist_where_a_study_has_some() -> None:
    rows = rows_of(VALUES)
    keys = {v.key for v in present(OF_GROUPS, ranges_of(rows, GROUPS))}
    assert keys == {"groups", "group-tests", "members"}
    assert {v.key for v in present(OF_GROUPS, ranges_of(rows, {"a1": "a"}))} == {
        "groups", "members",
    }  # fmt: skip
    assert not present(OF_GROUPS, ranges_of(rows, {}))


def test_tables_of_models_offer_no_groups() -> None:
    rows = rows_of(VALUES, layer=0)
    ranges = ranges_of(rows, GROUPS)
    view = next(v for v in registry.get("activation").views if v.key == "neurons")
    assert "a" not in options(view, "model", default_choice(view, ranges), ranges)
    assert groups.without(ranges).values("model") == tuple(VALUES)
