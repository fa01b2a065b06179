"""One point of task arithmetic as text: its scores by task, and the command that writes it.

Owns the words of it. Computes nothing; draws nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from core.figures import score_tables
from core.figures.passages import Block, Passage, Passages, passage
from core.figures.views import Tabulation

WHOLE = "all parts"


def of_point(asked: Tabulation) -> Passages:
    """The point's scores by task, for all parts of the model and for each restriction to some."""
    setting = asked.choice.setting
    lines: dict[str, list[Sequence[Any]]] = {}
    for line in score_tables.points(asked).rows:
        lines.setdefault("" if line[1] == score_tables.ALL else str(line[1]), []).append(line)
    blocks = [
        Block(f"Scores, {parts or WHOLE}", tuple(map(_score, lines[parts]))) for parts in lines
    ]
    commands = tuple(
        passage(parts or WHOLE, command(setting, parts)) for parts in lines if setting != "base"
    )
    return Passages(
        title=f"Point {setting}",
        blocks=(*blocks, *([Block("Write this merge", commands)] if commands else [])),
        note="Normalised: 1 keeps all of the domain's own model. Regained: 0 is the base, 1 the "
        "domain's own model.",
        chosen={"setting": setting},
    )


def command(setting: str, parts: str) -> str:
    """The command that writes a point as a model's folder, for a shell."""
    restricted = ["--restrict", parts] if parts else []
    asked = shlex.join(["--coefficients", setting, *restricted])
    return f"tauscope merge STUDY {asked} --to DIR"


def _score(line: Sequence[Any]) -> Passage:
    task, metric, score, low, high, share, regained = line[2:9]
    interval = "" if low is None or high is None else f" (95 % {low:.3g} to {high:.3g})"
    known = [
        f"{name} {value:.3g}"
        for name, value in (("normalised", share), ("regained", regained))
        if value is not None
    ]
    number = "undefined" if score is None else f"{score:.4g}"
    return passage(str(task), f"{metric} {number}{interval}", beside=", ".join(known))
