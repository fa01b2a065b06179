"""One measured row and the table of all of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_STEPS = "## All steps"


@dataclass(frozen=True, slots=True)
class Row:
    """A ratio (or a size) that was reached, beside its target."""

    name: str
    reached: float
    sense: Literal["≤", "≥"]
    target: float
    note: str

    @property
    def met(self) -> bool:
        return self.reached <= self.target if self.sense == "≤" else self.reached >= self.target

    def cells(self) -> tuple[str, ...]:
        reached = f"{self.reached:.1e}" if 0 < self.reached < 1e-3 else f"{self.reached:.2f}"
        target = f"{self.sense} {self.target:g}"
        return self.name, reached, target, "yes" if self.met else "**no**", self.note


def table(rows: Sequence[Row], before: Sequence[str] = ()) -> str:
    """The rows as a Markdown table, in place of the lines of another table with their names."""
    head = ("step", "reached", "target", "met", "measured")
    lines = list(before) or [
        "| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head))
    ]
    after = len(lines) - 1
    for row in rows:
        line = "| " + " | ".join(row.cells()) + " |"
        places = [i for i, known in enumerate(lines) if known.startswith(f"| {row.name} |")]
        if places:
            lines[places[0]] = line
        else:
            lines.insert(after + 1, line)
        after = places[0] if places else after + 1
    return "\n".join(lines)


def page(rows: Sequence[Row], before: str = "") -> str:
    """docs/benchmarks.md: what was written above the table of all steps stays, and so do its other
    rows."""
    import torch

    text, _, steps = before.partition(_STEPS)
    lines = [line for line in steps.splitlines() if line.startswith("|")]
    processor = platform.processor() or platform.machine()
    return (
        (text or "# Benchmarks\n\n") + _STEPS + "\n\n"
        "Written by `make bench`. Ratios are taken inside one run; seconds are of that machine "
        f"({os.cpu_count()} cores, {processor}, Python {platform.python_version()}, torch "
        f"{torch.__version__.split('+')[0]}, load {os.getloadavg()[1]:.1f} at the end; times in "
        "milliseconds are worth little beside other work). The workload is synthetic, with the "
        "widths of a 7B model.\n\n" + table(rows, lines) + "\n"
    )
