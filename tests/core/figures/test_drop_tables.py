"""Drops in the order of their evidence, and selections of neurons side by side."""

from __future__ import annotations

from typing import Any, cast

import pytest

from core.engine.measurement import Measurement
from core.figures.drop_tables import DROP_ORDERS, drops, side_by_side
from core.figures.views import Catalogue, Choice, Tabulation

TOP = "top-1%"


def _rows(model: str, drop: float, chance: float, q: float | None, n: int) -> list[Measurement]:
    place: dict[str, Any] = {
        "model": model, "reference": model, "task": "t", "setting": TOP, "metric_of": "acc",
    }  # fmt: skip
    return [
        Measurement(metric="drop_percent", value=drop, chance=chance, chance_sd=1.0, **place),
        Measurement(metric="q_value", value=q, n=n, **place),
    ]


def _asked(*rows: Measurement, controls: int, order: str = DROP_ORDERS[0]) -> Tabulation:
    drawn = tuple(f"random-{TOP}-seed{seed}" for seed in range(controls))
    catalogue = Catalogue(ranges={"model": ("a", "b", "c", "d"), "setting": (TOP, *drawn)})
    choice = Choice(measure="drop_percent", order=order)
    return Tabulation(choice=choice, catalogue=catalogue, rows=rows, arrays=cast("Any", None))


ROWS = (
    *_rows("a", 50.0, 49.0, 1e-9, 40),
    *_rows("b", 90.0, 1.0, None, 40),
    *_rows("c", 30.0, 1.0, 4e-4, 40),
    *_rows("d", 60.0, 1.0, 0.012345, 40),
)


@pytest.mark.parametrize(
    ("order", "expected"), [("strongest evidence", "cadb"), ("largest drop", "bdac")]
)
def test_rows_go_by_evidence_then_by_the_size_beyond_controls(order: str, expected: str) -> None:
    table = drops(_asked(*ROWS, controls=8, order=order))
    assert "".join(str(row[0]) for row in table.rows) == expected


def test_q_has_two_digits_and_an_end() -> None:
    table = drops(_asked(*ROWS, controls=8))
    index = next(j for j, column in enumerate(table.columns) if column.name == "q")
    written = [table.columns[index].written(row[index]) for row in table.rows]
    assert written == ["< 0.001", "< 0.001", "0.012", ""]


def test_a_run_of_few_controls_is_told_how_far_its_tests_reach() -> None:
    note = drops(_asked(*ROWS, controls=3)).note
    assert "(3 draws), corrected for 40 tests" in note
    # t of 2 and 7 degrees of freedom
    assert "by 23 of their standard deviations. With controls = 8 it would be 5." in note
    assert "standard deviations" not in drops(_asked(*ROWS, controls=8)).note
    assert "draws" not in drops(_asked(*ROWS, controls=0)).note


def test_selections_stand_from_the_fewest_neurons_to_all() -> None:
    known = ("all-active", "top-5%-active", TOP, f"random-{TOP}-seed0", "of another program")
    place = side_by_side(Catalogue(ranges={"setting": known}))

    def of(source: str, setting: str) -> tuple[str, str] | None:
        return place(Measurement(metric="q_value", value=0, model="a", reference=source,
                                 setting=setting))  # fmt: skip

    assert of("base", TOP) == ("a", f"A {TOP} base")
    assert of("a", "top-5%-active") == ("a", "B top-5%-active own")
    assert of("a", "all-active") == ("a", "C all-active own")
    assert of("a", known[3]) is None
    assert of("a", known[4]) is None
