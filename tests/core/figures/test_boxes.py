"""Boxes: how documents, random controls and members of a group lie about a value."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.render.terminal.bars import Painter
from app.render.terminal.chart import draw
from app.render.terminal.palette import on
from core.analyses.ablation import ANALYSIS as ABLATION
from core.engine import registry
from core.engine.measurement import Measurement
from core.figures.choices import default_choice, query
from core.figures.figure import Cell, Grid
from core.figures.groups import added
from core.figures.kinds.groups import OF_GROUPS
from core.figures.layout import figure
from core.figures.plots import resolution
from core.figures.plots.values import yardsticks
from core.figures.spread import Spread
from core.figures.spread_findings import of_controls, of_spread
from core.figures.views import Catalogue, Choice, Combination

DROPS = (1.0, 4.0, 2.0, 8.0, 5.0)


def _boxes(*cells: Cell) -> Grid:
    names = tuple(f"m{i}" for i in range(len(cells)))
    return Grid(
        title="drop", measure="drop_percent", unit="%", row_name="model", column_name="probe",
        row_of="model", rows=names, columns=("",), cells=tuple((cell,) for cell in cells),
    )  # fmt: skip


def _documents(lower: float, median: float, upper: float) -> Spread:
    return Spread("documents", "mean", lower, median, upper)


def test_the_controls_of_a_drop_are_a_box_beside_it() -> None:
    view = next(v for v in ABLATION.views if v.key == "controls")
    coordinates: dict[str, Any] = {
        "model": "medical",
        "reference": "base",
        "task": "medqa",
        "metric_of": "acc",
    }
    rows = [Measurement(metric="drop_percent", value=9.0, setting="top-1%", **coordinates)]
    rows += [
        Measurement(
            metric="drop_percent", value=value, setting=f"random-top-1%-seed{seed}", **coordinates
        )
        for seed, value in enumerate(DROPS)
    ]
    catalogue = Catalogue(
        ranges={"model": ("medical",), "setting": tuple(row.setting for row in rows)},
        models=("base", "medical"),
    )
    choice = Choice(measure="drop_percent", task="medqa", metric_of="acc")
    assert query(view, choice, catalogue)["setting"] == "any", "controls are asked for too"
    made = figure(view, choice, rows, catalogue, ABLATION.metric("drop_percent"))
    assert isinstance(made, Grid)
    assert (made.rows, made.columns) == (("medical",), ("A top-1% base",))
    cell = made.cells[0][0]
    assert cell is not None
    assert cell.spread is not None
    expected = np.percentile(DROPS, (0, 25, 50, 75, 100))
    assert list(cell.spread.numbers().values()) == pytest.approx(list(expected))
    assert of_controls(made) == "1 of 1 drop is larger than each random control."
    table = resolution.boxes(made).table()
    assert table.head[2:] == (
        "chosen neurons", "least", "lower quartile", "median", "upper quartile", "most",
    )  # fmt: skip
    [row] = table.rows
    assert [value and value.number for value in row.values] == pytest.approx([9.0, *expected])


def test_the_members_of_a_group_are_a_box_about_their_mean() -> None:
    view = OF_GROUPS[-1]
    rows = [
        Measurement(metric="norm", value=value, model=f"seed{seed}")
        for seed, value in enumerate(DROPS)
    ]
    members = tuple(row.model for row in rows)
    ranges = {"model": members, "metric": ("norm",)}
    alone = Catalogue(
        ranges=ranges, models=members,
        combinations=frozenset(Combination(metric="norm", model=m) for m in members),
    )  # fmt: skip
    catalogue = added(alone, {"maths": members})
    choice = default_choice(view, catalogue)
    spec = registry.get("tuning_vectors").metric("norm")
    made = figure(view, choice, rows, catalogue, spec)
    assert isinstance(made, Grid)
    assert made.rows == ("maths",)
    cell = made.cells[0][0]
    assert cell is not None
    assert cell.spread is not None
    assert cell.value == pytest.approx(np.mean(DROPS))
    assert (cell.spread.of, cell.spread.own, cell.spread.least, cell.spread.most) == (
        "members", "mean", 1.0, 8.0,
    )  # fmt: skip


def test_the_axis_of_boxes_covers_them_and_begins_at_zero_only_near_it() -> None:
    far = resolution.boxes(_boxes(Cell(52.0, 52.0, spread=_documents(51.0, 52.0, 53.0))))
    assert (far.x_axis.low, far.x_axis.high) == (51.0, 53.0)
    near = resolution.boxes(_boxes(Cell(2.0, 2.0, spread=_documents(0.5, 2.0, 53.0))))
    assert near.x_axis.low == 0.0


def test_a_box_is_drawn_where_its_values_lie_and_words_say_the_same() -> None:
    spread = Spread("random controls", "chosen neurons", 20.0, 40.0, 60.0, 0.0, 80.0)
    made = _boxes(Cell(100.0, 100.0, n=9, spread=spread))
    text = draw(made, "boxes", width=100, height=20, colour=False)
    bar = next(line for line in text.split("\n") if "m0" in line)
    begins, ends = bar.index("├"), bar.rindex("◆")
    shares = [(bar.index(sign) - begins) / (ends - begins) for sign in "█│┤"]
    assert shares == pytest.approx([0.2, 0.4, 0.8], abs=0.03)
    for words in ("├─┤ least to most", "█ half of the random controls", "│ median",
                  "◆ chosen neurons"):  # fmt: skip
        assert words in text
    assert "random controls 0 to 80, quartiles 20, 40, 60" in yardsticks(made.cells[0][0])


def test_what_was_not_measured_takes_no_row() -> None:
    made = _boxes(Cell(1.0, 1.0), Cell(2.0, 2.0))
    gap = replace(made, columns=("a", "b"), cells=((None, Cell(1.0, 1.0)), (Cell(2.0, 2.0), None)))
    for plot in (resolution.bars(gap), resolution.boxes(gap)):
        assert plot.spots == ((0, 1), (1, 0))
        assert Painter(plot, 80, on("dark")).places == ((0, 1), None, (1, 0))


def test_the_widest_spread_is_said() -> None:
    alike = Cell(1.0, 1.0, n=9, spread=_documents(1.0, 1.0, 1.0))
    wide = Cell(1.0, 1.0, n=9, spread=_documents(1.0, 2.0, 4.0))
    assert of_spread(_boxes(alike, wide)) == (
        "Documents differ most for m1: half of them lie between 1 and 4 %."
    )
    assert of_spread(_boxes(alike)) == "Half of the documents are alike everywhere."
    assert of_spread(_boxes(replace(wide, n=1))) == "", "a document has no spread"
    assert of_spread(_boxes()) == ""


@pytest.mark.parametrize("width", [70, 80, 100, 160])
def test_a_narrow_range_of_boxes_has_two_ticks_at_least(width: int) -> None:
    """Between 40.31 and 43.8 only 42 is a multiple of 2: a single tick gives no scale."""
    boxes = _boxes(
        Cell(40.75, 40.75, spread=_documents(40.31, 40.94, 41.32)),
        Cell(43.2, 43.2, spread=_documents(42.2, 43.1, 43.8)),
    )
    printed = draw(boxes, "boxes", width=width, height=20, colour=False)
    [numbers] = re.findall(r"^ +(\d+(?:\.\d+)?(?: +\d+(?:\.\d+)?)*) *$", printed, re.M)
    ticks = [float(each) for each in numbers.split()]
    assert len(ticks) >= 2
    assert max(ticks) <= 43.8
    assert min(ticks) >= 40.31
