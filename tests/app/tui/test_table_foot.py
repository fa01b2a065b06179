"""The note at the foot of a table, beside the count of its rows."""

from __future__ import annotations

from app.tui.widgets.table import _noted

NOTE = "A drop is always a loss of ability, q against random neurons of the same layers."


def test_a_note_takes_as_many_lines_as_it_needs_and_leaves_room_for_the_count() -> None:
    for width, room in ((80, 60), (40, 20), (100, 90)):
        lines = _noted(NOTE, width, room, 9)
        assert " ".join(lines).split() == NOTE.split()
        assert len(lines[-1]) <= room
        assert max(map(len, lines)) <= width
    assert _noted("", 80, 60, 4) == [""]
    assert _noted("short", 80, 60, 4) == ["short"]


def test_a_note_that_is_too_long_is_cut_at_its_end() -> None:
    lines = _noted(NOTE * 4, 40, 20, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert len(lines[-1]) <= 20
