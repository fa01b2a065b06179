"""The figures of a run as files for papers: their list and their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Sheet

from app.render.print import bars, curves, grids, passages, scatters
from app.render.print.sheet import save, styled
from app.results.figures import Shown, analyses_of, shown_together
from core.figures.figure import Table
from core.figures.plots.curves import CurvesPlot
from core.figures.plots.grids import BarsPlot, BoxesPlot, GridPlot
from core.figures.plots.passages import PassagesPlot
from core.figures.plots.resolution import resolve
from core.figures.plots.scatters import PointsPlot
from core.figures.views import Kind
from core.files.partial import placed
from storage.database import Database
from storage.runs import RunSummary

FOLDER = "figures"
DRAWN: tuple[Kind, ...] = ("curves", "matrix", "heatmap", "bars", "boxes", "scatter")


def write(db: Database, run: RunSummary, folder: Path, kind: str) -> list[Path]:
    """Every figure as `svg` or as `png` of 300 dots an inch; the files written."""
    (folder / FOLDER).mkdir(exist_ok=True)
    files = []
    for analysis in analyses_of(run):
        for together in shown_together(db, run, analysis, DRAWN):
            for each in together:
                path = folder / FOLDER / f"{each.name}.{kind}"
                with placed(path) as part, styled():
                    save(draw(each, together), part, kind)
                files.append(path)
    return files


def draw(shown: Shown, together: Sequence[Shown]) -> Sheet:
    """A figure, on one scale with its neighbours."""
    assert not isinstance(shown.figure, Table)
    plot = resolve(shown.figure, shown.view.kind, [each.figure for each in together])
    return _DRAWINGS[type(plot)](plot)


_DRAWINGS: dict[type, Callable[[Any], Sheet]] = {
    CurvesPlot: curves.draw,
    PointsPlot: scatters.draw,
    BarsPlot: bars.draw,
    BoxesPlot: bars.draw,
    GridPlot: grids.draw,
    PassagesPlot: passages.draw,
}
