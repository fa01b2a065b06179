"""When an app has come to rest, and waiting for what it shows then.

Textual's own tests wait until the process takes no processor time, which on a busy machine is also
true of one that has yet to begin. Here an app is at rest when there is nothing left for it to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from textual.app import App, ScreenStackError
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen

from tests.patience import PATIENCE

ELSEWHERE = frozenset({"start"})
"""Groups of threads that wait for what another process does."""
ASKED = 2
"""How often in a row all widgets answer: an answer may paint a screen below the first one."""
STILL = 3
"""How often in a row nothing is left: a message may be on its way out of one and into another."""


async def rest(app: App[Any]) -> None:
    """Wait until every message has been answered, every thread has said what it found, and the
    screen is painted as all of that left it.

    Neither timers nor what waits for another process are waited for: those may go on for ever.
    """
    pilot, end, asked = Pilot(app), time.monotonic() + PATIENCE, 0
    while not (app._exit or app._exception):
        assert time.monotonic() < end, "it never came to rest"
        if not await _still(app):
            asked = 0
        elif asked == ASKED:
            return
        else:
            with suppress(ScreenStackError):  # it has just left
                await pilot.pause(0)  # every widget answers, after the message that it is at
            asked += 1


async def _still(app: App[Any]) -> bool:
    """Has nothing been left for some turns of the loop? It is cheaper to ask than a pause."""
    for _ in range(STILL):
        if _reading(app) or any(getattr(screen, "_veiled", False) for screen in _top(app)):
            await asyncio.sleep(0.005)
            return False
        unpainted = [screen for screen in _top(app) if _unpainted(screen)]
        for screen in unpainted:
            screen._on_timer_update()  # as it does by itself sixty times a second
        await asyncio.sleep(0)
        if unpainted or _busy(app):
            return False
    return True


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Wait until this holds of the app at rest."""
    end = time.monotonic() + PATIENCE
    await rest(pilot.app)
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.02)
        await rest(pilot.app)


def _reading(app: App[Any]) -> bool:
    return any(
        worker._thread_worker and not worker.is_finished and worker.group not in ELSEWHERE
        for worker in app.workers
    )


def _busy(app: App[Any]) -> bool:
    """Is a message yet to be answered, a callback to be called, or a new size to be taken?"""
    return bool(
        app._batch_count
        or any(pump._message_queue.qsize() for pump in _pumps(app))
        or any(screen._callbacks for screen in app.screen_stack)
        or app._resize_event is not None
    )


def _top(app: App[Any]) -> list[Screen[Any]]:
    """The screen that is seen, if there is one."""
    return app.screen_stack[-1:]


def _unpainted(screen: Screen[Any]) -> bool:
    """Will the screen be laid out or painted at its next turn?"""
    return screen.is_current and bool(
        screen._layout_required
        or screen._scroll_required
        or screen._repaint_required
        or screen._recompose_required
        or screen._dirty_widgets
    )


def _pumps(app: App[Any]) -> Iterator[MessagePump]:
    yield app
    for screen in app.screen_stack:
        yield from screen.walk_children(with_self=True)
