"""Counts in words."""

from __future__ import annotations

from core.sizes import among, counted


def test_one_thing_is_said_in_the_singular() -> None:
    assert (counted(1, "place"), counted(0, "place")) == ("1 place", "0 places")
    assert counted(2, "matrix", "matrices") == "2 matrices"
    assert among(1, 1, "drop", "is", "are") == "1 of 1 drop is"
    assert among(1, 3, "drop", "is", "are") == "1 of 3 drops is"
    assert among(2, 3, "drop", "is", "are") == "2 of 3 drops are"
