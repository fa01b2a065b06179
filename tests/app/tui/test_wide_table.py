"""A table wider than the screen: numbers show whole or not at all, and a sign says what follows."""

from __future__ import annotations

import pytest
from textual.geometry import Size

from app.render.terminal.palette import on
from app.tui.widgets.table import TableView
from core.figures.figure import Column, Table, Text

NUMBERS = ["0.1234", "12.5000", "3.2500", "1234.5", "77.75", "8.25", "91.5000", "0.0001", "5.125"]
NAMES = ["KL", "NLL", "agreement", "change", "low", "high", "share", "chance", "sd"]


def opened(table: Table, width: int, monkeypatch: pytest.MonkeyPatch) -> TableView:
    view = TableView()
    monkeypatch.setattr(TableView, "palette", on("dark"))
    monkeypatch.setattr(TableView, "size", Size(width, 10))
    view._plot = view.resolved(table)
    view.lay_out(width, 10)
    return view


def painted(view: TableView, y: int) -> str:
    return "".join(segment.text for segment in view.paint(y, None))


@pytest.mark.parametrize("width", range(24, 90))
def test_no_number_is_cut_at_the_edge(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (
        Column(name="model"),
        *(Column(name=name, form=".4f", align="right") for name in NAMES),
    )
    rows: tuple[tuple[Text, ...], ...] = tuple(
        (model, *(float(number) + i for number in NUMBERS))
        for i, model in enumerate(("base", "medical", "code"))
    )
    table = Table(title="t", columns=columns, rows=rows)
    view = opened(table, width, monkeypatch)
    whole = {f"{float(number):.4f}" for number in NUMBERS}
    for column in range(len(columns)):
        view.follow((0, column))
        head = painted(view, view._head - 1)
        assert set(painted(view, view._head).split()) <= {"base", *whole}
        assert set(head.split()) <= {"model", *NAMES, "›"}
        more = NAMES[-1] not in head.split()
        assert more or "›" not in head
    assert NAMES[-1] in painted(view, view._head - 1), "and the last one is reached"


@pytest.mark.parametrize("width", range(40, 90))
def test_a_wider_screen_cuts_no_number_at_the_scrolled_edge(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = (Column(name="n"), *(Column(name=name, form=".1f", align="right") for name in NAMES))
    numbers = (123456.5, 12.5, 98765.5) * 3
    view = opened(Table(title="t", columns=columns, rows=(("base", *numbers),)), 30, monkeypatch)
    view.follow((0, len(numbers)))
    monkeypatch.setattr(TableView, "size", Size(width, 10))
    view.lay_out(width, 10)
    view.follow((0, len(numbers)))
    shown = painted(view, view._head).split()
    assert set(shown) <= {"base", *(f"{number:.1f}" for number in numbers)}
    assert shown[-1] == "98765.5"


def test_a_text_at_the_edge_says_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (
        Column(name="n", form=".4f", align="right"),
        Column(name="text"),
        Column(name="more"),
    )
    table = Table(
        title="t", columns=columns, rows=((1.0, "word " * 8, "x" * 30), (2.0, "word", "y" * 30))
    )
    view = opened(table, 40, monkeypatch)
    row = painted(view, view._head)
    assert row.endswith("…")
    assert len(row) <= 40
