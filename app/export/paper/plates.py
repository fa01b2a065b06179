"""The figures of a run as files for papers: which there are, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure as Sheet

from app.charts.scales import Scale, scale_of
from app.export.files import placed
from app.export.paper import bars, curves, grids
from app.export.paper.sheet import save, styled
from app.figures import Shown, analyses_of, shown_together
from core.views import Figure, Lines
from storage.database import Database
from storage.runs import RunSummary

FOLDER = "figures"


def write(db: Database, run: RunSummary, folder: Path, kind: str) -> list[Path]:
    """Every figure as `svg` or as `png` of 300 dots an inch; the files written."""
    (folder / FOLDER).mkdir(exist_ok=True)
    files = []
    for analysis in analyses_of(run):
        for together in shown_together(db, run, analysis):
            for name, drawn in plates(together):
                path = folder / FOLDER / f"{name}.{kind}"
                with placed(path) as part, styled():
                    save(drawn, part, kind)
                files.append(path)
    return files


def plates(together: Sequence[Shown]) -> Iterator[tuple[str, Sheet]]:
    """Figures that are read side by side, on one scale: what each file is called, and its sheet."""
    scale = scale_of(*(each.figure for each in together))
    for each in together:
        name = f"{each.analysis.name}-{each.view.key}"
        if "model" in each.view.selectors:
            name += f"-{each.choice.model}"
        with styled():
            drawn = draw(each.figure, each.view.kind, scale)
        yield name, drawn


def draw(figure: Figure, kind: str, scale: Scale) -> Sheet:
    """A figure of that kind of view."""
    if isinstance(figure, Lines):
        return curves.draw(figure)
    return bars.draw(figure) if kind == "bars" else grids.draw(figure, scale)
