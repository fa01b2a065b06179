"""The way to the bench from other screens: the study is read in a thread, then its bench opens.

Keys that are typed meanwhile are the bench's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from textual.screen import Screen

from app.text import plain
from app.tui.bench.link import Opening
from app.tui.data import DataSource
from app.tui.threads import Trouble, in_thread, said


class _Holding(Protocol):
    """An application that holds keys back."""

    def hold_keys(self) -> None: ...
    async def release_keys(self) -> None: ...
    def drop_keys(self) -> None: ...


def open_bench(
    screen: Screen[Any],
    find: Callable[[], Opening],
    source: DataSource,
    given: Callable[[Sequence[str]], Mapping[str, Any]] = lambda _: {},
) -> None:
    """Open the bench that `find` gives. `given`: other fields of `Opening`, from the names of the
    study's tuned models."""
    keys = cast(_Holding, screen.app)

    def opened(opening: Opening) -> None:
        from app.tui.screens.bench import BenchScreen

        if not screen.is_current:
            keys.drop_keys()
            return
        bench = BenchScreen(source, replace(opening, **given(opening.tuned)))
        screen.app.push_screen(bench)
        # Called by the bench once its prompt has the focus, and by the app after the keys before.
        bench.call_later(bench.app.call_later, keys.release_keys)

    def refused(error: Trouble) -> None:
        keys.drop_keys()
        screen.notify(plain(said(error)), severity="error", markup=False)

    keys.hold_keys()
    in_thread(screen, find, opened, group="bench", refused=refused)
