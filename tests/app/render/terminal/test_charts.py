"""Charts in the terminal: every value is there, none is too wide, signs stay legible."""

from __future__ import annotations

import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from app.render.terminal import bars as bar_charts
from app.render.terminal import curves, grids, scatters, tables
from app.render.terminal.axes import Frame, even_ticks
from app.render.terminal.chart import draw
from app.render.terminal.legends import series_legend
from app.render.terminal.lines import differences
from app.render.terminal.palette import STEPS, hex_of, luminance, on, sign, step
from core.engine.measurement import Better
from core.figures.figure import Cell, Column, Grid, Lines, Panel, Point, Scatter, Series, Table
from core.figures.plots import resolution
from core.figures.plots.plot import OF_BASE
from core.figures.plots.ranges import Axis, Scale
from core.figures.plots.tables import arrange

MODELS = ("instruct", "medical", "maths", "retrained")


def cell(value: float | None, chance: float | None = None, better: Better = "neither") -> Cell:
    sd = 0.01 if chance is not None else None
    return Cell(value, value, chance, sd, n=1000, better=better)


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
    assert "┊ chance" in text


def test_bars_are_as_long_as_their_values() -> None:
    text = draw(bars(), "bars", width=80, height=24, colour=False)
    lengths = [line.count("█") for line in text.split("\n") if "attention" in line]
    assert lengths == sorted(lengths)
    assert lengths[3] == pytest.approx(4 * lengths[0], abs=4)


def test_curves_have_axes_a_legend_and_their_panels() -> None:
    text = draw(lines(), "curves", width=80, height=24, colour=False)
    for word in ("attention", "mlp", "layer", "retrained (control)", *MODELS):
        assert word in text
    signs = {sign(curve.index, curve.faint) for curve in resolution.curves(lines()).curves}
    assert len(signs) == len(MODELS), "series can be told apart without colour"
    assert all(text.count(each) > 2 for each in signs)


def test_panels_stand_side_by_side_where_there_is_room() -> None:
    assert curves.across(2, 120, 24) == 2
    assert curves.across(2, 90, 40) == 1
    assert curves.across(2, 78, 14) == 2, "rather narrow than three rows high"


def test_panels_that_have_no_room_make_way_for_those_around_the_chosen_one() -> None:
    titles = tuple("abcdefg")
    plot = resolution.curves(lines(layers=6, panels=titles))
    seen = set()
    for panel, title in enumerate(titles):
        drawn = curves.picture(plot, width=78, height=16, palette=on("dark"), panel=panel)
        assert len(drawn.lines) <= 16
        assert panel in drawn.frames
        frame = drawn.frames[panel]
        above = "".join(s.text for s in drawn.lines[frame.top - 1])[frame.left :]
        assert above.split()[:4] == [title, str(panel + 1), "of", "7"]
        seen |= set(drawn.frames)
    assert seen == set(range(7))
    whole = curves.picture(plot, width=78, height=60, palette=on("dark"))
    assert set(whole.frames) == seen
    assert "of 7" not in "".join(s.text for line in whole.lines for s in line)


def test_a_point_is_drawn_in_the_cell_that_its_frame_names() -> None:
    figure = lines(layers=6, panels=("attention",))
    drawn = curves.picture(resolution.curves(figure), width=70, height=20, palette=on("dark"))
    frame = drawn.frames[0]
    rows = ["".join(segment.text for segment in line) for line in drawn.lines]
    first = figure.panels[0].series[0]
    for x, measured in zip(first.xs, first.cells, strict=True):
        assert measured.shown is not None
        assert rows[frame.row(measured.shown)][frame.column(x)] == sign(0)


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
    assert "No values to show" in draw(nothing, "curves", width=80, height=20, colour=False)
    assert "No values to show" in draw(grid((), (), ()), "bars", width=80, height=20, colour=False)


def test_threads_draw_the_same_as_one_alone() -> None:
    alone = draw(lines(), "curves", width=80, height=24, colour=True)
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(
            lambda _: draw(lines(), "curves", width=80, height=24, colour=True), range(60)
        )
        assert set(together) == {alone}


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("colours", [16, 256, 1 << 24])
def test_a_sequential_ramp_grows_lighter_all_the_way(background: str, colours: int) -> None:
    ramp = on(background, colours).sequential
    assert len(ramp) == STEPS
    levels = [luminance(colour) for colour in ramp]
    assert all(b >= a - 1e-3 for a, b in pairwise(levels))
    assert levels[-1] - levels[0] > 0.4


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("colours", [16, 256, 1 << 24])
def test_ramps_about_zero_fade_to_the_background_there(background: str, colours: int) -> None:
    palette = on(background, colours)
    assert palette.signed != palette.better
    for ramp in (palette.signed, palette.better):
        levels = [luminance(colour) for colour in ramp]
        away = 1 if background == "dark" else -1
        middle = levels[STEPS // 2]
        assert middle < 0.03 if background == "dark" else middle > 0.83
        for side in (levels[STEPS // 2 :], levels[STEPS // 2 :: -1]):
            assert all(away * (b - a) > -0.12 for a, b in pairwise(side))
            assert away * (side[-1] - side[0]) > 0.1


DEUTAN = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
          (-0.011820, 0.042940, 0.968881))  # fmt: skip
PROTAN = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
          (-0.003882, -0.048116, 1.051998))  # fmt: skip


@pytest.mark.parametrize("background", ["dark", "light"])
@pytest.mark.parametrize("colours", [16, 256, 1 << 24])
@pytest.mark.parametrize("eyes", [DEUTAN, PROTAN])
def test_every_eye_tells_the_ends_of_a_ramp_apart(
    background: str, colours: int, eyes: tuple[tuple[float, ...], ...]
) -> None:
    """The matrices are of Machado, Oliveira and Fernandes (2009), for linear RGB."""

    def seen(colour: tuple[int, int, int]) -> list[float]:
        linear = [(c / 255) ** 2.2 for c in colour]
        mixed = (sum(a * b for a, b in zip(row, linear, strict=True)) for row in eyes)
        return [max(0.0, c) ** (1 / 2.2) for c in mixed]

    palette = on(background, colours)
    for ramp in (palette.signed, palette.better):
        for place in range(STEPS // 4):
            one, other = seen(ramp[place]), seen(ramp[-1 - place])
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 0.2


def test_a_signed_scale_lies_about_zero() -> None:
    scale = resolution.grid(matrix()).scale
    assert (scale.low, scale.high) == (-0.3, 0.3)
    assert step(scale.tone(0.0)) == STEPS // 2
    assert step(Scale(1.0, 1.0).tone(1.0)) == STEPS // 2


@pytest.mark.parametrize("colours", [16, 256, 1 << 24])
def test_better_and_worse_have_colours_and_signs_of_their_own(colours: int) -> None:
    cells = ((cell(-2.0, better="lower"), cell(2.0, better="lower"), cell(0.0, better="lower")),)
    made = grid(("a",), ("x", "y", "z"), cells)
    plot, palette = resolution.grid(made), on("dark", colours)
    layout = grids.layout(plot, 80, 1)
    _, good, bad, zero = grids.Painter(plot, layout, palette).line(0)
    fills = [
        each.style.bgcolor.name for each in (good, bad, zero) if each.style and each.style.bgcolor
    ]
    assert fills == [hex_of(palette.better[step]) for step in (STEPS - 1, 0, STEPS // 2)]
    assert ("-2✓" in good.text, "+2✗" in bad.text, "+0 " in zero.text) == (True,) * 3
    text = draw(made, "heatmap", width=80, height=24, colour=False)
    assert "lower is better" in text.splitlines()[0]
    assert "✓ better   ✗ worse" in text


def test_ramps_of_256_colours_name_only_colours_that_are_there() -> None:
    levels = {0x00, 0x5F, 0x87, 0xAF, 0xD7, 0xFF}
    greys = {(grey,) * 3 for grey in range(8, 239, 10)}
    for palette in (on("dark", 256), on("light", 256)):
        for ramp in (palette.sequential, palette.signed, palette.better):
            assert {c for colour in set(ramp) - greys for c in colour} <= levels


def chancy() -> Grid:
    """One cell within chance, one beyond it, one undefined."""
    cells = ((cell(0.255, 0.25), cell(0.9, 0.25), cell(None)),)
    return grid(("0",), ("q", "k", "v"), cells, signed=False)


def test_what_lies_within_chance_is_marked_without_colour_too() -> None:
    text = draw(chancy(), "heatmap", width=80, height=24, colour=False)
    assert "0.255~" in text
    assert "0.900~" not in text
    assert "~ within chance" in text
    assert "~" not in draw(matrix(), "matrix", width=80, height=24, colour=False)


def test_what_lies_within_chance_has_no_colour_of_the_ramp() -> None:
    plot = resolution.grid(chancy())
    layout = grids.layout(plot, 80, 10)
    painted = grids.Painter(plot, layout, on("dark")).line(layout.tall // 2)
    near, far = painted[1], painted[2]
    assert near.style is not None
    assert near.style.bgcolor is None
    assert far.style is not None
    assert far.style.bgcolor is not None
    dense = replace(layout, halves=True, numbers=False)
    row = grids.Painter(plot, dense, on("dark")).line(0)
    assert "".join(segment.text for segment in row[1:]).strip("▀▄ ") == "·", "undefined"
    assert plot.remarks(dense=True)[0] == "grey: within chance"


@pytest.mark.parametrize("colours", [16, 256, 1 << 24])
@pytest.mark.parametrize("background", ["dark", "light"])
def test_a_dense_picture_tells_chance_from_what_was_not_measured(
    background: str, colours: int
) -> None:
    near, far = cell(0.255, 0.25), cell(0.9, 0.25)
    cells = ((near, near, None, far), (None, far, None, near))
    plot = resolution.grid(grid(("0", "1"), ("q", "k", "v", "o"), cells, signed=False))
    palette = on(background, colours)
    dense = grids.layout(plot, 80, 1, dense=True)
    grey, ramp = hex_of(palette.null), hex_of(palette.sequential[STEPS // 2])
    looks = []
    for part in grids.Painter(plot, dense, palette).line(0)[1:]:
        style, two = part.style, set(part.text)
        assert style is not None
        ends = [end.name if end else "" for end in (style.color, style.bgcolor)]
        looks.append({" ": ["", ""], "▄": ["", ends[0]], "▀": ends}[two.pop()])
    assert looks == [[grey, ""], [grey, ramp], ["", ""], [ramp, grey]]
    every = {*palette.sequential, *palette.signed, *palette.better}
    assert palette.null not in every


def test_a_scale_of_nothing_but_zeros_says_so() -> None:
    figure = replace(matrix(), signed=True)
    zeros = replace(
        figure, cells=tuple(tuple(c and Cell(0.0, 0.0) for c in row) for row in figure.cells)
    )
    assert "every value is 0" in draw(zeros, "matrix", width=80, height=24, colour=False)
    assert "every value is 0" not in draw(figure, "matrix", width=80, height=24, colour=False)


def test_controls_are_set_in_brackets() -> None:
    controlled = replace(matrix(), controls=frozenset({"retrained"}))
    for kind, figure in (
        ("matrix", controlled),
        ("bars", replace(bars(), controls=frozenset({"retrained"}))),
    ):
        text = draw(figure, kind, width=90, height=24, colour=False)
        assert "(retrained)" in text
        assert "(medical)" not in text
        assert "a control" in text
        coloured = draw(figure, kind, width=90, height=24, colour=True)
        names = [s for s in Text.from_ansi(coloured).split("\n") if "(retrained)" in s.plain]
        dim = Color.parse(on("dark").dim).get_truecolor()
        shades = {
            _colour(span.style).triplet
            for row in names
            for span in row.spans
            if "retrained" in row.plain[span.start : span.end]
        }
        assert shades == {dim}


def _colour(style: Style | str | None) -> Color:
    assert isinstance(style, Style)
    assert style.color is not None
    return style.color


def test_a_module_that_is_called_like_a_control_is_none() -> None:
    figure = replace(chancy(), row_name="layer", controls=frozenset({"q", "0"}))
    text = draw(figure, "heatmap", width=80, height=24, colour=False)
    assert "(" not in text.split("within chance")[0]


def test_bars_draw_their_intervals() -> None:
    values = ((Cell(0.5, 0.5, low=0.4, high=0.7), Cell(-0.5, -0.5, low=-0.6, high=-0.4)),)
    figure = grid(("medical",), ("attention", "mlp"), values)
    text = draw(figure, "bars", width=80, height=24, colour=False).split("\n")
    up, down = (next(t for t in text if name in t) for name in ("attention", "mlp"))
    assert up.index("├") < up.rindex("█") < up.index("┤")
    assert down.index("├") < down.index("┤") < down.index("│")
    assert "├─┤ 95 %" in text[-1]
    assert "+0.400 to +0.700" in draw(figure, "bars", width=120, height=24, colour=False)
    painter = bar_charts.Painter(resolution.bars(figure), 80, on("dark"))
    inside = next(segment for segment in painter.line(0) if "├" in segment.text)
    assert inside.style is not None
    assert inside.style.bgcolor is not None, "the bar shows behind its interval"


def test_the_legend_of_bars_tells_both_signs() -> None:
    """An axis that says which way is better says nothing of a sign."""
    cells = ((cell(-2.0, better="higher"), cell(2.0, better="higher")),)
    figure = grid(("medical",), ("attention", "mlp"), cells)
    text = draw(figure, "bars", width=80, height=24, colour=False)
    assert "(higher is better)" in text
    assert "✓ better" in text.split("\n")[-1]
    assert "✗ worse" in text.split("\n")[-1]


def test_an_excess_has_no_interval_of_the_raw_value() -> None:
    values = ((Cell(0.1, 0.5, 0.4, 0.01, excess=0.1, low=0.4, high=0.7),),)
    text = draw(grid(("m",), ("mlp",), values), "bars", width=120, height=24, colour=False)
    assert "├" not in text
    assert "0.700" not in text


def test_rows_grow_where_there_is_room() -> None:
    figure = grid(
        tuple(map(str, range(4))), ("q", "k"), tuple((cell(0.1 * i), cell(0.2)) for i in range(4))
    )
    plot = resolution.grid(figure)
    assert grids.layout(plot, 90, 40).tall == 5
    assert grids.layout(plot, 90, 12).tall == 3
    assert grids.layout(plot, 90, 3).tall == 1
    for height in (3, 8, 12, 40):
        assert grids.layout(plot, 90, height).rows(plot) <= max(4, height)


def test_the_chosen_series_lies_on_top_with_all_its_signs() -> None:
    def same(name: str) -> Series:
        return Series(name, tuple(range(20)), tuple(cell(0.5) for _ in range(20)))

    panel = Panel("all", tuple(same(name) for name in MODELS[:3]))
    figure = Lines(title="t", measure="m", unit="", x_label="layer", panels=(panel,))
    palette = on("dark")
    drawn = curves.picture(
        resolution.curves(figure), width=90, height=12, palette=palette, chosen="medical"
    )
    text = "\n".join("".join(s.text for s in line) for line in drawn.lines)
    assert text.count("■") == 20
    assert "●" not in text
    styles = {_colour(s.style).name for line in drawn.lines for s in line if s.text.strip() == "■"}
    assert styles == {palette.series[1]}
    apart = curves.picture(resolution.curves(figure), width=90, height=12, palette=palette)
    text = "\n".join("".join(s.text for s in line) for line in apart.lines)
    assert all(text.count(sign) > 1 for sign in "●■▲"), "those on one point take turns"


def test_series_look_the_same_in_all_panels() -> None:
    whole = Panel("attention", tuple(Series(n, (0, 1), (cell(0.1), cell(0.2))) for n in MODELS))
    part = Panel("mlp", whole.series[2:3])
    figure = Lines(title="t", measure="m", unit="", x_label="layer", panels=(whole, part))
    drawn = curves.picture(resolution.curves(figure), width=120, height=14, palette=on("dark"))
    rows = ["".join(s.text for s in line) for line in drawn.lines]
    right = "".join(row[drawn.frames[1].left :] for row in rows)
    assert "▲" in right
    assert "●" not in right


def test_a_model_looks_the_same_beside_the_base_and_without_it() -> None:
    def figure(*names: str) -> Lines:
        series = tuple(Series(name, (0, 1), (cell(0.1), cell(0.2))) for name in names)
        return Lines(
            title="", measure="", unit="", x_label="layer", panels=(Panel("", series),)
        )  # fmt: skip

    def places(*names: str) -> dict[str, int]:
        return {curve.name: curve.index for curve in resolution.curves(figure(*names)).curves}

    alone, beside = places("maths", "code"), places("base", "maths", "code")
    assert beside == {**alone, "base": OF_BASE}
    drawn = draw(figure("base", "maths"), "curves", width=60, height=12, colour=False)
    assert drawn.splitlines()[1].split() == ["▼", "base", "●", "maths"], "in the figure's order"


def test_many_series_stand_in_columns() -> None:
    names = ("control", "medical", "medical-qa", "maths", "instruct", "code", "law", "finance")
    panel = Panel("all", tuple(Series(name, (0,), (cell(0.1),)) for name in names))
    figure = Lines(title="t", measure="m", unit="", x_label="layer", panels=(panel,))
    rows = series_legend(resolution.curves(figure), 80, on("dark"), ["0.100"] * len(names), 2)
    text = ["".join(s.text for s in row) for row in rows]
    assert len(text) == 2
    assert max(cell_len(row.rstrip()) for row in text) <= 80
    assert all(any(name in row for row in text) for name in names)
    starts = [[i for i, c in enumerate(row) if c in "●■▲◆○□△◇"] for row in text]
    assert set(starts[1]) <= set(starts[0])


def test_the_differences_of_two_rows_are_where_they_differ() -> None:
    style, other = on("dark").line(0, False), on("dark").line(1, False)
    before = [Segment("abc", style), Segment("def", style)]
    assert list(differences(before, [Segment("abcdef", style)])) == []
    assert list(differences(before, [Segment("abXdef", style)])) == [(2, 3)]
    assert list(differences(before, [Segment("abcd", style), Segment("ef", other)])) == [(4, 6)]
    wide = [Segment("宽a", style)]
    assert list(differences(wide, [Segment("宽b", style)])) == [(2, 3)]


@given(st.text("ab", min_size=60, max_size=60), st.text("ab", min_size=60, max_size=60))
def test_all_cells_that_differ_are_in_differences_that_lie_apart(one: str, other: str) -> None:
    spans = list(differences([Segment(one)], [Segment(other)]))
    inside = {i for start, end in spans for i in range(start, end)}
    apart = {i for i in range(60) if one[i] != other[i]}
    assert apart <= inside
    assert all({start, end - 1} <= apart for start, end in spans), "none is longer than it must"
    assert all(end < start for (_, end), (start, _) in pairwise(spans))


def scatter(count: int = 9, **changed: Any) -> Scatter:
    points = tuple(
        Point(f"maths={i}", "even" if i % 2 == 0 else "odd", cell(0.1 * i), cell(1 - 0.1 * i))
        for i in range(count)
    )
    made = Scatter(
        title="normalised accuracy", measure="normalised", unit="", across="task", x_name="medqa",
        y_name="gsm8k", point_name="coefficients", points=points, x_guides=(0.5,),
        mark_name="on the front",
    )  # fmt: skip
    return replace(made, **changed)


def table(count: int = 30) -> Table:
    return Table(
        title="Neurons",
        columns=(
            Column(name="neuron", align="right", form=",d"),
            Column(name="score", align="right", form=".3f", signed=True),
            Column(name="where it is active", outside=True),
        ),
        rows=tuple((1000 + i, i / 7, f" word {'long ' * 30}{i}") for i in range(count)),
        note="means over all documents",
    )


@given(
    low=st.floats(-1e3, 1e3), span=st.floats(1e-3, 1e3), rows=st.integers(1, 60),
    most=st.integers(1, 9),
)  # fmt: skip
def test_ticks_stand_the_same_number_of_rows_apart(
    low: float, span: float, rows: int, most: int
) -> None:
    ticks, shown = even_ticks(Axis(low, low + span), rows, most)
    assert shown[0] <= low + 1e-6 * span
    assert shown[1] >= low + span - 1e-6 * span
    frame = Frame(0, 0, 10, rows, (0, 1), shown)
    places = [frame.row(tick.at) for tick in ticks]
    apart = {above - below for below, above in pairwise(places)}
    assert len(apart) == 1 or rows < 2 * len(ticks)
    if span > 1e-4 * abs(low):
        assert len({tick.label for tick in ticks}) == len(ticks)


def test_values_that_differ_in_the_last_bit_have_an_axis() -> None:
    ticks, shown = even_ticks(Axis(math.nextafter(0.5, 0), 0.5), 12, 7)
    assert {tick.label for tick in ticks} == {"0.5"}
    assert shown == (math.nextafter(0.5, 0), 0.5)


def test_a_point_is_drawn_where_its_values_are() -> None:
    figure = scatter()
    drawn = scatters.picture(resolution.scatter(figure), width=70, height=20, palette=on("dark"))
    rows = ["".join(segment.text for segment in line) for line in drawn.lines]
    for i, point in enumerate(figure.points):
        x, y = point.x.shown, point.y.shown
        assert x is not None
        assert y is not None
        assert rows[drawn.frame.row(y)][drawn.frame.column(x)] == "●■"[i % 2]
    assert sum(row.count("┊") for row in rows) >= drawn.frame.height - len(figure.points)


def test_points_name_their_axes_groups_and_marks() -> None:
    marked = scatter()
    best = replace(marked.points[3], x=replace(marked.points[3].x, mark=True))
    lost = replace(marked.points[4], x=cell(None))
    marked = replace(marked, points=(*marked.points[:3], best, lost))
    text = draw(marked, "scatter", width=80, height=24, colour=False)
    for word in ("↑ gsm8k", "medqa →", "● even", "■ odd", "★ on the front", "1 undefined"):
        assert word in text
    assert text.count("★") == 2, "the point and the legend"
    assert len(text.split("\n")) <= 24


def test_a_point_alone_has_axes_too() -> None:
    for width in (24, 80):
        text = draw(scatter(1), "scatter", width=width, height=12, colour=False)
        assert "●" in text
    assert "No values to show" in draw(scatter(0), "scatter", width=80, height=24, colour=False)


def test_a_table_prints_the_rows_that_fit() -> None:
    text = draw(table(), "table", width=80, height=20, colour=False).split("\n")
    assert len(text) == 20
    assert text[1].split() == ["neuron", "score", "where", "it", "is", "active"]
    assert text[2].startswith(" 1,000  +0.000  ␣word long")
    assert text[-2] == "… and 14 more"
    assert text[-1] == "means over all documents"
    assert len(text[2:-2]) == 16
    whole = draw(table(5), "table", width=80, height=20, colour=False)
    assert "more" not in whole
    assert "No values to show" in draw(table(0), "table", width=80, height=20, colour=False)


def test_texts_give_way_in_a_table_and_numbers_do_not() -> None:
    natural = tables.natural_widths(table())
    assert natural == (5, 6, tables.WIDEST), "of the values; names get room where they stand"
    assert tables.squeezed(arrange(table()), natural, 40) == (6, 6, 24)
    assert tables.squeezed(arrange(table()), natural, 10) == (6, 6, tables.NARROWEST)


def test_names_break_onto_two_lines_where_a_table_would_not_fit() -> None:
    names = ("ablated model", "neuron source", "drop %")
    columns = tuple(Column(name=name) for name in names)
    figure = Table(
        title="",
        columns=columns,
        rows=(("maths", "base", 203.1),) * 2 + (("code", "control", 1.0),),
    )
    wide = draw(figure, "table", width=80, height=20, colour=False).split("\n")
    assert wide[1].split() == ["ablated", "model", "neuron", "source", "drop", "%"]
    narrow = draw(figure, "table", width=24, height=20, colour=False).split("\n")
    assert [line.split() for line in narrow[1:4]] == [
        ["ablated", "neuron", "drop"], ["model", "source", "%"], ["maths", "base", "203.1"],
    ]  # fmt: skip
    assert "…" not in "".join(narrow)
    assert max(map(len, narrow)) <= 24


def test_a_table_keeps_to_its_height_whatever_its_note() -> None:
    long = replace(table(), note="said of all of it, in many words " * 5)
    for width in (30, 80):
        drawn = draw(long, "table", width=width, height=20, colour=False).splitlines()
        assert len(drawn) == 20, "its title among them"
        assert drawn[-1].endswith("words")


def test_what_tells_rows_apart_gives_way_last() -> None:
    names = tuple(Column(name=name) for name in ("coefficients", "task"))
    figure = Table(title="", columns=names, rows=(("medical=0.5,maths=1", "some_long_task_name"),))
    natural = tables.natural_widths(figure)
    assert tables.squeezed(arrange(figure), natural, 34) == (
        natural[0],
        34 - tables.GAP - natural[0],
    )
    assert tables.squeezed(arrange(figure), natural, 25) == (13, tables.NARROWEST)
    row = ("medical=0.5,maths=1", *("some_long_task_name",) * 4)
    many = Table(title="", columns=(names[0], *(Column(name=n) for n in "abcd")), rows=(row,))
    natural, rest = tables.natural_widths(many), (tables.NARROWEST,) * 4
    assert tables.squeezed(arrange(many), natural, 44) == (19, *rest), (
        "cut in vain it tells nothing apart"
    )
    assert tables.squeezed(arrange(many), natural, 20) == (15, *rest), (
        "but others have room beside it"
    )


def test_a_long_table_is_measured_and_drawn_row_by_row() -> None:
    figure = table(20_000)
    painter = tables.Painter(figure, tables.natural_widths(figure), on("dark"))
    row = "".join(segment.text for segment in painter.line(19_999))
    assert row.startswith("20,999  +2857.000")


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("width", [24, 40, 80, 200])
@pytest.mark.parametrize(("figure", "kind"), [(scatter(), "scatter"), (table(), "table")])
def test_points_and_tables_are_not_too_wide(
    figure: Scatter | Table, kind: str, width: int, colour: bool
) -> None:
    text = draw(figure, kind, width=width, height=24, colour=colour)
    assert max(cell_len(line) for line in plain_lines(text)) <= width
    assert ("\x1b[" in text) == colour


def test_hostile_names_stay_text_in_points_and_tables() -> None:
    evil = "\x1b[31mred\x1b]52;c;aGk=\x07 \u202e宽" * 5
    point = Point(evil, evil, replace(cell(0.5), mark=True), cell(0.5))
    figure = replace(scatter(), points=(point,), x_name=evil, y_name=evil, mark_name=evil)
    columns = (Column(name=evil), Column(name=evil, outside=True))
    rows = Table(title=evil, columns=columns, rows=((evil, evil),), note=evil)
    for made, kind in ((figure, "scatter"), (rows, "table")):
        text = draw(made, kind, width=60, height=20, colour=False)
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert max(cell_len(line) for line in text.split("\n")) <= 60


def test_marked_cells_are_signed_and_explained() -> None:
    figure = replace(
        grid(("0", "1"), ("0.5", "1"), ((cell(0.1), replace(cell(0.9), mark=True)),) * 2),
        mark_name="best", row_name="medical", column_name="maths",
    )  # fmt: skip
    text = draw(figure, "heatmap", width=80, height=20, colour=False)
    assert "+0.900★" in text
    assert "★ best" in text
    assert "medical ↓ maths →" in text, "bare numbers don't say what they are"
    assert "★" not in draw(chancy(), "heatmap", width=80, height=20, colour=False)
    plot = resolution.grid(figure)
    dense = replace(grids.layout(plot, 60, 10), halves=True, numbers=False)
    row = grids.Painter(plot, dense, on("dark")).line(0)
    assert "★" in "".join(segment.text for segment in row)


def test_rows_of_another_coordinate_may_be_controls() -> None:
    figure = replace(
        matrix(), row_name="neurons from", row_of="reference", controls=frozenset({"retrained"})
    )
    assert draw(figure, "heatmap", width=90, height=24, colour=False).count("(retrained)") == 2


def test_names_stand_below_curves_where_x_counts_names() -> None:
    names = ("top-1%", "top-5%", "all-active")
    line = Series("medical", (0, 1, 2), (cell(1.0), cell(2.0), cell(3.0)))
    figure = Lines(
        title="t", measure="m", unit="", x_label="setting", x_names=names,
        panels=(Panel("", (line,)),),
    )  # fmt: skip
    last = draw(figure, "curves", width=70, height=14, colour=False).split("\n")[-1]
    assert last.split() == ["setting", *names]


def test_a_companion_is_faint_and_no_control() -> None:
    series = Series("medical", (0, 1), (cell(0.1), cell(0.2)))
    level = Series("independent", (0, 1), (cell(0.5), cell(0.5)), companion=True)
    figure = Lines(
        title="t", measure="m", unit="", x_label="layer", panels=(Panel("", (level, series)),)
    )
    text = draw(figure, "curves", width=70, height=14, colour=False)
    assert "· independent" in text
    assert "control" not in text


@given(
    numbers=st.lists(st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.none(), max_size=20),
    form=st.sampled_from([".3f", ".0%", "", "g", ".2e"]),
    signed=st.booleans(),
)
def test_no_number_is_wider_than_its_column(
    numbers: list[int | float | None], form: str, signed: bool
) -> None:
    column = Column(name="x", form=form, signed=signed)
    (width,) = tables.natural_widths(
        Table(title="t", columns=(column,), rows=tuple((number,) for number in numbers))
    )
    assert width == max((len(column.written(number)) for number in numbers), default=0)


def test_what_names_of_tasks_begin_with_is_said_once() -> None:
    tasks = ("real_medical_text", "real_maths_text", "real_code_text")
    figure = replace(
        grid(("control", "medical"), tasks, ((cell(0.25),) * 3,) * 2), column_of="task"
    )
    text = draw(figure, "heatmap", width=60, height=20, colour=False)
    assert text.count("real_") == text.count("real_*") == 1
    assert "medical_text" in text


def test_bars_stand_on_an_axis_that_names_the_measure() -> None:
    """A bar ends above the number that it is worth."""
    cells = ((cell(0.5),), (cell(1.0),), (cell(2.0),))
    figure = replace(grid(("a", "b", "c"), ("share",), cells, signed=False), title="share · here")
    *rows, axis, numbers, name = plain_lines(
        draw(figure, "bars", width=80, height=20, colour=False)
    )
    ticks = [column for column, drawn in enumerate(axis) if drawn == "┬"]
    column_of = dict(zip(map(float, numbers.split()), ticks, strict=True))
    ends = [row.rindex("█") for row in rows if "█" in row]
    assert all(
        abs(column_of[value] - column) <= 1 for value, column in zip((0.5, 1, 2), ends, strict=True)
    )
    assert column_of[0.0] == min(row.index("█") for row in rows if "█" in row)
    assert name.rstrip().endswith("share →")


def test_points_have_their_names_beside_them_and_none_lies_on_another() -> None:
    places = {"base": (0.1, 0.1), "medical=1": (0.2, 0.9), "maths=1": (0.9, 0.15),
              "medical=0.5": (0.2, 0.9), "both": (0.6, 0.6)}  # fmt: skip
    points = tuple(
        Point(name, "", Cell(x, x, mark=name == "both"), Cell(y, y))
        for name, (x, y) in places.items()
    )
    figure = Scatter(
        title="t", measure="m", unit="", across="task", x_name="x", y_name="y",
        point_name="coefficients", points=points, mark_name="on the front",
    )  # fmt: skip
    text = draw(figure, "scatter", width=70, height=20, colour=False)
    assert all(re.search(rf"{name}\b", text) for name in ("base", "medical=1", "maths=1", "both"))
    assert "medical=0.5" not in text, "it would lie upon another name"
    row = next(line for line in plain_lines(text) if "both" in line)
    assert re.search(r"both ★|★ both", row)


def test_panels_stand_in_even_rows() -> None:
    assert [curves.across(count, 100, 40) for count in (1, 2, 3, 4, 5, 7)] == [1, 2, 3, 2, 3, 3]
