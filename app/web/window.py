"""A window of the served workstation: a separate process, which ends with its server.

Run as `python -m app.web.window PID DB` with the server's PID. Knows nothing of the browser.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psutil

EVERY = 1.0
"""Seconds between two checks of the server."""

GRACE = 5.0
"""Seconds for the window's orderly end."""


def end_with(server: int) -> None:
    """End this process when the process `server` ends, for any reason."""
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
    from app.commands import name_database
    from app.tui.app import run

    database = sys.argv[2] or None
    name_database(database)
    run(database)
