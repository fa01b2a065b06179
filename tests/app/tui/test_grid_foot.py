"""The rows of a grid grow into what its legend leaves of the screen, and no further."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.geometry import Size

from app.render.terminal.palette import on
from app.tui.widgets.grid import GridView
from core.figures.plots.resolution import grid
from tests.app.render import figures


@pytest.mark.parametrize("height", range(9, 30))
def test_every_line_of_the_foot_is_on_the_screen(
    height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = GridView()
    monkeypatch.setattr(GridView, "palette", on("dark"))
    monkeypatch.setattr(GridView, "size", Size(60, height))
    view._plot = grid(replace(figures.matrix(), note="a long note of many words " * 6))
    view.lay_out(60, height)
    painted = ["".join(s.text for s in view.paint(y, None)) for y in range(height)]
    assert sum("note" in line for line in painted) >= 3
    assert "many words" in painted[-1] + painted[-2] or not painted[-1].strip()
