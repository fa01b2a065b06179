"""A row with the running benches beside the database; it shows while there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.content import Content

from app.results.wording import size
from app.tui.data import DataSource
from app.tui.keys import written
from app.tui.threads import busy, in_thread
from app.tui.widgets.bar import Row, two_ends

if TYPE_CHECKING:
    from app.bench.registry import BenchSummary

POLL = 4.0
"""Seconds from one look to the next: each asks every bench."""


class BenchLine(Row):
    """Looks for benches while its screen is in front."""

    DEFAULT_CSS = "BenchLine { display: none; background: $surface; }"

    def __init__(self, source: DataSource) -> None:
        super().__init__(self._said, id="benches")
        self.source = source
        self.benches: tuple[BenchSummary, ...] = ()

    def on_mount(self) -> None:
        self.set_interval(POLL, self.look)

    def look(self) -> None:
        """Ask which benches there are."""
        if self.screen.is_current and not busy(self, "look"):
            in_thread(self, self.source.benches, self._show, refused=lambda _: None, group="look")

    def of(self, study: str) -> BenchSummary | None:
        """The bench of a study of this name, or else the first one."""
        matching = (each for each in self.benches if each.study == study)
        return next(matching, next(iter(self.benches), None))

    def _show(self, benches: tuple[BenchSummary, ...]) -> None:
        changed = bool(benches) != bool(self.benches)
        self.benches = benches
        self.display = bool(benches)
        self.renew()
        if changed:
            self.screen.query_one("#keys", Row).renew()

    def _said(self, width: int) -> Content:
        states = [
            f"{each.study}: {each.state}" + (f", {held(each.held)}" if each.held else "")
            for each in self.benches
        ]
        key = written("runs.stop")
        left = [(" bench  ", "$accent"), (" · ".join(states), "")]
        return two_ends(left, [(f"{key} ends it ", "$muted")], width)


def held(by_device: Mapping[str, int]) -> str:
    """Bytes by device, in words."""
    return " + ".join(f"{size(count)} on {device}" for device, count in by_device.items())
