"""Signals that stop a run: the first asks it to stop, the second ends it.

Owns the signal handlers while a run is computed. Knows no run and no database. A Python handler
runs only between two steps of the main thread's Python code, which may be far apart. So a thread
also counts the delivered signals.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

GRACE = 1.0
"""Seconds for a run to record its end after the second signal."""

STOPPED = 130
"""The exit code of a process ended this way."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def stopping_on_signals(
    stop: threading.Event, on_stop: Callable[[], None] | None
) -> Iterator[None]:
    """Set `stop` at the first signal and call `on_stop`; raise KeyboardInterrupt at the second.

    GRACE seconds after the second signal, the process ends wherever it is. A signal that arrives
    after a stopped run, and would kill the process, leaves it GRACE seconds to end normally. Does
    nothing outside of the main thread, since only it receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if on_stop:
            on_stop()

    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    # Signals ignored on purpose, as by nohup, stay ignored.
    heard = [n for n in numbers if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    with _ended_by_the_second(heard):
        before = {number: signal.signal(number, ask) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                ends = stop.is_set() and handler == signal.SIG_DFL
                signal.signal(number, _end_soon if ends else handler)


def _end_soon(number: int, frame: FrameType | None) -> None:
    """End the process of a stopped run GRACE seconds from now, if it is still running."""
    timer = threading.Timer(GRACE, os._exit, [STOPPED])
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def _ended_by_the_second(heard: list[int]) -> Iterator[None]:
    """End the process GRACE seconds after the second of these signals."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ended = threading.Event()

    def watch() -> None:
        count = 0
        while arrived := ours.recv(64):  # a byte is the number of a signal
            count += sum(number in heard for number in arrived)
            if count > 1:
                break
        if count > 1 and not ended.wait(GRACE):
            os._exit(STOPPED)

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        theirs.close()  # this ends the watcher
        watcher.join()
        ours.close()
