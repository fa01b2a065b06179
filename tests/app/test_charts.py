"""Charts in the terminal: every value is there, none is too wide, signs stay legible."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from app.charts import curves, draw
from app.charts.legends import series_of
from app.charts.palette import STEPS, luminance, on
from app.charts.scales import Scale, formatter, scale_of, tick_labels, ticks
from core.views import Cell, Grid, Lines, Panel, Series

MODELS = ("instruct", "medical", "maths", "retrained")


def cell(value: float | None, chance: float | None = None) -> Cell:
    return Cell(value, value, chance, 0.01 if chance is not None else None, n=1000)


def lines(layers: int = 12, panels: tuple[str, ...] = ("attention", "mlp")) -> Lines:
    def series(name: str, k: int) -> Series:
        cells = tuple(cell(0.01 * (k + 1) + 0.001 * layer) for layer in range(layers))
        return Series(name, tuple(range(layers)), cells, name == "retrained")

    return Lines(
        title="relative norm",
        measure="relative_norm",
        unit="",
        x_label="layer",
        panels=tuple(
            Panel(title, tuple(series(name, k) for k, name in enumerate(MODELS)))
            for title in panels
        ),
    )


def grid(
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    cells: tuple[tuple[Cell | None, ...], ...],
    *,
    signed: bool = True,
) -> Grid:
    return Grid(
        title="cosine",
        measure="cosine",
        unit="",
        row_name="model",
        column_name="model" if rows == columns else "module",
        rows=rows,
        columns=columns,
        cells=cells,
        signed=signed,
        empty="nothing changed there",
    )


def matrix(names: tuple[str, ...] = MODELS) -> Grid:
    values = tuple(
        tuple(None if i == j else cell((i - j) / 10) for j in range(len(names)))
        for i in range(len(names))
    )
    return grid(names, names, values)


def bars() -> Grid:
    values = tuple((cell(0.1 * i, 0.25), cell(-0.05 * i, 0.0)) for i in range(1, 5))
    return grid(MODELS, ("attention", "mlp"), values)


def plain_lines(text: str) -> list[str]:
    return Text.from_ansi(text).plain.split("\n")


def test_a_matrix_shows_every_number_with_its_sign() -> None:
    text = draw(matrix(), "matrix", width=80, height=24, colour=False)
    for value in ("+0.100", "-0.100", "+0.200", "-0.300"):
        assert value in text
    for name in MODELS:
        assert text.count(name) >= 2, "as a row and as a column"


def test_bars_print_their_values_and_the_level_of_chance() -> None:
    text = draw(bars(), "bars", width=80, height=24, colour=False)
    for value in ("+0.100", "+0.400", "-0.050", "-0.200"):
        assert value in text
    assert "what chance alone gives" in text


def test_bars_are_as_long_as_their_values() -> None:
    text = draw(bars(), "bars", width=80, height=24, colour=False)
    lengths = [line.count("█") for line in text.split("\n") if "attention" in line]
    assert lengths == sorted(lengths)
    assert lengths[3] == pytest.approx(4 * lengths[0], abs=4)


def test_curves_have_axes_a_legend_and_their_panels() -> None:
    text = draw(lines(), "curves", width=80, height=24, colour=False)
    for word in ("attention", "mlp", "layer", "retrained (control)", *MODELS):
        assert word in text
    signs = [curves.sign(i, s) for i, s in enumerate(series_of(lines()))]
    assert len(set(signs)) == len(MODELS), "series can be told apart without colour"
    assert all(text.count(sign) > 2 for sign in signs)


def test_panels_stand_side_by_side_where_there_is_room() -> None:
    assert curves.across(2, 120, 24) == 2
    assert curves.across(2, 90, 40) == 1
    assert curves.across(2, 78, 14) == 2, "rather narrow than three rows high"


def test_a_point_is_drawn_in_the_cell_that_its_frame_names() -> None:
    figure = lines(layers=6, panels=("attention",))
    drawn = curves.picture(figure, width=70, height=20, palette=on("dark"))
    frame = drawn.frames[0]
    rows = ["".join(segment.text for segment in line) for line in drawn.lines]
    first = figure.panels[0].series[0]
    for x, at in zip(first.xs, first.cells, strict=True):
        assert at.shown is not None
        assert rows[frame.row(at.shown)][frame.column(x)] == curves.sign(0, first)


def test_undefined_values_break_the_line_and_are_explained() -> None:
    gap = Series("medical", (0, 1, 2, 3), (cell(1.0), cell(None), cell(1.0), cell(2.0)))
    figure = Lines(
        title="t", measure="m", unit="", x_label="layer", panels=(Panel("all", (gap,)),),
        empty="nothing changed there",
    )  # fmt: skip
    text = draw(figure, "curves", width=60, height=14, colour=False)
    assert "undefined: nothing changed there" in text
    holed = grid(("0",), ("q", "k"), ((cell(None), cell(0.5)),))
    text = draw(holed, "heatmap", width=60, height=14, colour=False)
    assert "·" in text.split("\n")[2]
    assert "nothing changed there" in text


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("width", [24, 40, 61, 80, 132, 200])
@pytest.mark.parametrize(
    ("figure", "kind"),
    [
        (lines(), "curves"),
        (matrix(), "matrix"),
        (matrix(tuple(f"a-very-long-name-of-a-model-{i}" for i in range(14))), "matrix"),
        (bars(), "bars"),
    ],
)
def test_nothing_is_wider_than_allowed(
    figure: Lines | Grid, kind: str, width: int, colour: bool
) -> None:
    text = draw(figure, kind, width=width, height=24, colour=colour)
    assert max(cell_len(line) for line in plain_lines(text)) <= width


def test_without_colour_there_is_no_escape_sequence() -> None:
    for figure, kind in ((lines(), "curves"), (matrix(), "heatmap"), (bars(), "bars")):
        assert "\x1b" not in draw(figure, kind, width=80, height=24, colour=False)
        assert "\x1b[" in draw(figure, kind, width=80, height=24, colour=True)


def test_hostile_names_stay_text() -> None:
    names = ("[bold]x[/]", "\x1b[31mred\x1b]52;c;aGk=\x07", "\u202eright", "宽" * 50)
    text = draw(matrix(names), "matrix", width=80, height=24, colour=True)
    inside = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "\x1b" not in inside
    assert "\x07" not in inside
    assert "\u202e" not in inside
    assert "[bold]x[/]" in inside
    assert max(cell_len(line) for line in plain_lines(text)) <= 80


def test_empty_figures_say_so() -> None:
    nothing = Lines(title="t", measure="m", unit="", x_label="layer", panels=())
    assert "No values yet" in draw(nothing, "curves", width=80, height=20, colour=False)
    assert "No values yet" in draw(grid((), (), ()), "bars", width=80, height=20, colour=False)


def test_threads_draw_the_same_as_one_alone() -> None:
    alone = draw(lines(), "curves", width=80, height=24, colour=True)
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(
            lambda _: draw(lines(), "curves", width=80, height=24, colour=True), range(60)
        )
        assert set(together) == {alone}


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("colours", [16, 1 << 24])
def test_ramps_grow_lighter_all_the_way(background: str, colours: int) -> None:
    palette = on(background, colours)
    for ramp in (palette.sequential, palette.diverging):
        assert len(ramp) == STEPS
        levels = [luminance(colour) for colour in ramp]
        assert all(b >= a - 1e-3 for a, b in pairwise(levels))
        assert levels[-1] - levels[0] > 0.4


def test_a_signed_scale_lies_about_zero() -> None:
    scale = scale_of(matrix())
    assert (scale.low, scale.high) == (-0.3, 0.3)
    assert scale.step(0.0) == STEPS // 2
    assert Scale(1.0, 1.0, False).step(1.0) == STEPS // 2


@settings(deadline=None, max_examples=200)
@given(
    low=st.floats(-1e6, 1e6),
    span=st.floats(1e-6, 1e6),
    most=st.integers(2, 12),
)
def test_ticks_cover_the_range_and_differ(low: float, span: float, most: int) -> None:
    marks = ticks(low, low + span, most)
    assert marks[0] <= low + 1e-6 * span + 1e-9 * abs(low)
    assert marks[-1] >= low + span - 1e-6 * span - 1e-9 * abs(low)
    assert len(marks) <= most + 2
    if span > 1e-4 * abs(low):
        labels = tick_labels(marks)
        assert len(set(labels)) == len(labels)


def test_numbers_of_one_figure_share_a_form() -> None:
    write = formatter([0.5, 0.25], signed=True)
    assert (write(0.5), write(-0.25)) == ("+0.500", "-0.250")
    assert formatter([1e-5])(1e-5) == "1.0e-5"
    assert formatter([12345.6])(12345.6) == "12346"
