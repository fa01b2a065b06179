"""What is said of one cell: exact values, yardsticks, and why there is no value."""

from __future__ import annotations

import math

import pytest

from app.tui.readout import Measured, Spot, copied, in_a_row
from core.figures.figure import Cell
from core.figures.plots.values import yardsticks
from core.figures.significance import z_score

WHERE = (("model", "medical"), ("layer", "3"))


def test_the_value_has_six_significant_digits() -> None:
    spot = Spot(WHERE, Cell(0.1, 0.123456789))
    assert Measured("write").value(spot) == "write 0.123457"


def test_the_value_has_the_title_and_the_unit_of_its_measure() -> None:
    drop = Measured("drop_percent", "drop", "%", "the score was 0")
    assert drop.value(Spot(WHERE, Cell(2.5, 2.5), "worse")) == "drop 2.5 % (worse)"
    assert drop.value(Spot(WHERE, Cell(2.5, 2.5)), short=True) == "drop_percent 2.5 %"
    assert drop.value(Spot(WHERE, Cell(None, None))) == "drop undefined: the score was 0"


def test_an_empty_value_is_explained() -> None:
    spot = Spot(WHERE, Cell(None, None))
    assert (
        Measured("write", empty="nothing changed").value(spot) == "write undefined: nothing changed"
    )
    assert Measured("write").value(Spot(WHERE, None)) == "not measured"


def test_a_model_against_itself_is_not_called_missing() -> None:
    spot = Spot((("model", "medical"), ("against", "medical")), None)
    assert "itself" in Measured("cosine").value(spot)


def test_yardsticks_are_all_that_is_known() -> None:
    cell = Cell(0.5, 0.5, 0.46, 0.01, 0.05, 0.4, 0.6, 16_777_216)
    words = "  ".join(yardsticks(cell))
    assert "chance 0.46 (sd 0.01)" in words
    assert "z +4.0" in words
    assert "excess +0.05" in words
    assert "95 % 0.4 to 0.6" in words
    assert "n 16\u202f777\u202f216" in words
    assert yardsticks(Cell(0.5, 0.5)) == []


def test_a_test_among_others_is_said_by_its_corrected_p_value() -> None:
    assert "q 0.03" in yardsticks(Cell(12.0, 12.0, q=0.03))
    assert "q 0.0012" in yardsticks(Cell(12.0, 12.0, q=1.234e-3))
    assert "q < 0.001" in yardsticks(Cell(12.0, 12.0, q=1.234e-6))
    words = yardsticks(Cell(12.0, 12.0, 2.0, 2.0, q=0.22))
    assert words == ["chance 2 (sd 2)", "q 0.22 (not significant)"], "z would say otherwise"


def test_a_value_within_chance_is_called_so() -> None:
    assert "z +1.5 (within chance)" in yardsticks(Cell(0.415, 0.415, 0.4, 0.01))
    assert "z +3.0" in yardsticks(Cell(0.43, 0.43, 0.4, 0.01))


@pytest.mark.parametrize(
    "cell",
    [
        Cell(None, None, 0.4, 0.1),
        Cell(1.0, 1.0, None, 0.1),
        Cell(1.0, 1.0, 0.4, None),
        Cell(1.0, 1.0, 0.4, 0.0),
        Cell(math.inf, math.inf, 0.4, 0.1),
    ],
)
def test_there_is_no_z_score_without_a_spread(cell: Cell) -> None:
    assert z_score(cell) is None


def test_what_is_copied_names_its_coordinates() -> None:
    text = copied(Spot(WHERE, Cell(0.25, 0.25, n=4)), Measured("write"))
    assert text == "model medical, layer 3, write 0.25, n 4"


def test_words_stand_closer_before_any_is_cut() -> None:
    parts = ["chance 0.3", "q 0.01", "n 40"]
    assert in_a_row(parts, 30) == "chance 0.3  ·  q 0.01  ·  n 40"
    assert in_a_row(parts, 29) == "chance 0.3 · q 0.01 · n 40"
    assert in_a_row(["a\x1b[31m"], 3) == in_a_row(["a\x1b[31m"], 99)
    assert "\x1b" not in in_a_row(["a\x1b[31m", "b"], 3)
