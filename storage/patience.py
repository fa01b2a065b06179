"""Waiting for a database in which another process writes.

Owns how long, and how often whoever waits is asked whether to go on. Knows no table.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError

PATIENCE = 300.0
"""Seconds for which a lock is waited for: longer than any work of ours holds one."""

TURN = 0.5
"""Seconds that SQLite waits by itself, in which nothing can stop it, not even ctrl+c."""

Waiting = Callable[[float], None]
"""Told of the seconds waited so far, once a turn; what it raises ends the waiting."""

_Found = TypeVar("_Found")


def say_nothing(seconds: float) -> None:
    """Go on waiting."""


def patiently(attempt: Callable[[], _Found], patience: float, waiting: Waiting) -> _Found:
    """What an attempt gives once no other process has the lock.

    Each attempt is to wait for a TURN at most. Raises the attempt's error after `patience` seconds.
    """
    began = time.monotonic()
    while True:
        try:
            return attempt()
        except (sqlite3.OperationalError, OperationalError) as error:
            waited = time.monotonic() - began
            if not is_lock(error) or waited >= patience:
                raise
            waiting(waited)


def is_lock(error: BaseException) -> bool:
    """Does an error of SQLite say that another process has the lock?"""
    return "locked" in str(getattr(error, "orig", None) or error)
