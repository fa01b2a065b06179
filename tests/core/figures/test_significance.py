"""Verdicts, and the words for them."""

from __future__ import annotations

import pytest

from core.figures.figure import Cell
from core.figures.significance import excludes, is_null, judge, null_words, z_score


@pytest.mark.parametrize(
    ("cell", "near"),
    [
        (Cell(0.26, 0.26, 0.25, 0.01), True),
        (Cell(0.28, 0.28, 0.25, 0.01), False),
        (Cell(0.22, 0.22, 0.25, 0.01), False),
        (Cell(0.01, 0.26, 0.25, 0.01, excess=0.01), True),
        (Cell(0.01, 0.50, 0.25, 0.01, excess=0.01), False),  # a small excess, yet far out
        (Cell(0.25, 0.26, 0.25, 0.01, excess=0.01), False),  # chance itself is shown
        (Cell(0.26, 0.26, 0.25, None), False),
        (Cell(0.26, 0.26, 0.25, 0.0), False),
        (Cell(0.02, 0.02, 0.0, None, low=-0.1, high=0.1), True),
        (Cell(0.20, 0.20, 0.0, None, low=0.1, high=0.3), False),
        (Cell(0.02, 0.27, 0.25, None, excess=0.02, low=0.2, high=0.3), True),
        (Cell(0.02, 0.02, 0.0, None, low=-0.1, high=0.1, q=0.01), False),  # tested among others
        (Cell(0.26, 0.26), False),
        (Cell(None, None, 0.25, 0.01), False),
    ],
)
def test_chance_is_held_against_the_raw_value(cell: Cell, near: bool) -> None:
    assert is_null(cell) is near


def test_within_chance_and_not_significant_are_two_verdicts() -> None:
    """A drop of 8.5 against random ones of 2.2 ± 1.8 lies beyond chance, and is not significant
    once it is corrected for the number of tests."""
    tested = Cell(8.5, 8.5, 2.2, 1.8, q=0.096)
    assert null_words([tested]) == "not significant"
    assert null_words([tested], in_full=True) == "not significant at q < 0.05"
    alone = Cell(8.5, 8.5, 2.2, 1.8)
    verdict = judge(alone)
    assert verdict is not None
    assert (verdict.is_null, verdict.words) == (False, "beyond chance")
    assert null_words([Cell(5.0, 5.0, 2.2, 1.8)]) == "within chance"


def test_an_interval_is_judged_by_whether_it_includes_the_level() -> None:
    assert null_words([Cell(0.1, 0.1, 0.0, low=-0.1, high=0.3)]) == "interval includes 0"
    assert null_words([Cell(0.2, 0.2, 0.0, low=0.1, high=0.3)]) == ""
    assert excludes(0.1, 0.3)
    assert not excludes(-0.1, 0.3)
    assert not excludes(None, 0.3)
    assert excludes(0.1, 0.3, 1.0)


def test_words_of_several_cells_are_each_said_once() -> None:
    near = Cell(0.25, 0.25, 0.25, 0.01)
    tested = Cell(1.0, 1.0, 0.0, 1.0, q=0.5)
    assert null_words([near, tested, near]) == "within chance, not significant"
    assert null_words([Cell(1.0, 1.0)]) == ""


def test_a_nominal_spread_gives_no_z_and_no_verdict() -> None:
    cell = Cell(0.13, 0.13, 0.0, 0.0001, nominal=True)
    assert z_score(cell) is None
    assert judge(cell) is None


@pytest.mark.parametrize(("value", "is_null"), [(0.13, False), (0.05, True), (-0.05, True)])
def test_a_nominal_value_is_judged_by_the_controls(value: float, is_null: bool) -> None:
    verdict = judge(Cell(value, value, 0.0, 0.0001, nominal=True, control=0.05))
    assert verdict is not None
    assert verdict.is_null == is_null
    assert verdict.words == ("within the control" if is_null else "beyond the control")
