"""Attempts at a run's jobs: which units an error concerns, and when a unit is given up.

One rule for this process and for several. Knows no transport.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from traceback import format_exception
from typing import TYPE_CHECKING

from core.engine.measurement import Unit
from core.errors import (
    Cancelled,
    ResultError,
    StorageError,
    TauscopeError,
    of_the_system,
    reason,
)

if TYPE_CHECKING:
    from core.engine.executor import Finished, Job, Work

ALIKE = 3
"""Failures of an analysis over one model by one cause, without a success between them, after which
its other units are left out. Causes that differ only in numbers count as one."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Attempts:
    """Counts the attempts at the units of a run; gives a unit up after `most` of them."""

    def __init__(self, work: Work, most: int) -> None:
        self._work, self._most = work, most
        self._counts: Counter[str] = Counter()
        self._alone: set[str] = set()
        self._failures: dict[tuple[str, str], Counter[str]] = {}

    def ready(self, model: str = "") -> list[Job]:
        """The ready jobs. A job that failed is cut by analysis, so that one analysis does not make
        the others fail."""
        return [part for job in self._work.ready(model) for part in self._cut(job)]

    def failed(
        self, job: Job, left: Sequence[Unit], cause: str, *, lost: bool = False, loads: bool = True
    ) -> None:
        """Count an attempt at a job's failed units, of the units `left` without results: the first
        one, or all that are computed together.

        `lost`: its process ended, which may have no cause in the job; without `loads`, its model
        could not be loaded.
        """
        failed = left if job.is_whole else left[:1]
        together = len({unit.analysis for unit in failed}) > 1
        for unit in failed:
            self._counts[unit.key] += 1
            if not lost or self._counts[unit.key] > 1:
                self._alone.add(unit.key)
        given_up = [unit for unit in failed if self._counts[unit.key] >= self._most]
        if not given_up or (together and loads):
            return
        self._work.fail(given_up, cause, max(self._counts[unit.key] for unit in given_up))
        kind = given_up[0].analysis, job.loads
        of_cause, form = self._failures.setdefault(kind, Counter()), _NUMBER.sub("0", cause)
        of_cause[form] += 1
        if not loads:
            self._work.leave_out("", job.loads)
        elif of_cause[form] >= ALIKE:
            self._work.leave_out(*kind)

    def save(self, finished: Sequence[Finished]) -> None:
        """Store finished units."""
        self._work.save(finished)
        for unit, _, _ in finished:
            self._failures.pop((unit.analysis, unit.loads), None)

    def _cut(self, job: Job) -> list[Job]:
        failed = job.is_whole and not self._alone.isdisjoint(unit.key for unit in job.units)
        return job.by_analysis() if failed else [job]


def ends_run(error: BaseException) -> bool:
    """Does an error end a run at once? Nothing can be stored any more, or is to be. A damaged
    result concerns only the units that require it."""
    fatal = isinstance(error, Cancelled | StorageError)
    return fatal and not isinstance(error, ResultError)


def described(error: BaseException) -> tuple[str, str]:
    """The cause of a failure in a sentence, and its traceback, empty for a known error."""
    if isinstance(error, TauscopeError):
        return f"{error.title} {error.hint}".strip(), ""
    words = of_the_system(error) or f"{type(error).__name__}: {reason(error)}"
    return words, "".join(format_exception(error))
