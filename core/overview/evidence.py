"""How far a value lies beyond its yardsticks: chance, the base, or a control.

Owns the two numbers that select and order findings: a p value and a size without a unit.
Knows no measurement and no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

_ENOUGH = 200
"""Degrees of freedom from which Student's distribution is read as the normal one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its standard error; None: it has no interval."""

    value: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A level to compare a value with, by name: "chance", "0", "control retrained".

    `error` is its standard error over as many items as the value has; `scatter` a spread that more
    items do not narrow, such as that of the draws of random neurons."""

    name: str
    value: float
    error: float = 0.0
    scatter: float = 0.0


def correlation(value: float) -> float:
    """The scale of a cosine: twice Fisher's z, which is Cohen's d for a small cosine. Infinite at
    1 and -1."""
    return 2 * math.atanh(value) if abs(value) < 1 else math.copysign(math.inf, value)


def log_scale(value: float) -> float:
    """The scale of sizes, which differ by factors."""
    return math.log(value) if value > 0 else -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A value beside its yardsticks.

    `n`: the items, documents or matrices that the error is over. `given`: the p value of a test
    that the analysis made. `scale`: where values that have no error are compared, if they can be.
    """

    estimate: Estimate
    yardsticks: tuple[Yardstick, ...]
    n: int | None = None
    given: float | None = None
    scale: Callable[[float], float] | None = None

    @property
    def nearest(self) -> Yardstick | None:
        """The yardstick that is hardest to exceed; None where there is none, and where the value
        lies among them."""
        value = self.estimate.value
        levels = [yardstick.value for yardstick in self.yardsticks]
        if not levels or min(levels) <= value <= max(levels):
            return None
        return min(self.yardsticks, key=lambda yardstick: abs(value - yardstick.value))

    @property
    def size(self) -> float | None:
        """The distance from the nearest yardstick, without a unit; None where it can't be told.

        With an error it is Cohen's d: in standard deviations of a single item, document or matrix,
        so that more of them do not make it larger. Without one it is the distance on the scale.
        """
        nearest = self.nearest
        if nearest is None:
            return None
        if self.estimate.error is None:
            if self.scale is None:
                return None
            distance = abs(self.scale(self.estimate.value) - self.scale(nearest.value))
            return distance if math.isfinite(distance) else None
        each = math.sqrt(self.n or 1)
        spread = math.hypot(self.estimate.error * each, nearest.error * each, nearest.scatter)
        return abs(self.estimate.value - nearest.value) / spread if spread else None

    @property
    def p(self) -> float | None:
        """The two-sided p value of no distance from the nearest yardstick, and no less than that
        of the analysis; 1 within the yardsticks, None where there is no test."""
        if self.estimate.error is None and self.given is None:
            return None
        nearest = self.nearest
        if nearest is None:
            return 1.0
        error = math.hypot(self.estimate.error or 0.0, nearest.error, nearest.scatter)
        if not error:
            return self.given
        t = abs(self.estimate.value - nearest.value) / error
        return max(_two_sided(t, _freedom(self.n)), self.given or 0.0)


def error_of(low: float | None, high: float | None, n: int | None) -> float | None:
    """The standard error behind a 95 % interval over n items; None without an interval."""
    if low is None or high is None or (n is not None and n < 2):
        return None
    return (high - low) / 2 / _quantile(_freedom(n))


def _freedom(n: int | None) -> int:
    """The degrees of freedom of a mean over n items; of an unknown number, many."""
    return _ENOUGH if n is None else n - 1


def _two_sided(t: float, freedom: int) -> float:
    if freedom >= _ENOUGH:
        return 2 * NormalDist().cdf(-t)
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -t))


def _quantile(freedom: int) -> float:
    """The end of a two-sided 95 % interval, in standard errors."""
    if freedom >= _ENOUGH:
        return NormalDist().inv_cdf(0.975)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
