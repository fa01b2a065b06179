"""Waiting for a database in which another process writes.

Owns the duration of waiting, and the calls that may end it. Knows no table.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError

PATIENCE = 300.0
"""Seconds to wait for a lock: longer than tauscope ever holds one."""

TURN = 0.5
"""Seconds of SQLite's own waiting, which nothing can interrupt, not even ctrl+c."""

Waiting = Callable[[float], None]
"""Called once per turn with the seconds waited so far; an exception ends the waiting."""

_Found = TypeVar("_Found")


def say_nothing(seconds: float) -> None:
    """Continue waiting."""


def patiently(attempt: Callable[[], _Found], patience: float, waiting: Waiting) -> _Found:
    """The result of an attempt, once no other process has the lock.

    Each attempt must wait for at most a TURN. Raises the attempt's error after `patience` seconds.
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
