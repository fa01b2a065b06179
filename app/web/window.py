"""A window of the served workstation: a process of its own, which ends with its server.

Run as `python -m app.web.window PID DB`, PID being the server's. Knows nothing of the browser.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psutil

EVERY = 1.0
"""Seconds between two looks at the server."""

GRACE = 5.0
"""Seconds that the window has for an orderly end."""


def end_with(server: int) -> None:
    """Let this process end when the process `server` does, however that one ended."""
    try:
        process = psutil.Process(server)
    except psutil.NoSuchProcess:
        sys.exit(1)
    threading.Thread(target=_follow, args=(process,), daemon=True).start()


def _follow(process: psutil.Process) -> None:
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    from app.tui.app import run

    run(sys.argv[2] or None)
