"""Names above the columns of a grid, broken where words end."""

from __future__ import annotations

from app.render.terminal.headings import headings, readable
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


def test_a_name_is_readable_if_no_word_of_it_is_broken() -> None:
    names = [Name(name) for name in ("gate", "attention", "all")]
    assert readable(names, 4), "a module has a short form"
    tasks = [Name("mmlu_clinical_knowledge", words="acc"), Name("gsm8k", words="acc")]
    assert not readable(tasks, 8)
    assert readable(tasks, 9)
    assert not readable([Name("gsm8k", words="bits_per_byte")], 3), "the measure counts too"
    assert not readable([Name("a_b_c_d_e_f_g_h")], 3), "it has too many lines"
