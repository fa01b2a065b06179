"""One domain against another: the means of shares over the tasks that tell models apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.engine import registry
from core.engine.measurement import Measurement
from core.figures.choices import default_choice, query
from core.figures.figure import Scatter
from core.figures.layout import figure
from core.figures.plots import resolution
from core.figures.views import Catalogue, Combination, Domain
from tests.selection import selected

ANALYSIS = registry.get("arithmetic")
VIEW = next(view for view in ANALYSIS.views if view.key == "trade")
MEDICAL, CODE = "domain:medical", "domain:code"
SHARES = {
    # Setting: what it keeps of each task.
    "base": {"text": 0.5, "quiz": 0.98, "shared@code": 0.25},
    "med=1": {"text": 1.0, "quiz": 1.0, "shared@code": 0.5},
    "med=0.5": {"text": 0.75, "quiz": 1.1, "shared@code": 0.4},
}
BASE = {"text": (0.4, 0.6), "quiz": (0.9, 1.1), "shared@code": (0.2, 0.3)}
"""The intervals of the base's shares: on the quiz its own model is not told from the base."""
DOMAINS = (Domain("medical", ("text", "quiz"), "med"), Domain("code", ("shared",), "code"))


def rows() -> list[Measurement]:
    measurements = []
    for setting, shares in SHARES.items():
        coordinates: dict[str, Any] = {"setting": setting, "reference": "base"}
        for task, share in shares.items():
            low, high = BASE[task] if setting == "base" else (None, None)
            for metric_of, value in (("acc", share), ("acc_norm", 9.0)):
                measurements += [
                    Measurement(
                        metric="normalised", metric_of=metric_of, task=task, value=value, low=low,
                        high=high, n=50, **coordinates,
                    ),
                    Measurement(
                        metric="regained", metric_of=metric_of, task=task, value=2 * value - 1,
                        **coordinates,
                    ),
                ]  # fmt: skip
        means = {MEDICAL: (shares["text"] + shares["quiz"]) / 2, CODE: shares["shared@code"]}
        for task, value in means.items():
            n = 2 if task == MEDICAL else 1
            measurements.append(
                Measurement(metric="normalised", task=task, value=value, n=n, **coordinates)
            )
            measurements.append(
                Measurement(metric="regained", task=task, value=2 * value - 1, n=n, **coordinates)
            )
    return measurements


def trade(measured: list[Measurement], measure: str = "normalised") -> Scatter:
    catalogue = Catalogue(
        ranges={
            "metric": ("normalised", "regained"),
            "metric_of": ("acc", "acc_norm"),
            "setting": tuple(SHARES),
            "task": ("text", "quiz", "shared@code", MEDICAL, CODE),
            "reference": ("base",),
        },
        domains=DOMAINS,
        combinations=frozenset(
            Combination(
                metric=row.metric, metric_of=row.metric_of, task=row.task, setting=row.setting,
                reference=row.reference,
            )
            for row in measured
        ),
    )  # fmt: skip
    choice = replace(default_choice(VIEW, catalogue), measure=measure)
    assert {choice.task, choice.against} == {MEDICAL, CODE}
    asked = selected(query(VIEW, choice, catalogue), measured)
    made = figure(VIEW, choice, asked, catalogue, ANALYSIS.metric(choice.measure))
    assert isinstance(made, Scatter)
    return made


def shares_of(made: Scatter, domain: str) -> dict[str, float | None]:
    return {
        point.name: (point.x if made.x_name == domain else point.y).value for point in made.points
    }


@pytest.mark.parametrize("measure", ["normalised", "regained"])
def test_a_mean_is_over_the_tasks_that_tell_the_own_model_from_the_base(measure: str) -> None:
    made = trade(rows(), measure)

    def scaled(share: float) -> float:
        return share if measure == "normalised" else 2 * share - 1

    assert shares_of(made, MEDICAL) == {n: scaled(s["text"]) for n, s in SHARES.items()}
    assert shares_of(made, CODE) == {n: scaled(s["shared@code"]) for n, s in SHARES.items()}
    assert made.note == (
        "The mean of medical leaves out quiz (med does not differ from the base there)."
    )
    legend = resolution.scatter(made).legend()
    assert [entry.text for entry in legend if entry.symbol == "note"] == [made.note]


def test_nothing_is_left_out_where_every_task_tells() -> None:
    measured = [
        replace(row, low=0.8, high=0.99) if row.task == "quiz" and row.low is not None else row
        for row in rows()
    ]
    made = trade(measured)
    plain = {row.setting: row.value for row in measured if row.metric == "normalised"
             and row.task == MEDICAL}  # fmt: skip
    assert shares_of(made, MEDICAL) == plain
    assert made.note == ""


def test_a_task_on_which_the_own_model_is_worse_is_left_out() -> None:
    """There, the base keeps more than all of the domain."""
    measured = [
        replace(row, value=1.5, low=1.3, high=1.7) if row.task == "quiz" and row.low else row
        for row in rows()
    ]
    made = trade(measured)
    assert shares_of(made, MEDICAL) == {n: s["text"] for n, s in SHARES.items()}
    assert made.note == "The mean of medical leaves out quiz (med is worse than the base there)."


def test_a_domain_without_a_telling_task_has_no_mean() -> None:
    measured = [
        replace(row, low=0.4, high=1.6) if row.task == "text" and row.low is not None else row
        for row in rows()
    ]
    made = trade(measured)
    assert set(shares_of(made, MEDICAL).values()) == {None}
    assert "leaves out text, quiz" in made.note
    assert "no task is left" in made.note


def test_the_plain_mean_stands_where_tasks_are_not_known_one_by_one() -> None:
    measured = [row for row in rows() if row.task != "quiz"]
    made = trade(measured)
    assert shares_of(made, MEDICAL)["base"] == pytest.approx((0.5 + 0.98) / 2)
    assert made.note == ""
