"""Figures of series of checkpoints: lines by step, for whatever an analysis measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.engine import registry
from core.engine.measurement import Measurement
from core.figures.choices import default_choice, measures, options, present, query, settled
from core.figures.figure import Lines
from core.figures.kinds.steps import BY_STEP
from core.figures.layout import figure
from core.figures.views import Catalogue, Choice
from tests.selection import combinations, matches

MODELS = ("base", "null", "sft@20", "sft@500", "sft@1000", "dpo@500", "other")
SCORES = {"base": 0.3, "null": 0.31, "sft@20": 0.4, "sft@500": 0.9, "sft@1000": 0.8,
          "dpo@500": 0.35, "other": 0.7}  # fmt: skip


def rows_of(metric: str = "acc", **coordinates: Any) -> list[Measurement]:
    return [Measurement(metric=metric, model=m, value=SCORES[m], **coordinates) for m in MODELS]


def ranges_of(rows: list[Measurement], **more: tuple[Any, ...]) -> Catalogue:
    metrics = tuple({row.metric: 0 for row in rows})
    return Catalogue(
        ranges={"model": MODELS, "metric": metrics, **more},
        controls=frozenset({"null"}),
        combinations=combinations(rows),
        places=frozenset((row.layer, row.module) for row in rows),
        overall=any(row.layer is None for row in rows),
    )


def drawn(rows: list[Measurement], ranges: Catalogue, choice: Choice | None = None) -> Lines:
    choice = choice or default_choice(BY_STEP, ranges)
    asked = query(BY_STEP, choice, ranges)
    spec = registry.get("evaluation").metric(choice.measure)
    made = figure(BY_STEP, choice, [r for r in rows if matches(asked, r)], ranges, spec)
    assert isinstance(made, Lines)
    return made


def test_lines_follow_the_steps_and_levels_stay() -> None:
    rows = rows_of(task="t")
    made = drawn(rows, ranges_of(rows, task=("t",)))
    (panel,) = made.panels
    lines = {line.name: line for line in panel.series}
    assert made.x_names == ("20", "500", "1000")
    assert set(lines) == {"sft", "dpo", "base", "null"}
    assert [cell.value for cell in lines["sft"].cells] == [0.4, 0.9, 0.8]
    assert lines["dpo"].xs == (1,)
    assert [cell.value for cell in lines["base"].cells] == [0.3] * 3
    assert [line.name for line in panel.series if line.faint] == ["base", "null"]
    assert BY_STEP.finding(made) == (
        "acc · t: sft goes from 0.4 at step 20 to 0.8 at 1000, and changes most from 20 to 500."
    )


def test_values_without_a_coordinate_are_offered_beside_those_with_it() -> None:
    rows = rows_of() + rows_of(setting="vs-parent", reference="other")
    ranges = ranges_of(rows, setting=("vs-parent",), reference=("other",))
    first = default_choice(BY_STEP, ranges)
    assert options(BY_STEP, "reference", first, ranges) == ("", "other")
    assert (first.reference, first.setting) == ("", "")
    moved = settled(BY_STEP, Choice(measure="acc", reference="other"), ranges)
    assert moved.setting == "vs-parent"
    for choice in (first, moved):
        assert len(drawn(rows, ranges, choice).panels[0].series) == 4


def test_measures_come_as_declared() -> None:
    view = registry.get("tuning_vectors").views[-1]
    rows = rows_of("rounding_share") + rows_of("norm") + rows_of("relative_norm")
    names = measures(view, ranges_of(rows))
    assert names == tuple(m.name for m in registry.get("tuning_vectors").metrics if m.name in names)
    assert len(names) == 3


def test_the_path_is_held_against_a_random_walk() -> None:
    random = np.random.default_rng(0)
    moves = random.normal(size=(40, 20000))
    path = dict(zip((10, 20, 40), np.cumsum(moves, axis=0)[[9, 19, 39]], strict=True))
    rows = [
        Measurement(
            metric="cosine", module="all", model=f"sft@{s}", reference=f"sft@{t}",
            value=float(path[s] @ path[t] / np.linalg.norm(path[s]) / np.linalg.norm(path[t])),
        )
        for s in path for t in path if s != t
    ]  # fmt: skip
    rows += [replace(row, model="other", value=0.0) for row in rows]
    view = next(v for v in registry.get("vector_cosine").views if v.key == "path")
    models = ("sft@10", "sft@20", "sft@40", "other")
    ranges = Catalogue(
        ranges={"model": models, "reference": models, "module": ("all",), "metric": ("cosine",)},
        combinations=combinations(rows),
        places=frozenset({(None, "all")}),
    )
    choice = default_choice(view, ranges)
    spec = registry.get("vector_cosine").metric("cosine")
    made = figure(view, choice, rows, ranges, spec)
    assert isinstance(made, Lines)
    last, before = made.panels
    assert [panel.title for panel in made.panels] == ["with the last step", "with the step before"]
    assert [line.name for line in last.series] == ["sft", "random walk"]
    assert (last.series[0].xs, before.series[0].xs) == ((0, 1), (1, 2))
    for panel in made.panels:
        travelled, walk = (np.array([c.value for c in line.cells]) for line in panel.series)
        assert travelled == pytest.approx(walk, abs=0.03)
    assert [c.value for c in last.series[1].cells] == pytest.approx([0.5, 0.5**0.5])
    assert "sft at step 10 has +0.495 with its last step, no straighter" in view.finding(made)


def test_a_walk_from_a_parent_has_vectors_from_it() -> None:
    """From the base, all vectors of the series share the parent's: a walk looks straight."""
    random = np.random.default_rng(0)
    moves = random.normal(size=(40, 20000))
    path = dict(zip((10, 40), np.cumsum(moves, axis=0)[[9, 39]], strict=True))
    start = 100 * random.normal(size=20000)

    def row(setting: str, a: int, b: int) -> Measurement:
        first, second = (path[s] + start * (not setting) for s in (a, b))
        cosine = float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
        return Measurement(
            metric="cosine", module="all", model=f"sft@{a}", reference=f"sft@{b}", value=cosine,
            setting=setting,
        )  # fmt: skip

    rows = [row(setting, *pair) for setting in ("vs-parent", "") for pair in ((10, 40), (40, 10))]
    assert rows[2].value == pytest.approx(1, abs=0.01)
    view = next(v for v in registry.get("vector_cosine").views if v.key == "path")
    models = ("sft@10", "sft@40")
    ranges = Catalogue(
        ranges={"model": models, "reference": models, "module": ("all",), "metric": ("cosine",),
                "setting": ("vs-parent",)},
        combinations=combinations(rows),
        places=frozenset({(None, "all")}),
    )  # fmt: skip
    choice = default_choice(view, ranges)
    asked = query(view, choice, ranges)
    spec = registry.get("vector_cosine").metric("cosine")
    made = figure(view, choice, [r for r in rows if matches(asked, r)], ranges, spec)
    assert isinstance(made, Lines)
    (cell,) = made.panels[0].series[0].cells
    assert cell.value == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("name", registry.names())
def test_views_by_step_exist_where_a_run_has_a_series(name: str) -> None:
    views = registry.get(name).views
    rows = rows_of()
    assert [v.key for v in present(views, ranges_of(rows)) if v.key == "steps"] == ["steps"]
    without = [row for row in rows if "@" not in row.model]
    assert "steps" not in {v.key for v in present(views, ranges_of(without))}


def test_steps_say_what_the_other_figures_of_an_analysis_call_a_coordinate() -> None:
    called = {
        n: next(v for v in registry.get(n).views if v.key == "steps") for n in registry.names()
    }
    assert called["trajectory"].word("metric_of") == "component"
    assert called["trajectory"].word("setting") == "series"
    assert called["evaluation"].word("metric_of") == "score"
    assert called["graft"].word("setting") == "setting", "its own figures differ in the word"
