"""Every painter tells the same cells from chance: terminal, readout, page, paper and sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from app.render.data.numbers import entry
from app.render.data.sentences import on_chance
from app.render.html import bars as page_bars
from app.render.html import grids as page_grids
from app.render.print import grids as paper_grids
from app.render.terminal import chart
from app.results.figures import Shown
from core.engine import registry
from core.engine.measurement import Measurement
from core.figures.choices import default_choice
from core.figures.figure import Cell, Grid, Table
from core.figures.layout import figure
from core.figures.plots import resolution
from core.figures.plots.values import NULL_MARK, Value, yardsticks
from core.figures.significance import judge, null_words
from core.figures.views import Catalogue, Choice
from tests.app.render import figures

TAGS = re.compile(r"<[^>]+>")

KINDS = {
    "within chance": figures.cell(0.26, chance=0.25, chance_sd=0.01),
    "beyond chance": figures.cell(0.28, chance=0.25, chance_sd=0.01),
    "excess within": Cell(0.01, 0.26, 0.25, 0.01, excess=0.01),
    "not significant": figures.cell(8.5, chance=2.2, chance_sd=1.8, q=0.096),
    "significant": figures.cell(9.5, chance=2.2, chance_sd=1.8, q=0.01),
    "significant within the spread": figures.cell(3.0, chance=2.2, chance_sd=1.8, q=0.01),
    "interval includes": figures.cell(0.02, chance=0.0, low=-0.1, high=0.1),
    "interval excludes": figures.cell(0.2, chance=0.0, low=0.1, high=0.3),
    "nothing to judge by": figures.cell(0.2),
    "chance is shown": Cell(0.25, 0.26, 0.25, 0.01),
    "undefined": figures.cell(None, chance=0.25, chance_sd=0.01),
}


def verdicts(cell: Cell) -> dict[str, bool]:
    """By painter: does it say that the cell does not differ from chance?"""
    alone = replace(
        figures.matrix(), rows=("a",), columns=("b",), cells=((cell,),), controls=frozenset()
    )
    plot = resolution.grid(alone)
    bars = page_bars.draw(resolution.bars(alone))
    analysis = registry.get("ablation")
    shown = Shown(analysis, analysis.views[0], Choice(measure="drop_percent"), alone, "")
    drawn = {
        kind: chart.draw(alone, kind, width=80, height=24, colour=False)
        for kind in ("heatmap", "bars")
    }
    page = TAGS.sub("", "".join(page_grids.draw(plot)))
    paper = paper_grids.draw(plot)
    words = null_words([cell])
    return {
        **{kind: NULL_MARK in text for kind, text in drawn.items()},
        **{f"legend of {kind}": bool(words) and words in text for kind, text in drawn.items()},
        "readout": bool(words) and any(words in fact for fact in yardsticks(cell)),
        "page": NULL_MARK in page,
        "bars of the page": NULL_MARK in TAGS.sub("", "".join(bars)),
        "hover": bool(words) and words in Value(cell, str).hover(["a"]),
        "paper": any(NULL_MARK in str(text) for text in _texts(paper)),
        "sentence": on_chance([shown]).count("1 of 1 value does not differ from chance") == 1,
    }


def test_every_painter_calls_a_spread_a_standard_deviation() -> None:
    cell = figures.cell(0.9, chance=0.78, chance_sd=0.57)
    alone = replace(figures.matrix(), rows=("a",), columns=("b",), cells=((cell,),))
    assert "chance 0.78 (sd 0.57)" in yardsticks(cell)
    assert "chance 0.78 (sd 0.57)" in Value(cell, str).hover(["a"]).split("; ")
    assert "chance 0.78 (sd 0.57)" in entry(Value(cell, str), resolution.grid(alone))[1]


def test_no_painter_shows_the_rounding_error_of_a_mean() -> None:
    """Three controls whose drops cancel: their mean is 0 but for the last bit."""
    drops = (100 / 3, -100 / 3 - 7.1e-15, 0.0)
    noise = sum(drops) / 3
    assert 0 < abs(noise) < 1e-14
    analysis = registry.get("ablation")
    place: dict[str, Any] = {
        "model": "a",
        "reference": "a",
        "task": "t",
        "setting": "top-1%",
        "metric_of": "acc",
    }
    row = Measurement(
        metric="drop_percent", value=40.0, low=10.0, high=70.0, chance=noise, chance_sd=33.3,
        **place,
    )  # fmt: skip
    catalogue = Catalogue(
        ranges={
            "model": ("base", "a"), "reference": ("a",), "task": ("t",), "setting": ("top-1%",),
            "metric_of": ("acc",), "metric": ("drop_percent",),
        }
    )  # fmt: skip
    for view in analysis.views:
        if view.loose or view.key in ("behind", "broken", "item"):
            continue  # of series and groups, or of arrays
        choice = default_choice(view, catalogue)
        drawn = figure(view, choice, [row], catalogue, analysis.metric("drop_percent"))
        if isinstance(drawn, Table):
            ((*_, chance, _, _, _),) = drawn.rows
            assert chance == 0.0
            continue
        assert isinstance(drawn, Grid)
        (cell,) = drawn.measured()
        assert cell.chance == 0.0
        assert "chance 0 (sd 33)" in yardsticks(cell)
        assert "chance 0 (sd 33)" in Value(cell, str).hover(["a"])
        assert "chance 0 (sd 33)" in entry(Value(cell, str), resolution.resolve(drawn))[1]
        assert "e-1" not in chart.draw(drawn, view.kind, width=80, height=24, colour=False)
        assert view.key == "controls" or "random ones +0 %" in view.finding(drawn)


def _texts(drawn: Figure) -> Iterator[str]:
    yield from (text.get_text() for text in drawn.findobj(Text))


@pytest.mark.parametrize("name", KINDS)
def test_painters_agree_on_a_cell(name: str) -> None:
    cell = KINDS[name]
    verdict = judge(cell)
    expected = verdict is not None and verdict.is_null
    by_painter = verdicts(cell)
    assert by_painter == dict.fromkeys(by_painter, expected)
