"""The passages in which states lie most along the direction that an update writes most.

Owns the figures, made of stored arrays, and their sentences. Computes nothing; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.figures.contexts import snippet
from core.figures.figure import BASE, Grid
from core.figures.passages import Block, Passage, Passages, passage
from core.figures.significance import SPREADS
from core.figures.views import Tabulation

ARTIFACT = "places"
OWN = "own"
"""The setting of the tuned model's own states; that of the base's is `base`."""

ENDS = ("highest", "lowest")

_NONE = (
    "This run has no places of this direction: its matrix does not write into the residual stream, "
    "did not change, or is one of several experts."
)

Arrays = Mapping[str, NDArray[Any]]


def setting(states: str) -> str:
    """The setting of rows on the states of a model."""
    return BASE if states == BASE else OWN


def of_direction(asked: Tabulation) -> Passages:
    """The top direction of the chosen matrix, in the base and in the tuned model."""
    choice = asked.choice
    model, layer, module = choice.model, choice.layer, choice.module
    both = (
        (BASE, asked.arrays(ARTIFACT, model=BASE, reference=model, layer=layer)),
        (model, asked.arrays(ARTIFACT, model=model, layer=layer)),
    )
    blocks = tuple(
        block for whose, arrays in both for block in _blocks(whose, arrays or {}, module)
    )
    return Passages(
        title=f"What Δ writes · {model} · layer {layer} · {module}",
        blocks=blocks or (Block("", (passage("", _NONE),)),),
        measure="cosine",
        signed=True,
        note=_note(asked) if blocks else "",
        chosen={"model": model, "layer": str(layer), "module": module},
    )


def of_text(figure: Passages) -> str:
    """Empty: a text needs no finding."""
    return ""


def of_heat(figure: Grid) -> str:
    """The matrix whose direction is furthest from random ones, and how many are."""
    known = [
        ((cell.value - cell.chance) / cell.chance_sd, cell, f"{module} of layer {layer}")
        for layer, row in zip(figure.rows, figure.cells, strict=True)
        for module, cell in zip(figure.columns, row, strict=True)
        if cell is not None and cell.value is not None
        if cell.chance is not None and cell.chance_sd
    ]  # fmt: skip
    if not known:
        return ""
    _, cell, where = max(known, key=lambda each: each[0])
    beyond = sum(distance > SPREADS for distance, *_ in known)
    return (
        f"{figure.chosen['model']}: states lie furthest along the direction of {where} (|cosine| "
        f"{cell.value:.2f}; random directions {cell.chance:.2f}); {beyond} of {len(known)} "
        f"directions are {SPREADS} sd above random ones."
    )


def _blocks(whose: str, arrays: Arrays, module: str) -> Iterator[Block]:
    rows = np.flatnonzero(arrays["module"] == module) if arrays else ()
    for row, end in zip(rows, ENDS, strict=False):
        passages = tuple(_passages(arrays, int(row)))
        if passages:
            yield Block(f"Where the cosine is {end} in {whose}", passages)


def _passages(arrays: Arrays, row: int) -> Iterator[Passage]:
    for slot, document in enumerate(arrays["documents"][row]):
        if document >= 0:
            yield snippet(arrays, row, slot, beside=f"cosine {arrays['peaks'][row, slot]:+.3f}")


def _note(asked: Tabulation) -> str:
    peaks = [
        f"{BASE if row.setting == BASE else asked.choice.model} {row.value:.2f} (random directions "
        f"{row.chance:.2f}{f' ± {SPREADS * row.chance_sd:.2f}' if row.chance_sd else ''})"
        for row in asked.rows
        if row.value is not None and row.chance is not None
    ]
    largest = f" Largest |cosine|: {', '.join(peaks)}." if peaks else ""
    return f"The sign of a direction is arbitrary, and the same in both models.{largest}"
