"""A grid with more columns than fit: readable names and numbers, the rest by scrolling."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len
from textual.geometry import Size

from app.render.terminal.chart import draw
from app.render.terminal.palette import on
from app.tui.widgets.grid import GridView
from core.figures.figure import Cell, Grid
from core.figures.plots.resolution import grid

TASKS = (
    "medqa_4options", "medmcqa", "pubmedqa", "mmlu_anatomy", "mmlu_clinical_knowledge",
    "mmlu_college_biology", "mmlu_college_medicine", "mmlu_medical_genetics",
    "mmlu_professional_medicine", "gsm8k", "hendrycks_math", "ifeval", "mbpp", "hellaswag",
)  # fmt: skip


def scores(rows: tuple[str, ...], row_name: str) -> Grid:
    return Grid(
        title="score",
        measure="acc",
        unit="",
        row_name=row_name,
        column_name="task",
        column_of="task",
        rows=rows,
        columns=TASKS,
        cells=tuple(
            tuple(Cell(value := (i + j / 20) / 9, value) for j, _ in enumerate(TASKS))
            for i, _ in enumerate(rows)
        ),
    )


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GridView, "palette", on("dark"))
    monkeypatch.setattr(GridView, "size", Size(78, 17))
    monkeypatch.setattr(GridView, "refresh", lambda *_, **__: None)


def opened(figure: Grid) -> GridView:
    view = GridView()
    view._plot = grid(figure)
    view.lay_out(78, 17)
    return view


def painted(view: GridView, y: int) -> str:
    return "".join(segment.text for segment in view.paint(y, None))


MODELS = scores(("base", "medical", "maths"), "model")


def test_names_and_numbers_show_and_the_foot_counts_the_columns() -> None:
    view = opened(MODELS)
    head = view.painter.layout.head
    assert [painted(view, y).split() for y in range(head)] == [
        ["mmlu", "mmlu", "mmlu"],
        ["medqa", "mmlu", "clinical", "college", "college"],
        ["model", "4options", "medmcqa", "pubmedqa", "anatomy", "knowledge", "biology", "medicine"],
    ]
    assert len(painted(view, head + 1).split()) == 1 + 7, "numbers of whole columns alone"
    assert "columns 1–7 of 14" in painted(view, view._foot_at)


def test_the_rows_that_show_are_named_harmlessly_and_within_the_screen() -> None:
    view = opened(scores(tuple(f"\x1b[31m層{i}" for i in range(40)), "layer"))
    foot = painted(view, view._foot_at)
    assert view.bottom()
    assert "of 40" in foot
    assert "\x1b" not in foot
    assert cell_len(foot) <= 78


def test_the_cursor_brings_every_column_whole() -> None:
    view = opened(MODELS)
    head = view.painter.layout.head
    for column, name in enumerate(TASKS):
        view.follow((0, column))
        shown = "".join(painted(view, y) for y in range(head))
        assert all(part[:5] in shown for part in name.split("_")), name
        assert view.first <= column < view.first + 7
    assert "columns 8–14 of 14" in painted(view, view._foot_at)
    assert view.place_at(77, head) == (0, 13)


@pytest.mark.parametrize("width", range(1, 16))
def test_a_sliver_of_a_screen_shows_a_column(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GridView, "size", Size(width, 17))
    view = GridView()
    view._plot = grid(MODELS)
    view.lay_out(width, 17)
    view.follow((0, len(TASKS) - 1))
    assert view.first == len(TASKS) - view._across()


def test_the_whole_picture_numbers_the_columns_whose_names_it_would_cut() -> None:
    view = opened(MODELS)
    view._laid_out = (view.size, "", False)
    view._ready = lambda: None  # type: ignore[method-assign]
    view.action_dense()
    view.lay_out(78, 17)
    assert painted(view, 0).split() == ["model", *map(str, range(1, 15))]
    assert view._hidden() == 0
    view.action_dense()
    view.lay_out(78, 17)
    assert "columns 1–7 of 14" in painted(view, view._foot_at), "and back to the numbers"


def test_a_board_opens_on_a_score_with_items_behind_it() -> None:
    board = scores(("base", "medical"), "model")
    (mean, *others), (own, *rest) = board.cells
    assert rest[0] is not None
    apart = replace(rest[0], difference=Cell(0.1, 0.1))
    view = opened(replace(board, cells=((mean, *others), (own, apart, *rest[1:]))))
    assert view.opening() == (1, 1)
    assert opened(MODELS).opening() == (0, 0)


def test_layers_are_a_picture_first_and_numbers_on_demand() -> None:
    view = opened(scores(tuple(map(str, range(12))), "layer"))
    assert view._hidden() == 0
    assert not view.painter.layout.numbers
    view._ready = lambda: None  # type: ignore[method-assign]
    view.action_dense()
    view.lay_out(78, 17)
    assert view.painter.layout.numbers
    assert view._hidden() > 0


def test_a_printed_grid_has_numbers_under_names_too() -> None:
    text = draw(MODELS, "heatmap", width=80, height=24, colour=True)
    assert "knowledge" in text
    assert "0.222" in text
