"""Following a training run: waiting for the next checkpoint of a study's series.

Owns when a checkpoint counts as whole, and when the waiting ends. Computes nothing, stores nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.engine.measurement import Progress, ResultSink
from core.errors import StudyError
from core.models import steps
from core.study import series
from core.study.study import Study

_PAUSE = 0.25  # seconds between two looks for a wish to stop

_Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Follow:
    """How long a run waits for checkpoints: up to the one of the step `until`, and at most `idle`
    seconds for the next; without end if neither is given. `every`: seconds between two looks."""

    until: int | None = None
    idle: float | None = None
    every: float = 5.0

    def arguments(self) -> list[str]:
        """The options of a detached worker."""
        options = ["--follow"]
        options += [] if self.until is None else ["--until", str(self.until)]
        return options + ([] if self.idle is None else ["--idle", str(self.idle)])


def refuse_none(study: Study) -> None:
    """Raise StudyError if a study has no series to follow."""
    if not _followed(study):
        raise StudyError(
            "The study has no series of checkpoints to follow.",
            hint='Declare one: sft = { path = "runs/sft", checkpoints = "checkpoint-*" }.',
        )


def awaited(study: Study, sink: ResultSink, follow: Follow, last: Progress) -> Study | None:
    """Wait for checkpoints that the study lacks; the study with them, or None at the end.

    A checkpoint is whole if all of its weights are there by their headers, and no file of its
    folder changed between two looks. The waiting ends when the sink is cancelled, or as `follow`
    says. `last`: the progress so far, shown beside the awaited checkpoint.
    """
    if _reached(study, follow.until):
        return None
    names = ", ".join(_followed(study))
    sink.progress(replace(last, label=f"waiting for checkpoints of {names}", expected=None))
    began = time.monotonic()
    before: dict[str, _Sizes] = {}
    while True:
        looked = time.monotonic()
        reopened = series.reopened(study)
        sizes = {
            name: _sizes(Path(model.path))
            for name, model in reopened.models.tuned.items()
            if name not in study.models.tuned
        }
        whole = {name for name, now in sizes.items() if now and before.get(name) == now}
        if whole:
            taken = {n: m for n, m in reopened.models.tuned.items() if n in whole or n not in sizes}
            return series.with_tuned(reopened, taken)
        before = sizes
        if follow.idle is not None and looked - began > follow.idle and not sizes:
            return None
        while time.monotonic() - looked < follow.every:
            if sink.cancelled():
                return None
            time.sleep(min(_PAUSE, follow.every))


def _followed(study: Study) -> tuple[str, ...]:
    """The names of the series that may get further members."""
    return tuple(name for name, model in study.models.as_written().items() if model.checkpoints)


def _reached(study: Study, until: int | None) -> bool:
    """Has every series a checkpoint of this step, or of a later one?"""
    known = steps.series_in(study.models.tuned)
    ends = (known[name][-1].step if name in known else -1 for name in _followed(study))
    return until is not None and all(end >= until for end in ends)


def _sizes(folder: Path) -> _Sizes:
    """The size and the time of change of each file in a folder; nothing if it can't be read."""
    try:
        stats = {each.name: each.stat() for each in folder.iterdir() if each.is_file()}
    except OSError:
        return {}
    return {name: (one.st_size, one.st_mtime_ns) for name, one in stats.items()}
