"""Names that are cut still tell what they name apart."""

from __future__ import annotations

from rich.cells import cell_len

from app.render.terminal.lines import told_apart
from app.render.terminal.palette import on
from app.render.terminal.tables import Painter
from core.figures.figure import Column, Table


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


def test_the_keys_of_a_table_still_differ_where_they_are_cut() -> None:
    names = ("real_text_of_medicine", "real_text_of_maths", "short")
    table = Table(
        title="t",
        columns=(Column(name="task"), Column(name="score", align="right", form=".3f")),
        rows=tuple((name, 0.5) for name in names),
    )
    painter = Painter(table, (11, 5), on("dark"))
    cut = ["".join(s.text for s in painter.line(i)).split()[0] for i in range(3)]
    assert len(set(cut)) == 3
    assert [(text[0], text[-1]) for text in cut] == [("r", "e"), ("r", "s"), ("s", "t")]
