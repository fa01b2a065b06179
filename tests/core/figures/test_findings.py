"""A sentence says what its figure shows, also where values or intervals are missing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.engine.measurement import Measurement
from core.figures import (
    direction_tables,
    findings,
    graft_findings,
    pairs,
    score_findings,
    state_findings,
    tables,
)
from core.figures.figure import Cell, Grid, Lines, Panel, Point, Scatter, Series, Table
from core.figures.records import (
    DropRecord,
    NeuronRecord,
    PointRecord,
    ReadoutRecord,
    ScoreRecord,
)
from core.figures.views import Catalogue, Choice, Tabulation


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
    finding = findings.of_attention_against_mlp(figure)
    assert finding.startswith(
        "Updates of attention avoid the base's directions less than updates of mlp"
    )
    assert "apart for 1 of 1" in finding


def test_controls_are_no_findings() -> None:
    figure = _grid(
        ("a", "null"), SIDES, (_cell(0.2), _cell(0.1)), (_cell(9.0), _cell(-9.0)),
        controls=frozenset({"null"}),
    )  # fmt: skip
    assert "of 1 model)" in findings.of_attention_against_mlp(figure)
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
        "medical: of the matrices, largest in q of layer 0 (0.5), smallest in q of layer 1 (0.1)."
    )


def _curves(*series: Series) -> Lines:
    return Lines(
        title="", measure="", unit="", x_label="layer", panels=(Panel("attention", series),)
    )


def _of(name: str, *values: float) -> Series:
    return Series(name, tuple(range(len(values))), tuple(map(_cell, values)))


def test_nothing_is_largest_where_nothing_changed() -> None:
    """The first of equal values is no finding: a change of zero is none."""
    chosen = {"model": "medical"}
    still = replace(_grid(("0", "1"), ("v", "q"), *[(_cell(0.0),) * 2] * 2), chosen=chosen)
    assert findings.of_largest(still) == "medical: its matrices equal the base's."
    some = _grid(("0", "1"), ("v", "q"), (_cell(0.0), _cell(0.3)), (_cell(0.0), _cell(0.2)))
    assert findings.of_largest(replace(some, chosen=chosen)) == (
        "medical: of the matrices, largest in q of layer 0 (0.3); 2 of 4 are unchanged."
    )
    even = replace(_grid(("0",), ("v", "q"), (_cell(0.3), _cell(0.3))), chosen=chosen)
    assert findings.of_largest(even) == "medical: 0.3 in each of its matrices."


def test_two_tunings_without_conflict_are_not_called_unchanged() -> None:
    chosen = {"model": "a", "reference": "b"}
    none = replace(_grid(("0",), ("v", "q"), (_cell(0.0), _cell(0.0))), chosen=chosen)
    assert pairs.of_modules(none) == "a and b: 0 in each of their matrices."
    some = replace(_grid(("0",), ("v", "q"), (_cell(0.0), _cell(0.3))), chosen=chosen)
    assert pairs.of_modules(some) == (
        "a and b: of the matrices, largest in q of layer 0 (0.3); 1 of 2 are 0."
    )


def test_no_model_comes_first_of_equals() -> None:
    same = _of("a", 0.2, 0.4), _of("b", 0.4, 0.2), _of("c", 0.1, 0.1)
    assert findings.of_sizes(_curves(*same)).startswith("In their layers a and b moved furthest")
    alone = findings.of_sizes(_curves(_of("a", 0.2), _of("b", 0.0)))
    assert alone.startswith("In its layers a moved furthest")
    pairs = _grid(
        ("a", "b", "c"), ("a", "b", "c"),
        (None, _cell(1.0), _cell(1.0)), (None, None, _cell(1.0)), (None, None, None),
    )  # fmt: skip
    assert findings.of_cosines(pairs).startswith("all 3 pairs share as much (cosine +1.00);")
    level = _grid(("a",), SIDES, (_cell(0.2), _cell(0.2)))
    assert "can't be told apart" in findings.of_attention_against_mlp(level)


def test_patterns_and_rates_that_did_not_change_are_said_to_be_so() -> None:
    base = _of("base", 40.0, 50.0)
    assert findings.of_activation(_curves(base, replace(base, name="a"))) == (
        "Tuned models activate as many neurons as the base."
    )
    finding = findings.of_distances(_curves(_of("a", 0.0, 0.0), _of("b", 0.0)))
    assert finding.startswith("The base's patterns are unchanged (mean ratio 0.00);")
    even = findings.of_distances(_curves(_of("a", 0.5), _of("b", 0.5)))
    assert even.startswith("All models keep as much of the base's patterns (mean ratio 0.50);")
    still = NeuronRecord(0, 0, 0.0, None), NeuronRecord(0, 1, 0.0, None)
    neurons = replace(_table(*still), title="Neurons of a")
    assert findings.of_neurons(neurons) == (
        "Neurons of a: the rates of these neurons are unchanged."
    )


def test_scores_that_did_not_change_have_no_largest() -> None:
    same = replace(_grid(("a",), ("t", "u"), (_cell(0.0),) * 2), chosen={"metric_of": "acc"})
    assert score_findings.of_differences(same) == "acc: all 2 scores are the base's."
    level = score_findings.mark_best(_grid(("0", "1"), ("0", "1"), *[(_cell(0.5),) * 2] * 2))
    assert score_findings.of_grid(level) == (
        "all 4 points score alike (0.50 of the domain's own model)."
    )


def _table(*records: object) -> Table:
    """A table with records and no rows: a finding must read the records alone."""
    return Table(title="", columns=(), rows=((),) * len(records), records=records)


def _interval(value: float, low: float | None = None, high: float | None = None) -> Measurement:
    return Measurement(metric="m", value=value, low=low, high=high)


def test_of_scores_counts_what_is_apart_from_the_base_for_certain() -> None:
    figure = _table(
        ScoreRecord("base", "t", "acc", None),
        ScoreRecord("a", "t", "acc", _interval(0.3, -0.1, 0.7)),
        ScoreRecord("b", "t", "acc", _interval(-0.2, -0.3, -0.1)),
        ScoreRecord("b", "u", "bleu", _interval(9.0)),
    )
    assert score_findings.of_scores(figure) == (
        "The interval excludes 0 for 1 of 3 differences from the base, the largest -0.2 in acc "
        "(b, t)."
    )
    assert score_findings.of_scores(_table()) == ""


def test_of_differences_names_the_furthest() -> None:
    sure = _cell(0.1, 0.05, 0.15), _cell(-0.4, -0.9, 0.1)
    figure = _grid(("a", "b"), ("t", "u"), (sure[0], None), (sure[1], _cell(None)))
    finding = score_findings.of_differences(replace(figure, chosen={"metric_of": "acc"}))
    assert finding == (
        "acc: the interval excludes 0 for 1 of 2 differences from the base; the largest is b's on "
        "t (-0.4)."
    )


def test_of_drops_counts_those_beyond_their_controls_alone() -> None:
    def drop(value: float, chance: float, q: float | None) -> Cell:
        return Cell(value, value, chance, q=q)

    figure = _grid(
        ("a",), ("t", "u", "v", "w"),
        (drop(20, 2, 0.049), drop(40, 4, 0.05), drop(30, 3, None), _cell(None)),
    )  # fmt: skip
    assert score_findings.of_drops(replace(figure, chosen={"setting": "top-1%"})) == (
        "ablating top-1% costs +30 % in the mean, random ones +3 %; 1 of 3 drops exceeds "
        "the random controls."
    )
    chosen = {"task": "t", "reference": "base", "metric_of": "acc", "setting": "top-1%"}
    finding = score_findings.of_drops(replace(figure, chosen=chosen))
    assert finding.startswith("t, acc: ablating top-1% of base costs +30 %")


def test_of_the_table_of_drops_what_was_not_tested_does_not_count() -> None:
    drops = (DropRecord(9.0, q) for q in (0.049, 0.05, None))
    finding = score_findings.of_drop_table(_table(*drops))
    assert finding.startswith("1 of 2 drops exceeds")


def test_the_front_is_what_nothing_beats_and_the_best_has_the_largest_lesser_share() -> None:
    places = {"x": (1.0, 0.2), "y": (0.8, 0.7), "z": (0.8, 0.6), "w": (0.2, 1.0), "v": (0.8, 0.7)}
    points = tuple(Point(n, "", _cell(a), _cell(b)) for n, (a, b) in places.items())
    undefined = Point("u", "", _cell(None), _cell(9.0))
    figure = Scatter(
        title="", measure="", unit="", across="task", x_name="p", y_name="q", point_name="",
        points=(*points, undefined),
    )  # fmt: skip
    marked = score_findings.mark_pareto(figure)
    assert [p.name for p in marked.points if p.mark] == ["x", "y", "w", "v"]
    assert score_findings.of_trade(marked) == (
        "Best compromise: y keeps 80% of p and 70% of q (no interval)."
    )


def _spectrum(**held: tuple[float, ...]) -> Lines:
    series = tuple(
        Series(name, tuple(range(1, len(values) + 1)), tuple(Cell(v, v) for v in values))
        for name, values in held.items()
    )
    return Lines(
        title="", measure="share", unit="", x_label="rank",
        panels=(Panel("σ / σ₁", series), Panel("energy held", series)),
        chosen={"layer": "3", "module": "q"},
    )  # fmt: skip


def test_a_spectrum_says_in_how_few_directions_its_energy_lies() -> None:
    first, second, last = (0.5, 0.6, 0.9, 1.0), (0.3, 0.6, 0.9, 1.0), (0.1, 0.2, 0.3, 1.0)
    of_base = "half of W's energy lies in 4 of 4 directions"
    for held, words in (
        ({"a": second}, "half of Δ's energy lies in 2 of 4 directions (a)"),
        ({"a": second, "b": second}, "half of Δ's energy lies in 2 of 4 directions (a)"),
        (
            {"base": last, "a": second, "b": first},
            f"{of_base}; half of Δ's energy lies in 1 (b) to 2 (a) of 4 directions",
        ),
        ({"base": last}, of_base),
    ):
        assert findings.of_spectrum(_spectrum(**held)) == f"q of layer 3: {words}."
    for nothing in ({}, {"a": (math.nan, math.nan)}):
        assert "no values;" in findings.of_spectrum(_spectrum(**nothing))


def test_heads_say_which_keep_most_to_the_base() -> None:
    def head(excess: float) -> Cell:
        return Cell(excess, 0.5 + excess, chance=0.5, chance_sd=0.01, excess=excess)

    figure = Grid(
        title="", measure="two_sided", unit="", row_name="layer", column_name="head",
        rows=("0", "1"), columns=("0", "1"), chosen={"model": "medical", "module": "o"},
        cells=((head(0.1), None), (head(-0.2), head(0.001))),
    )  # fmt: skip
    assert findings.of_heads(figure) == (
        "medical, o, beyond chance: head 0 of layer 0 (+0.1) keeps most to the base's directions, "
        "head 0 of layer 1 (-0.2) least."
    )
    none = replace(figure, cells=((head(0.001), None), (None, None)))
    assert findings.of_heads(none) == "medical, o: no head differs from chance."


def test_tables_say_what_stands_out_in_them() -> None:
    records = NeuronRecord(2, 7, 0.25, None), NeuronRecord(0, 1, 0.1, 8.0)
    finding = findings.of_neurons(_table(*records))
    assert finding.endswith("neuron 7 of layer 2 comes first; its rate changed by +0.250.")
    ranked = findings.of_neurons(_table(*records[::-1]))
    assert ranked.endswith("changed by +0.100, its attribution is 8.")
    assert findings.of_neurons(_table(NeuronRecord(2, 7, None, None))).endswith("comes first.")
    for empty in (findings.of_neurons, score_findings.of_points):
        assert empty(_table()) == ""


def test_a_rate_without_the_bases_has_no_change() -> None:
    """A run in progress may have the tuned model's counts first."""
    stored = {"rate": np.array([0.2, 0.7], np.float32), "drivers": np.full((3, 2), -1),
              "driven": np.zeros((3, 2))}  # fmt: skip

    def arrays(name: str, *, model: str = "", **_: object) -> Any:
        return stored if (name, model) == ("neurons", "a") else None

    choice = Choice(measure="activated_percent", model="a", layer=0, order="used most")
    ranges = Catalogue(ranges={"model": ("base", "a"), "layer": (0,)})
    made = tables.neurons(Tabulation(choice=choice, catalogue=ranges, rows=(), arrays=arrays))
    names = [column.name for column in made.columns]
    assert [row[names.index("change")] for row in made.rows] == [None, None]
    assert "unchanged" not in findings.of_neurons(made)


def test_points_that_say_little_are_not_counted_among_the_others() -> None:
    apart, level = _interval(0.5, 0.4, 0.6), _interval(0.9, 0.8, 1.1)
    points = (
        PointRecord("a=1,b=1", "all", 1.0, apart),
        PointRecord("a=0.5", "all", 0.5, None), PointRecord("a=0.5", "all", None, None),
        PointRecord("a=1", "all", 1.0, apart), PointRecord("a=1", "mlp", 0.7, apart),
        PointRecord("removal:a=1", "all", 1.0, _interval(0.5)),
    )  # fmt: skip
    assert score_findings.of_points(_table(*points)) == (
        "2 of 4 scores reach that of the domain's own model, tuned models left out."
    )
    alike = tuple(PointRecord("a=0.5", "all", share, level) for share in (1.1, 0.9))
    finding = score_findings.of_points(_table(*points, *alike))
    assert finding.startswith("2 of 4 scores")
    assert "2 further scores say little" in finding, "base and own model are alike there"
    assert score_findings.of_points(_table(*alike)).startswith("2 scores say little")
    few = PointRecord("a=0.5", "all", 1.0, _interval(1.0))
    assert score_findings.of_points(_table(few)).startswith("1 score says little")


def test_controls_are_not_mistaken_for_models_that_did_not_change() -> None:
    both = (_cell(0.4, 0.3, 0.5), _cell(0.1, 0.0, 0.2))
    figure = _grid(("a",), SIDES, both, controls=frozenset({"a"}))
    assert findings.of_attention_against_mlp(figure) == "There are only controls here."
    series = Series(name="a", xs=(0, 1), cells=both, control=True)
    curves = Lines(
        title="",
        measure="",
        unit="",
        x_label="layer",
        panels=(Panel(title="mlp", series=(series,)),),
    )
    assert findings.of_sizes(curves) == "There are only controls here."
    unknown = Series(name="b", xs=(0,), cells=(_cell(None),))
    both_kinds = replace(curves, panels=(Panel(title="mlp", series=(series, unknown)),))
    assert findings.of_sizes(both_kinds) == "No tuned model changed the layers' weights."
    names = ("a", "b")
    cosines = _grid(names, names, (None, both[0]), (both[0], None), controls=frozenset({"b"}))
    assert findings.of_cosines(cosines) == findings.CONTROLS


def test_what_can_not_be_told_apart_is_not_called_more() -> None:
    figure = _grid(("a",), SIDES, (_cell(0.4, 0.0, 0.8), _cell(0.1, 0.0, 0.6)))
    finding = findings.of_attention_against_mlp(figure)
    assert finding.startswith("Updates of attention and mlp can't be told apart")
    bare = _grid(("a",), SIDES, (_cell(0.9), _cell(0.1)))
    assert "more than" in findings.of_attention_against_mlp(bare), "nothing is known of it"
    against = (
        (_cell(0.4, 0.3, 0.5), _cell(0.6, 0.55, 0.7)),
        (_cell(0.9, 0.3, 1.5), _cell(0.1, 0, 1)),
    )
    mixed = _grid(("a", "b"), SIDES, *against)
    assert "can't be told" not in findings.of_attention_against_mlp(mixed), (
        "they are, the other way"
    )


def test_cosines_say_of_which_weights_they_are() -> None:
    cells = ((None, _cell(0.2)), (_cell(0.2), None))
    figure = _grid(("a", "b"), ("a", "b"), *cells)
    for layer, module, beginning in (
        ("all", "all", "Of all weights together, a and b"),
        ("3", "all", "In all modules of layer 3, a and b"),
        ("all", "q", "In q of all layers, a and b"),
    ):
        chosen = {"layer": layer, "module": module}
        assert findings.of_cosines(replace(figure, chosen=chosen)).startswith(beginning)


def test_states_that_do_not_differ_are_no_largest() -> None:
    chosen = {"model": "a", "setting": "all tokens"}
    still = replace(_curves(_of("a", 0.0, 0.0), _of("b", 0.0, 0.0)), measure="drift", chosen=chosen)
    assert state_findings.of_states(still) == "no tuned model's states differ from the base's."
    sizes = replace(still, measure="relative_size")
    assert state_findings.of_difference(sizes).endswith(
        "the mean difference is 0 for every tuned model."
    )
    assert state_findings.of_positions(sizes) == "a: the mean difference is 0 at every position."


def test_a_graft_within_chance_regains_nothing() -> None:
    sure, chance = Cell(0.3, 0.3, q=0.01), Cell(0.9, 0.9, q=0.4)
    lines = replace(_curves(Series("a", (0, 1), (sure, chance))), measure="regained")
    assert graft_findings.of_layers(lines) == "The layer that regains most by itself: a 0 (30%)."
    none = replace(_curves(Series("a", (0,), (chance,))), measure="regained")
    assert graft_findings.of_layers(none) == "No single layer regains a significant share."
    grid = replace(_grid(("a",), ("q", "v"), (sure, chance)), measure="regained")
    assert "q of a regains most (30%)" in graft_findings.of_modules(grid)


def test_a_part_that_raises_the_loss_for_certain_regains_nothing() -> None:
    loss = Cell(-0.3, -0.3, q=0.001)
    lines = replace(_curves(Series("a", (0,), (loss,))), measure="regained")
    assert graft_findings.of_layers(lines) == "No single layer regains a significant share."
    grid = replace(_grid(("0",), ("mlp",), (loss,)), measure="regained", chosen={"model": "a"})
    assert graft_findings.of_parts(grid) == (
        "a: no part of a single layer regains a significant share."
    )
    modules = replace(_grid(("a",), ("q",), (loss,)), measure="regained")
    assert graft_findings.of_modules(modules) == (
        "No single kind of module regains a significant share."
    )


def test_random_updates_are_compared_with_the_matrices_that_have_them() -> None:
    """An unchanged matrix has none, and counts in neither mean."""
    changed = Cell(6.0, 6.0, chance=2.0, chance_sd=0.1)
    figure = replace(
        _grid(("0", "1"), ("q", "o"), (changed, Cell(0.0, 0.0)), (changed, Cell(0.0, 0.0))),
        measure="write_rotation", chosen={"model": "a"},
    )  # fmt: skip
    assert findings.of_regime(figure) == (
        "a: write rotation is 6 on average over 2 of its matrices, 2 for random updates of "
        "their size; above chance in 2 of 2, below in 0."
    )
    undrawn = replace(figure, cells=((Cell(6.0, 6.0),) * 2,) * 2)
    assert findings.of_regime(undrawn) == (
        "a: write rotation is 6 on average over its matrices; no random updates were drawn."
    )


def test_a_readout_is_of_the_largest_difference_beyond_its_own_chance() -> None:
    """The largest difference of all may be no larger than its chance, unlike a smaller one."""

    def layer(number: int, size: float, chance: float) -> ReadoutRecord:
        row = Measurement(metric="relative_size", value=size, chance=chance)
        return ReadoutRecord(number, row, None, (f"token{number}",), ())

    def told(*records: ReadoutRecord) -> str:
        chosen = {"model": "a", "setting": "all tokens"}
        figure = Table(title="", columns=(), rows=(), records=records, chosen=chosen)
        return state_findings.of_readout(figure)

    assert told(layer(0, 0.2, 0.01), layer(1, 0.5, 0.4)) == (
        "a, all tokens: the largest mean difference beyond twice its chance level, after layer 0, "
        "raises token0."
    )
    assert told(layer(0, 0.2, 0.15), layer(1, 0.5, 0.4)).endswith(
        "no layer's mean difference is twice its chance level."
    )


def test_a_model_without_a_gain_has_no_share_to_regain() -> None:
    """An undefined share is not a share within chance."""
    undefined, chance = Cell(None, None), Cell(0.9, 0.9, q=0.4)
    grid = replace(
        _grid(("0",), ("attention", "mlp"), (undefined, undefined)), chosen={"model": "a"}
    )
    assert graft_findings.of_parts(grid).startswith("a has no significant gain on these texts")
    assert graft_findings.of_modules(grid) == graft_findings.NO_GAIN
    some = replace(grid, cells=((undefined, chance),))
    assert graft_findings.of_parts(some) == (
        "a: no part of a single layer regains a significant share."
    )


@pytest.mark.parametrize(
    ("kurtosis", "beginning"),
    [
        (3.0, "q: no model's directions concentrate on fewer tokens than random ones"),
        (9.0, "q: the directions of a concentrate on the fewest tokens"),
    ],
)
def test_directions_below_random_ones_are_about_no_fewer_tokens(
    kurtosis: float, beginning: str
) -> None:
    series = Series("a", (0,), (Cell(kurtosis, kurtosis, chance=4.0),))
    figure = replace(_curves(series), chosen={"module": "q"})
    assert direction_tables.of_depth(figure) == (
        f"{beginning} (mean kurtosis {kurtosis:.1f}; random directions 4.0)."
    )
