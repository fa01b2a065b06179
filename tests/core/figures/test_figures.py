"""What figures say of themselves."""

from __future__ import annotations

from core.figures.figure import Column, Table


def test_a_table_is_narrowed_by_the_columns_that_it_has() -> None:
    columns = (Column(name="task"), Column(name="layer"), Column(name="score"))
    table = Table(title="t", columns=columns, rows=(("a", 1, 0.5), ("b", 1, 0.25), ("b", 2, 0.1)))
    assert table.matching({"task": "b", "module": "q"}) == (1, 2)
    assert table.matching({"task": "b", "layer": "2"}) == (2,)
    assert table.matching({"module": "q"}) == ()
    assert table.narrowed({"task": "b"}).rows == table.rows[1:]
    assert "Only task b" in table.narrowed({"task": "b"}).note
    assert table.narrowed({"task": "z"}) is table
    assert table.narrowed({}) is table
