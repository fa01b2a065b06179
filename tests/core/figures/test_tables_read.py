"""What of a table stands in sight, what is said once, and what an export keeps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.figures.figure import Column, Table, Text
from core.figures.plots.tables import arrange

NAMES = ("model", "task", "metric", "n", "low", "drop")
ROWS: tuple[tuple[Text, ...], ...] = (
    ("medical", "real_code_text", "acc", 50, -1.0, 3.0),
    ("maths", "real_code_qa", "acc", 50, -2.0, 2.0),
    ("code", "real_mmlu", "acc", 50, None, 1.0),
)


def table(rows: tuple[tuple[Text, ...], ...] = ROWS, **given: object) -> Table:
    columns = tuple(Column(name=name) for name in NAMES)
    return Table(**{"title": "t", "columns": columns, "rows": rows, "keys": 3} | given)  # type: ignore[arg-type]


def test_results_follow_what_tells_rows_apart_and_the_rest_comes_last() -> None:
    plot = arrange(table(results=("drop",)))
    assert [column.name for column in plot.shown.columns] == ["model", "task", "drop", "low"]
    assert (plot.shown.keys, plot.head) == (2, 3)
    assert plot.shown.rows[1] == ("maths", "code_qa", 2.0, -2.0)
    assert plot.places == (0, 1, 5, 4)


def test_what_all_rows_have_in_common_is_said_once() -> None:
    assert arrange(table()).shared == ("metric acc", "n 50", "task real_*")
    empty = tuple((*row[:4], None, row[5]) for row in ROWS)
    assert "low empty" in arrange(table(empty)).shared


def test_a_lone_row_is_whole_and_so_are_rows_that_are_all_equal() -> None:
    for rows in (ROWS[:1], ROWS[:1] * 3, ()):
        plot = arrange(table(rows, keys=1))
        assert plot.places == (0, 1, 2, 3, 4, 5)
        assert not [words for words in plot.shared if not words.endswith("*")]


def test_a_beginning_ends_where_a_word_does_and_leaves_something() -> None:
    def shared(*tasks: str) -> tuple[str, ...]:
        columns = (Column(name="task"), Column(name="x"))
        rows = tuple((task, i) for i, task in enumerate(tasks))
        return arrange(Table(title="", columns=columns, rows=rows)).shared

    assert shared("real_medical", "real_medley") == ("task real_*",)
    assert shared("real_", "real_code") == ()
    assert shared("medical", "medley") == ()
    assert shared("a_b", "a_c") == (), "too short to be worth a line"
    assert shared("real_a", "") == ()


@given(
    st.lists(
        st.tuples(st.sampled_from(("a", "real_x", "real_y")), st.none() | st.integers(0, 2)),
        max_size=6,
    ),
    st.integers(1, 2),
)
def test_nothing_of_a_table_is_lost(rows: list[tuple[str, int | None]], keys: int) -> None:
    columns = (Column(name="a"), Column(name="b"))
    whole = Table(title="", columns=columns, rows=tuple(rows), keys=keys, results=("b", "gone"))
    plot = arrange(whole)
    assert plot.whole is whole
    assert len(plot.shown.rows) == len(rows)
    begins = {words.split()[0]: words.split()[-1] for words in plot.shared}
    for row, shown in zip(rows, plot.shown.rows, strict=True):
        seen: dict[str, Text] = dict(
            zip((columns[j].name for j in plot.places), shown, strict=True)
        )
        for name, value in zip("ab", row, strict=True):
            beginning = begins.get(name, "")
            if name in seen:
                assert value in (seen[name], f"{beginning.rstrip('*')}{seen[name]}")
            else:
                assert beginning == ("empty" if value is None else str(value))


@pytest.mark.parametrize(
    ("form", "signed", "numbers", "written"),
    [
        (".4g", False, (0.2, 0.4784, 2.794, 1.0), ("0.2000", "0.4784", "2.794", "1.000")),
        (".4g", True, (0.8, -2.316, 0.0, None), ("+0.8000", "-2.316", "0", "")),
        (".3g", False, (333.25, 181.0, 0.5), ("333", "181", "0.500")),
        (".4g", False, (0, 1, 12), ("0", "1", "12")),
        (".4g", True, (-0.0, 1e-9), ("0", "+1.000e-09")),
        (".3f", False, (0.2, 1.0), ("0.200", "1.000")),
        (".2g", False, (math.nan, 0.5), ("nan", "0.50")),
    ],
)
def test_the_numbers_of_a_column_have_as_many_digits(
    form: str, signed: bool, numbers: tuple[float, ...], written: tuple[str, ...]
) -> None:
    columns = (Column(name="key"), Column(name="score", form=form, signed=signed))
    rows = tuple((f"row {i}", number) for i, number in enumerate(numbers))
    plot = arrange(Table(title="t", columns=columns, rows=rows, keys=1))
    assert tuple(plot.shown.columns[1].written(row[1]) for row in plot.shown.rows) == written
    assert plot.whole.columns == columns, "an export keeps them as they were made"
