"""Names of checkpoints: `sft@500` is the member of the series `sft` at step 500.

Owns the form of these names. Reads no folder; `core.study.series` finds the members.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_FORM = re.compile(r"(.+)@(\d+)", re.ASCII)


class Checkpoint(NamedTuple):
    """A member of a series: the name of the series, and the step in training."""

    series: str
    step: int

    @property
    def name(self) -> str:
        """The name of the model."""
        return f"{self.series}@{self.step}"


def parted(name: str) -> Checkpoint | None:
    """The series and the step in a model's name; None if the model is no member of a series."""
    match = _FORM.fullmatch(name)
    return Checkpoint(match[1], int(match[2])) if match else None


def series_in(names: Iterable[str]) -> dict[str, tuple[Checkpoint, ...]]:
    """The series among models' names, each with its members in order of step."""
    by_series: dict[str, list[Checkpoint]] = {}
    for name in names:
        if (member := parted(name)) is not None:
            by_series.setdefault(member.series, []).append(member)
    return {series: tuple(sorted(set(members))) for series, members in by_series.items()}
