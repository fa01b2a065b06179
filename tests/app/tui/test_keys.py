"""The registry of actions: one key does one thing in a place, and the bottom line always fits."""

from __future__ import annotations

from collections import Counter

import pytest
from rich.cells import cell_len

from app.tui.keys import ACTIONS, Where, actions, bindings
from app.tui.widgets.bar import keys_line, tabs_line, two_ends

PLACES: tuple[tuple[Where, ...], ...] = (("runs", "app"), ("run", "figure", "app"))


@pytest.mark.parametrize("places", PLACES)
def test_no_key_does_two_things(places: tuple[Where, ...]) -> None:
    keys = Counter(key for action in actions(*places) for key in action.keys.split(","))
    assert [key for key, count in keys.items() if count > 1] == []


def test_ids_are_unique() -> None:
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


def test_every_action_has_its_binding() -> None:
    for where in ("app", "runs", "run", "figure"):
        assert {b.id for b in bindings(where)} == {a.id for a in actions(where)}  # type: ignore[union-attr]


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
@pytest.mark.parametrize("places", PLACES)
def test_the_bottom_line_fits_and_keeps_the_way_out(places: tuple[Where, ...], width: int) -> None:
    line = keys_line(actions(*places), width).plain
    assert cell_len(line) <= width
    assert "help" in line
    assert width < 30 or "quit" in line


@pytest.mark.parametrize("width", [30, 60, 80, 160])
def test_tabs_fit(width: int) -> None:
    titles = ["Vectors", "Cosine between tuning vectors", "Alignment", "Run", "[b]x[/]"]
    for chosen in range(len(titles)):
        line = tabs_line(titles, chosen, width).plain
        assert cell_len(line) <= width
        assert f" {chosen + 1} " in line


def test_the_right_end_of_a_row_is_kept() -> None:
    row = two_ends([("a long name of a study", "")], [("41 %", "")], 16)
    assert row.plain.endswith("41 %")
    assert cell_len(row.plain) == 16
