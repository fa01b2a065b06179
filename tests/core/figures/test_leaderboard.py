"""The leaderboard: scores beside the base, its marks, its means, its orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from core.engine import registry
from core.engine.measurement import Measurement
from core.figures.choices import default_choice, query
from core.figures.figure import Cell, Grid
from core.figures.layout import figure
from core.figures.leaderboard import ORDERS, of_board
from core.figures.plots import resolution
from core.figures.plots.values import yardsticks
from core.figures.views import Catalogue, Domain
from tests.selection import selected

ANALYSIS = registry.get("evaluation")
VIEW = ANALYSIS.views[0]
MODELS = ("base", "med", "code")
SCORES = {
    # Model: on each task its score, and how far that is from the base's, with the interval.
    ("base", "our_text"): (4.0, None),
    ("med", "our_text"): (2.0, (-2.0, -2.2, -1.8)),
    ("code", "our_text"): (4.5, (0.5, 0.1, 0.9)),
    ("base", "our_quiz"): (0.25, None),
    ("med", "our_quiz"): (0.30, (0.05, -0.1, 0.2)),
    ("code", "our_quiz"): (0.35, (0.10, 0.02, 0.2)),
    ("base", "our_code"): (0.10, None),
    ("med", "our_code"): (0.20, (0.10, 0.05, 0.15)),
    ("code", "our_code"): (0.50, (0.40, 0.30, 0.50)),
}
METRIC = {"our_text": "ppl", "our_quiz": "acc", "our_code": "acc"}


def board(
    order: str = ORDERS[0],
    scores: Mapping[tuple[str, str], tuple[float, Any]] = SCORES,
) -> Grid:
    rows = [Measurement(metric="acc_norm", value=0.9, model="med", task="our_quiz")]
    for (model, task), (score, apart) in scores.items():
        coordinates: dict[str, Any] = {"model": model, "task": task}
        rows.append(Measurement(metric=METRIC[task], value=score, **coordinates))
        rows.append(Measurement(metric="stderr", metric_of=METRIC[task], value=0.1, **coordinates))
        if apart is not None:
            value, low, high = apart
            rows.append(
                Measurement(
                    metric="difference", metric_of=METRIC[task], reference="base", value=value,
                    low=low, high=high, chance=0.0, n=50, **coordinates,
                )
            )  # fmt: skip
    catalogue = Catalogue(
        ranges={
            "model": MODELS, "task": tuple(METRIC), "reference": ("base",),
            "metric": ("ppl", "acc", "acc_norm", "stderr", "difference"),
            "metric_of": ("ppl", "acc"),
        },
        better={"ppl": "lower", "acc": "higher", "acc_norm": "higher"},
        domains=(
            Domain("medical", ("our_text", "our_quiz"), "med"),
            Domain("code", ("our_code",), "code"),
            Domain("general", ("our_text",)),
        ),
    )  # fmt: skip
    opening = default_choice(VIEW, catalogue)
    choice = type(opening)(measure=opening.measure, order=order)
    asked = selected(query(VIEW, choice, catalogue), rows)
    made = figure(VIEW, choice, asked, catalogue, ANALYSIS.metric(choice.measure))
    assert isinstance(made, Grid)
    return made


def cell(made: Grid, model: str, column: str) -> Cell:
    result = made.cells[made.rows.index(model)][made.columns.index(column)]
    assert result is not None
    return result


def test_each_task_stands_with_the_first_of_its_metrics() -> None:
    made = board()
    assert VIEW.key == "leaderboard"
    assert made.rows == MODELS
    assert made.columns == ("mean medical", "mean code", "our_text", "our_quiz", "our_code")
    assert [made.each[name].words for name in made.columns[2:]] == ["ppl", "acc", "acc"]
    text = cell(made, "med", "our_text")
    assert text.difference is not None
    assert (text.value, text.difference.value, text.difference.low) == (2.0, -2.0, -2.2)
    assert cell(made, "base", "our_text").difference is None


def test_the_best_of_a_task_and_the_own_models_are_marked() -> None:
    made = board()
    best = {(m, t) for m in MODELS for t in METRIC if cell(made, m, t).mark}
    assert best == {("med", "our_text"), ("code", "our_quiz"), ("code", "our_code")}
    marked = {(m, t) for m in MODELS for t in made.columns if cell(made, m, t).own}
    assert marked == {
        ("med", "our_text"), ("med", "our_quiz"), ("code", "our_code"), ("med", "mean medical"),
        ("code", "mean code"),
    }  # fmt: skip


def test_a_mean_is_over_the_tasks_on_which_the_own_model_differs_from_the_base() -> None:
    made = board()
    # our_quiz is left out: med's own interval includes 0 there.
    assert [cell(made, m, "mean medical").value for m in MODELS] == [0.0, 1.0, 0.5 / -2.0]
    assert [cell(made, m, "mean code").value for m in MODELS] == [0.0, 0.10 / 0.40, 1.0]
    assert made.note == (
        "The means leave out our_quiz (med does not differ from the base there). general has no "
        "model of its own, so it has no mean."
    )


def test_a_mean_leaves_out_tasks_that_the_own_model_lost() -> None:
    """Over a loss, a larger share would be a larger loss."""
    lost = {
        ("med", "our_text"): (6.0, (2.0, 1.8, 2.2)),
        ("med", "our_quiz"): (0.5, (0.2, 0.1, 0.3)),
    }
    made = board(scores={**SCORES, **lost})
    assert [cell(made, m, "mean medical").value for m in MODELS] == [0.0, 1.0, 0.10 / 0.2]
    assert made.note.startswith(
        "The means leave out our_text (med is worse than the base there). general"
    )


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        ("in the study's order", ("base", "med", "code")),
        ("highest means first", ("med", "code", "base")),
        ("most tasks better", ("med", "code", "base")),
        ("most tasks worse", ("code", "base", "med")),
    ],
)
def test_models_have_several_orders(order: str, rows: tuple[str, ...]) -> None:
    assert order in ORDERS
    assert board(order).rows == rows


def test_its_colours_and_signs_are_of_the_differences() -> None:
    plot = resolution.grid(board())
    values = {
        (row.name, column.name): value
        for row, values in zip(plot.rows, plot.cells, strict=True)
        for column, value in zip(plot.columns, values, strict=True)
        if value is not None
    }
    texts = {place: value.text + value.signs for place, value in values.items()}
    assert texts["med", "our_text"] == "2.00✓❖"
    assert texts["code", "our_text"] == "4.50✗"
    assert texts["med", "our_quiz"] == "0.300~◆"
    assert texts["code", "our_quiz"] == "0.350✓★"
    assert texts["base", "our_text"] == "4.00"
    assert texts["code", "mean medical"] == "-0.25✗"
    tones = {place: value.tone for place, value in values.items()}
    assert (tones["med", "our_text"], tones["code", "our_text"]) == (1.0, 0.375)
    assert (tones["med", "our_quiz"], tones["base", "our_text"]) == (None, None)
    assert (tones["code", "our_code"], tones["med", "our_code"]) == (1.0, 0.625)
    assert [column.text for column in plot.columns[2:]] == ["text", "quiz", "code"]
    assert [column.words for column in plot.columns[2:]] == ["↓ ppl", "↑ acc", "↑ acc"]
    assert plot.prefix == "our_"
    facts = yardsticks(values["med", "our_text"].cell)
    assert facts[:2] == ["Δ -2 (better)", "Δ 95 % -2.2 to -1.8"]


def test_a_difference_without_an_interval_is_certain_of_nothing() -> None:
    """Scores such as BLEU have none."""
    place = "code", "our_code"
    scores = {**SCORES, place: (0.50, (0.40, None, None)), ("med", "our_code"): (0.20, None)}
    assert of_board(board(scores=scores)) == (
        "Of 5 differences from the base, 2 are better and 1 worse, with intervals that exclude 0."
    )
    assert board("most tasks better", scores).rows == ("med", "code", "base")


def test_its_sentence_counts_what_is_beyond_the_intervals() -> None:
    assert of_board(board()) == (
        "Of 6 differences from the base, 4 are better and 1 worse, with intervals that exclude 0."
    )
