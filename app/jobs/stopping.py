"""How signals stop a run: the first asks it to stop, the second ends it.

Owns the signal handlers while a run is computed. Knows no run and no database. A handler of Python
runs only between two steps of the main thread's own Python code, which may be far apart. So a
thread counts the signals too, as the system delivers them.
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
"""Seconds in which a run that was told twice may record how it ended."""

STOPPED = 130
"""The exit code of a process that was ended so."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def stopping_on_signals(
    stop: threading.Event, on_stop: Callable[[], None] | None
) -> Iterator[None]:
    """Set `stop` at the first signal and call `on_stop`; raise KeyboardInterrupt at the second.

    GRACE seconds after the second signal, the process ends wherever it is. Does nothing outside of
    the main thread, which alone can hear signals. Once `stop` is set, signals that come later still
    end the process with STOPPED.
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
    # What was ignored on purpose, as by nohup, stays so.
    heard = [n for n in numbers if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    with _ended_by_the_second(heard):
        before = {number: signal.signal(number, ask) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                # A process that was told to stop is on its way out: a further signal must not
                # kill it before it has said so.
                signal.signal(number, _leave if stop.is_set() else handler)


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process GRACE seconds from now, if it has not ended by itself."""
    timer = threading.Timer(GRACE, os._exit, (STOPPED,))
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
        theirs.close()  # which the watcher reads as the end
        watcher.join()
        ours.close()
