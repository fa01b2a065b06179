"""When an app has come to rest, and waiting for what it shows then.

Textual's own tests wait until the process takes no processor time, which on a busy machine is also
true of one that has yet to begin. Here an app is at rest when there is nothing left for it to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from textual._queue import Queue
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen

from tests.patience import PATIENCE

ELSEWHERE = frozenset({"start"})
"""Groups of threads that wait for what another process does."""
STILL = 3
"""Turns in a row with nothing left: a thread's words may be on their way to the loop."""


async def rest(app: App[Any]) -> None:
    """Wait until every message has been answered, every thread has said what it found, and the
    screen is painted as all of that left it.

    Neither timers nor what waits for another process are waited for: those may go on for ever.
    """
    ready: Collection[object] = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    end, still = time.monotonic() + PATIENCE, 0
    while still < STILL and not (app._exit or app._exception):
        assert time.monotonic() < end, "it never came to rest"
        if _reading(app) or any(getattr(screen, "_veiled", False) for screen in _top(app)):
            still = 0
            await asyncio.sleep(0.002)
            continue
        await asyncio.sleep(0)
        still += 1
        if ready or _busy(app):
            still = 0
        elif unpainted := [screen for screen in _top(app) if _unpainted(screen)]:
            still = 0
            for screen in unpainted:
                screen._on_timer_update()  # as it does by itself sixty times a second


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
        or app._resize_event is not None
        or any(screen._callbacks for screen in app.screen_stack)
        or not all(_waits(pump) for pump in _pumps(app))
    )


def _waits(pump: MessagePump) -> bool:
    """Has it answered all messages, so that it waits for another one, or has it ended?"""
    queue: Queue[Message | None] = pump._message_queue
    return pump._closed or bool(queue.empty() and queue.ready_event._waiters)


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
