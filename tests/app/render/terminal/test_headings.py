"""Names above the columns of a grid, broken where words end."""

from __future__ import annotations

from app.render.terminal.headings import headings
from core.figures.plots.plot import Name


def lines_of(names: list[str], room: int) -> list[tuple[str, ...]]:
    rows = headings([Name(name) for name in names], room, "right")
    return list(zip(*([text.strip() for text in row] for row in rows), strict=True))


def test_a_last_part_that_is_too_long_is_broken_where_lines_are_left() -> None:
    assert lines_of(["mmlu_medical", "all active own"], 6) == [
        ("mmlu", "medi", "cal"),
        ("all", "active", "own"),
    ]


def test_names_that_would_be_cut_alike_are_cut_in_the_middle() -> None:
    names = ["mmlu_professional_medicine_a", "mmlu_professional_medicine_b", "short"]
    columns = lines_of(names, 5)
    assert len(set(columns)) == 3
    assert [column[-1][-1] for column in columns] == ["a", "b", "t"]
    assert all(len(line) <= 5 for column in columns for line in column)
