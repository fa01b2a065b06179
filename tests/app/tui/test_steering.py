"""The keys for measures, readings and coordinates, as functions of a choice."""

from __future__ import annotations

from dataclasses import replace

from app.tui import steering
from core.engine.measurement import MetricSpec
from core.figures.choices import settled
from core.figures.kinds.grids import Heatmap, Matrix
from core.figures.views import Catalogue, Choice

RANGES = Catalogue(ranges={"model": ("a", "b"), "layer": (0, 1), "module": ("q", "mlp", "all")})
HEAT = Heatmap(
    key="heat",
    title="Alignment",
    caption="",
    measures=("write", "gain"),
    finding=lambda figure: "",
    excess={"write": "write_excess"},
    selectors=("model",),
)
MATRIX = Matrix(
    key="matrix",
    title="Cosine",
    caption="",
    measures=("cosine",),
    finding=lambda figure: "",
    selectors=("layer", "module"),
)


def metric(name: str) -> MetricSpec:
    return MetricSpec(name=name, title=name, description="")


def test_readings_go_round() -> None:
    choice = Choice(measure="write", model="a")
    seen = []
    for _ in range(4):
        seen.append(choice.reading)
        choice = steering.next_reading(HEAT, choice, metric("write"))
    assert seen == ["raw", "chance", "excess", "raw"]


def test_a_measure_without_chance_falls_back_to_raw() -> None:
    choice = Choice(measure="write", reading="excess", model="a")
    moved = steering.next_measure(HEAT, choice, 1, RANGES, metric)
    assert (moved.measure, moved.reading) == ("gain", "raw")
    assert steering.next_measure(HEAT, moved, 1, RANGES, metric).measure == "write"
    assert "reading" not in steering.offered(HEAT, moved, RANGES, metric("gain"))


def test_selectors_step_through_what_exists() -> None:
    choice = Choice(measure="cosine", module="all")
    layers = []
    for _ in range(4):
        layers.append(choice.layer)
        choice = steering.next_value(MATRIX, choice, "layer", 1, RANGES)
    assert layers == [None, 0, 1, None]
    modules = {choice.module}
    for _ in range(2):
        choice = steering.next_value(MATRIX, choice, "module", -1, RANGES)
        modules.add(choice.module)
    assert modules == {"q", "mlp", "all"}


def test_nothing_to_step_through_changes_nothing() -> None:
    empty = Catalogue()
    choice = Choice(measure="write", model="a")
    assert steering.next_value(HEAT, choice, "model", 1, empty) == choice


def test_a_choice_settles_on_what_exists() -> None:
    assert settled(MATRIX, Choice(measure="cosine", module="o"), RANGES).module == "all"


def test_what_is_selected_is_described() -> None:
    described = dict(steering.described(HEAT, Choice(measure="write", model="a"), RANGES, None))
    assert described == {"measure": "write", "reading": "raw", "model": "a"}
    described = dict(
        steering.described(MATRIX, Choice(measure="cosine", module="all"), RANGES, None)
    )
    assert described == {"module": "all", "layer": "all"}
    several = replace(HEAT, selectors=("model", "probe"))
    choice = Choice(measure="write", model="a")
    assert "probe" not in dict(steering.described(several, choice, RANGES, None)), (
        "there is one set"
    )
    two = replace(RANGES, ranges={**RANGES.ranges, "probe": ("", "maths")})
    assert dict(steering.described(several, choice, two, None))["probe"] == "none"


def test_the_better_direction_stands_beside_the_metric_or_the_measure() -> None:
    ranges = replace(
        RANGES,
        ranges={**RANGES.ranges, "metric_of": ("ppl",)},
        better={"ppl": "lower"},
    )
    view = replace(HEAT, selectors=("metric_of",))
    choice = Choice(measure="write", metric_of="ppl")
    spec = MetricSpec(name="write", title="write", description="", unit="%", better="metric")
    described = dict(steering.described(view, choice, ranges, spec))
    assert (described["measure"], described["metric"]) == ("write [%]", "ppl (lower is better)")
    described = dict(steering.described(view, choice, ranges, replace(spec, better="higher")))
    assert (described["measure"], described["metric"]) == ("write [%] (higher is better)", "ppl")
