"""Names above the columns of a grid, broken where words end."""

from __future__ import annotations

from app.render.terminal.headings import headings
from core.figures.plots.plot import Name


def test_a_last_part_that_is_cut_leaves_no_line_below_it() -> None:
    names = [Name("mmlu_medical"), Name("all active own")]
    rows = headings(names, 6, "right")
    assert [[text.strip() for text in row] for row in rows] == [
        ["", "all"],
        ["mmlu", "active"],
        ["medic…", "own"],
    ]
