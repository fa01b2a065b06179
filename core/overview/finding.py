"""Candidates and findings as data: a statement each, its evidence, and the figure behind it.

Owns the kinds of findings. Knows no rule and no ranking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.figures.views import Value
from core.overview.evidence import Evidence

Kind = Literal[
    "gain", "setback", "loss", "transfer", "neurons", "directions", "shared", "size", "ablation",
    "merge",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FigurePlace:
    """The figure of a finding, and the coordinates to open it at. `measure`: "" is the figure's
    own."""

    analysis: str
    view: str
    measure: str = ""
    at: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A statement about models that may become a finding.

    `subjects` are its models: one, the two of a pair, or the models of a merge. `place` is its
    task, layer or group: statements of one kind and place echo one another.
    """

    kind: Kind
    subjects: tuple[str, ...]
    place: tuple[Value, ...]
    evidence: Evidence
    headline: str
    detail: str
    figure: FigurePlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A candidate that lies beyond its yardsticks. `size` is its distance from the nearest one
    without a unit, `q` its p value corrected for all candidates (None: it has no test), `others`
    the number of further models with the same finding."""

    candidate: Candidate
    size: float
    q: float | None
    others: int = 0

    @property
    def kind(self) -> Kind:
        """The kind of its candidate."""
        return self.candidate.kind

    @property
    def subjects(self) -> tuple[str, ...]:
        """The models of its candidate."""
        return self.candidate.subjects

    @property
    def distance(self) -> float:
        """The distance of its value from the nearest yardstick, in the unit of the value."""
        evidence = self.candidate.evidence
        return abs(evidence.estimate.value - evidence.nearest.value) if evidence.nearest else 0.0

    @property
    def headline(self) -> str:
        """The statement, without its numbers' uncertainty."""
        return self.candidate.headline

    @property
    def echo(self) -> str:
        """The number of other models with the same finding, in words; "" for none."""
        if not self.others:
            return ""
        return (
            f"The same holds for {self.others} other {'model' if self.others == 1 else 'models'}."
        )

    @property
    def sentence(self) -> str:
        """The statement in full."""
        return f"{self.headline}: {self.candidate.detail} {self.echo}".rstrip()


def number(value: float) -> str:
    """A number with its sign, to three digits; 0 has none."""
    return f"{value:+.3g}" if value else "0"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval in brackets, after a space; "" where there is none."""
    return "" if low is None or high is None else f" ({number(low)} to {number(high)})"
