"""The table of the tokens of a mean difference of states, layer by layer.

Owns its columns and rows. Computes nothing.
"""

from __future__ import annotations

import math
from typing import Any

from core.figures.figure import Column, Table
from core.figures.records import ReadoutRecord
from core.figures.views import Tabulation

EVERYWHERE = "all tokens"
"""The setting of means over all tokens of a document."""

TOLD = 8
"""The number of tokens shown at each end."""


def readout_name(probe: str) -> str:
    """The artifact of a readout on a probe set, "" where there is one."""
    return f"readout.{probe}" if probe else "readout"


def readout(asked: Tabulation) -> Table:
    """A row for each layer: the mean difference's size, and the tokens that it raises and lowers
    most."""
    model, setting = asked.choice.model, asked.choice.setting
    by_layer: dict[int, dict[str, Any]] = {}
    for row in asked.rows:
        if row.layer is not None:
            by_layer.setdefault(row.layer, {})[row.metric] = row
    records = []
    for layer in sorted(by_layer):
        size, steadiness = (by_layer[layer].get(name) for name in ("relative_size", "half_cosine"))
        records.append(ReadoutRecord(layer, size, steadiness, *_ends(asked, layer)))
    return Table(
        title=f"Tokens of the mean difference · {model} · {setting}",
        columns=(
            Column(name="layer", align="right"),
            Column(name="size", align="right", form=".3g"),
            Column(name="by chance", align="right", form=".3g"),
            Column(name="steadiness", align="right", form=".2f", signed=True),
            Column(name="raises", outside=True),
            Column(name="lowers", outside=True),
        ),
        rows=tuple(
            (
                str(each.layer),
                None if each.size is None else each.size.value,
                None if each.size is None else each.size.chance,
                None if each.steadiness is None else each.steadiness.value,
                " · ".join(each.raised),
                " · ".join(each.lowered),
            )
            for each in records
        ),
        records=tuple(records),
        results=("size",),
        note="Tokens are most promoted first.",
        chosen={"model": model, "setting": setting, "probe": asked.choice.probe},
    )


def _ends(asked: Tabulation, layer: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    name = readout_name(asked.choice.probe)
    arrays = asked.arrays(name, model=asked.choice.model, layer=layer)
    if arrays is None:
        return (), ()
    place = asked.choice.setting
    index = -1 if place == EVERYWHERE else int(place.rpartition(" ")[2]) - 1
    tokens, products = arrays["tokens"][index], arrays["products"][index]
    words = arrays["vocabulary"]
    raised, lowered = (
        tuple(
            str(words[t]).strip() or "␣"
            for t, value in zip(tokens[end][:TOLD], products[end], strict=False)
            if math.isfinite(value) and 0 <= t < len(words)
        )
        for end in (0, 1)
    )
    return raised, lowered
