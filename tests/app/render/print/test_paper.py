"""Figures for papers show what was measured, the same on every machine, whatever the names."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure as Sheet
from PIL import Image

from app.render.data.folder import export
from app.render.print import bars, curves, grids, scatters
from app.render.print.sheet import COLUMN, DPI, PAGE, PALETTE, save, styled, written
from app.results.figures import analyses_of, shown_together
from core.figures.figure import Figure, Series, Table
from core.figures.plots import resolution
from storage import runs
from storage.database import Database
from tests.app.render import figures

KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Sheet]]] = {
    "curves": (figures.lines, lambda figure: curves.draw(resolution.curves(figure))),
    "matrix": (figures.matrix, lambda figure: grids.draw(resolution.grid(figure))),
    "heatmap": (figures.heatmap, lambda figure: grids.draw(resolution.grid(figure))),
    "bars": (figures.bars, lambda figure: bars.draw(resolution.bars(figure))),
    "scatter": (figures.scatter, lambda figure: scatters.draw(resolution.scatter(figure))),
}
"""Of each kind: what makes a figure, and what draws it."""


def _drawn(figure: Figure, kind: str) -> Any:
    """A sheet of matplotlib, whose own types say little of what its artists hold."""
    with styled():
        drawn = KINDS[kind][1](figure)
        drawn.canvas.draw()
    return drawn


def _texts(drawn: Sheet) -> list[str]:
    artists = drawn.findobj(matplotlib.text.Text)
    return [text.get_text() for text in artists if text.get_visible()]


def test_curves_pass_through_the_values() -> None:
    drawn = _drawn(figures.lines(), "curves")
    first, second = drawn.axes
    known = {tuple(np.nan_to_num(line.get_ydata(), nan=-1)) for line in first.get_lines()}
    assert known >= {(0.5, -1, 0.75), (1.5, -1, 1.75), (0.2, 0.25, 0.21), (0.1, 0.3)}
    assert first.get_ylim() == second.get_ylim()
    assert first.get_title(loc="left") == "attention"
    assert first.get_ylabel() == "write alignment"
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend == [
        "retrained (control)",
        "medical",
        "maths",
        "95 % interval",
        "chance",
        "chance ± 2 sd",
    ]
    band = first.collections[0].get_paths()[0].vertices
    assert {round(y, 9) for _, y in band} == {0.08, 0.12, 0.24, 0.36}


def test_names_stand_below_curves_of_names() -> None:
    drawn = _drawn(
        replace(
            figures.lines(),
            x_names=("top-1%", "top-5%", "all"),
            panels=(replace(figures.lines().panels[0], title=""),),
        ),
        "curves",
    )
    labels = [label.get_text() for label in drawn.axes[0].get_xticklabels()]
    assert labels == ["top-1%", "top-5%", "all"]
    assert drawn.get_figwidth() == COLUMN


def test_chance_is_drawn_once() -> None:
    panel = figures.lines().panels[1]
    companion = Series("independent", (0, 2), (figures.cell(0.1), figures.cell(0.3)), False, True)
    with_it = replace(panel, series=(*panel.series, companion))
    drawn = _drawn(replace(figures.lines(), panels=(with_it,)), "curves")
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend == ["medical", "maths", "independent", "95 % interval"]
    lines = drawn.axes[0].get_lines()
    assert [list(line.get_ydata()) for line in lines].count([0.1, 0.3]) == 1


def test_what_is_set_apart_has_a_star() -> None:
    grid = figures.heatmap(3)
    corner = grid.cells[0][0]
    assert corner is not None
    marked = replace(corner, mark=True)
    first = (marked, *grid.cells[0][1:])
    starred = replace(grid, cells=(first, *grid.cells[1:]), mark_name="best of all")
    texts = _texts(_drawn(starred, "heatmap"))
    assert "0.000★" in texts
    assert "module\n★ best of all" in texts


def test_a_dense_picture_shows_cells_within_chance_grey() -> None:
    near, far = (figures.cell(value, chance=0.0, chance_sd=0.1) for value in (0.1, 0.9))
    grid = replace(figures.matrix(), rows=tuple(map(str, range(200))), columns=("x", "y", "z"),
                   cells=((near, None, far),) * 200)  # fmt: skip
    drawn = _drawn(grid, "matrix")
    _, grey = [c for c in drawn.axes[0].collections if isinstance(c, QuadMesh)]
    assert (~grey.get_array().mask).tolist() == [[True, False, False]] * 200  # type: ignore[union-attr]
    assert (255 * np.array(grey.to_rgba(np.ones(1))[0, :3])).round().tolist() == list(PALETTE.null)
    assert any("grey: within chance" in text for text in _texts(drawn))


def test_a_signed_matrix_has_its_zero_in_the_middle() -> None:
    grid = figures.matrix()
    drawn = _drawn(grid, "matrix")
    meshes: list[Any] = [c for c in drawn.axes[0].collections if isinstance(c, QuadMesh)]
    (mesh,) = meshes
    assert mesh.norm.vmin == -mesh.norm.vmax
    values = mesh.get_array()
    for i, row in enumerate(grid.cells):
        for j, cell in enumerate(row):
            # Nothing, undefined, or within chance: no colour.
            blank = cell is None or cell.shown is None or abs(cell.shown) < 0.02
            assert values.mask[i, j] == blank
            if not blank:
                assert cell is not None
                assert values[i, j] == cell.shown
    texts = _texts(drawn)
    assert "−0.333" in texts
    assert "+0.015~" in texts
    assert "(retrained)" in texts
    assert min(PALETTE.signed[len(PALETTE.signed) // 2]) > 240


def test_better_and_worse_are_told_on_paper_by_colour_and_sign() -> None:
    cells = ((figures.cell(-2.0, better="lower"), figures.cell(1.0, better="lower")),)
    made = replace(figures.matrix(), rows=("a",), columns=("x", "y"), cells=cells)
    drawn = _drawn(replace(made, column_name="task", controls=frozenset()), "heatmap")
    (mesh,) = [c for c in drawn.axes[0].collections if isinstance(c, QuadMesh)]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-2.0, 1.0)
    best, worse = (tuple(round(255 * c) for c in mesh.cmap(end)[:3]) for end in (0.0, 1.0))
    assert (best, worse) == (PALETTE.better[-1], PALETTE.better[16])
    texts = _texts(drawn)
    assert {"−2✓", "+1✗"} <= set(texts)
    assert any("lower is better, ✓ better, ✗ worse" in text for text in texts)


def test_a_tall_heat_map_keeps_to_the_page() -> None:
    few, many = _drawn(figures.heatmap(4), "heatmap"), _drawn(figures.heatmap(126), "heatmap")
    assert "0.100" in _texts(few)
    assert "0.100" not in _texts(many)
    assert many.get_figheight() <= 8.5
    labels = [label.get_text() for label in many.axes[0].get_yticklabels()]
    assert labels[0] == "0"
    assert len(labels) < 80


def test_bars_reach_to_their_values_and_intervals() -> None:
    drawn = _drawn(figures.bars(), "bars")
    axes = drawn.axes[0]
    widths = [round(p.get_width(), 9) for p in axes.patches if p.get_height() < 0.9]
    assert sorted(widths) == [-0.2, 0.1, 0.2]
    ends = {tuple(line.get_xdata()) for line in axes.get_lines()}
    assert (0.05, 0.4) in ends
    assert (0.01, 0.01) in ends
    bands = {(round(p.get_x(), 9), round(p.get_width(), 9)) for p in axes.patches}
    assert (-0.03, 0.08) in bands
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend == ["95 % interval", "chance", "chance ± 2 sd", "(name) a control"]
    beside = [label.get_text() for label in axes.get_yticklabels(minor=True)]
    assert beside == ["attention", "mlp"] * 2


def test_points_lie_where_their_values_are() -> None:
    drawn = _drawn(figures.scatter(), "scatter")
    axes = drawn.axes[0]
    places = {
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.get_lines()
        if line.get_marker() in ("o", "s")
    }
    assert places == {(0.1, 0.2), (0.5, 0.4), (0.9, 0.3)}
    assert len([line for line in axes.get_lines() if line.get_marker() == "*"]) == 1
    guides = [line.get_xdata() for line in axes.get_lines() if line.get_linestyle() == ":"]
    assert [1.0, 1.0] in [list(xs) for xs in guides]
    assert axes.get_xlim()[0] <= 0.1
    assert axes.get_xlim()[1] >= 1.0
    texts = _texts(drawn)
    assert {"medical", "maths", "best", "merged", "base", "a", "b", "c"} <= set(texts)
    assert "lost" not in texts
    assert "chance" in texts


@pytest.mark.parametrize("kind", ["curves", "matrix", "bars", "scatter"])
@pytest.mark.parametrize("form", ["svg", "png"])
def test_names_are_drawn_as_they_are(kind: str, form: str, tmp_path: Path) -> None:
    make, draw = KINDS[kind]
    with styled():
        drawn = draw(make(figures.ODD_NAMES))
        save(drawn, tmp_path / f"x.{form}", form)
    texts = [text.removeprefix(sign).lstrip() for text in _texts(drawn) for sign in ("", text[:1])]
    assert r"$\frac$" in texts
    assert "_low" in texts
    assert r"\u6a21\u578b" in texts
    assert "<script>x</script>&\\x1b[1m" in texts
    assert any(text.startswith("longlong") and text.endswith("…") for text in texts)


def test_what_the_font_lacks_is_an_escape() -> None:
    assert written("‖Δ‖ ± σ₁²") == "‖Δ‖ ± σ₁²"
    assert written("模") == "\\u6a21"
    assert written("🦙") == "\\U0001f999"


@pytest.mark.parametrize("kind", KINDS)
def test_a_sheet_fits_a_column_or_a_page(kind: str, tmp_path: Path) -> None:
    make, draw = KINDS[kind]
    with styled():
        save(draw(make()), tmp_path / "x.png", "png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.size[0] in (round(COLUMN * DPI), round(PAGE * DPI))
        assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_no_figure_is_too_empty_to_draw(kind: str) -> None:
    full = KINDS[kind][0]()
    drawn = _drawn(figures.emptied(full), kind)
    values = {f"{cell.shown:.2f}" for cell in full.measured() if cell.shown is not None}
    assert drawn.get_size_inches().min() > 0
    assert not values & set(_texts(drawn))


def test_every_figure_of_a_run_is_a_file(db: Database, small: Database, tmp_path: Path) -> None:
    files = export(db, "latest", tmp_path, ["svg"])
    run = runs.find_run(db, "latest")
    names = {
        each.name
        for analysis in analyses_of(run)
        for together in shown_together(db, run, analysis)
        for each in together
        if not isinstance(each.figure, Table)
    }
    assert "alignment-heat-control" in names
    drawn = {f"figures/{name}.svg" for name in names}
    assert {str(f.relative_to(tmp_path)) for f in files if "figures" in f.parts} == drawn
    both = export(small, "latest", tmp_path / "small", ["svg", "png"])
    of_form = [{f.stem for f in both if f.suffix == form} for form in (".svg", ".png")]
    assert of_form[0] == of_form[1] != set()
    for path in (tmp_path / "figures").glob("*.svg"):
        text = path.read_text()
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "dc:date" not in text


def test_neither_pyplot_nor_settings_are_touched() -> None:
    script = """
import sys, matplotlib
matplotlib.rcParams["font.size"] = 33
matplotlib.rcParams["lines.linewidth"] = 9
def settings():
    # Asking for the backend would choose one, and import pyplot.
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = settings()
from app.render.print import curves
from app.render.print.sheet import save, styled
from core.figures.plots import resolution
from tests.app.render.figures import lines
with styled():
    drawn = curves.draw(resolution.curves(lines()))
    save(drawn, sys.argv[1], "svg")
assert settings() == before
assert drawn.axes[0].title.get_fontsize() < 10
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "/dev/null"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "False\n", done.stderr
