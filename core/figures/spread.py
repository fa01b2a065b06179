"""The spread of several values at one place: their quartiles, and their ends where known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread of several values at one place. `of` names the values, such as documents; `own`
    names the place's own value, such as their mean. `least` and `most` are None where only the
    quartiles are known."""

    of: str
    own: str
    lower: float
    median: float
    upper: float
    least: float | None = None
    most: float | None = None

    @property
    def words(self) -> str:
        """The ends and quartiles in words."""
        ends = "" if self.least is None else f" {self.least:.4g} to {self.most:.4g},"
        return f"{self.of}{ends} quartiles {self.lower:.4g}, {self.median:.4g}, {self.upper:.4g}"

    def numbers(self) -> dict[str, float]:
        """The known numbers by name."""
        numbers = {"least": self.least, "lower quartile": self.lower, "median": self.median,
                   "upper quartile": self.upper, "most": self.most}  # fmt: skip
        return {name: number for name, number in numbers.items() if number is not None}
