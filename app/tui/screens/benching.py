"""The way to the bench from other screens: the study is read in a thread, then its bench opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from textual.screen import Screen

from app.text import plain
from app.tui.bench.link import Opening
from app.tui.data import DataSource
from app.tui.threads import in_thread, said


def open_bench(
    screen: Screen[Any],
    find: Callable[[], Opening],
    source: DataSource,
    given: Callable[[Sequence[str]], Mapping[str, Any]] = lambda _: {},
) -> None:
    """Open the bench that `find` gives. `given`: other fields of `Opening`, from the names of the
    study's tuned models."""

    def opened(opening: Opening) -> None:
        from app.tui.screens.bench import BenchScreen

        if screen.is_current:
            screen.app.push_screen(BenchScreen(source, replace(opening, **given(opening.tuned))))

    in_thread(
        screen, find, opened, group="bench",
        refused=lambda error: screen.notify(plain(said(error)), severity="error", markup=False),
    )  # fmt: skip
