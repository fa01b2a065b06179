"""Names that are cut still tell what they name apart."""

from __future__ import annotations

from rich.cells import cell_len

from app.render.terminal.lines import told_apart


def test_names_that_differ_still_differ_where_they_are_cut() -> None:
    names = ["a_long_task_of_choices@maths", "a_long_task_of_choices@medical", "short"]
    cut = told_apart(names, 14)
    assert len(set(cut)) == 3
    assert all(cell_len(name) <= 14 for name in cut)
    assert cut[2] == "short"


def test_names_that_differ_at_their_start_keep_it() -> None:
    assert told_apart(["first of them all", "second of them all"], 8) == ["first o…", "second…"]


def test_wide_characters_keep_the_width() -> None:
    assert all(cell_len(name) <= 9 for name in told_apart(["漢字" * 6 + "a", "漢字" * 6 + "b"], 9))
