"""The grafts of each step of the analysis by name, and their losses.

A name is `LAYER|PART` (no layer: all of them), `layers-SIZE` for the greedy set, `layers-SIZE|DRAW`
for random ones, and `rank-R`. Knows a bed on which grafts are tried, and no unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.models.naming import GROUP_OF
from core.models.pieces import Piece
from core.vectors import layer_sets, regained
from core.vectors.grafted import Bed, Grafted
from core.vectors.grafting import EVERYTHING, FULL, NOTHING, Graft, of_group
from core.vectors.regained import ALL, BASE, BLOCKS

Known = Mapping[str, NDArray[np.float64]]
"""Losses by the names of grafts, [documents]."""


@dataclass(frozen=True, slots=True)
class Model:
    """A tuned model, the base's pieces, its number of layers, and the groups and modules of it."""

    name: str
    pieces: Sequence[Piece]
    layers: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """The losses of a step's grafts. `passes`: see `Grafted`; `order`: the layers of the greedy
    set."""

    losses: Known
    passes: float = 0.0
    order: tuple[int, ...] = ()


def tried(options: Mapping[str, Any], bed: Bed, model: Model, known: Known, seed: int) -> Tried:
    """The losses of one step's grafts. `known`: the losses of the steps before. Without a gain,
    sets of layers and ranks have none."""
    step = options["step"]
    if step in ("modules", "layers"):
        grafts = _modules(model) if step == "modules" else _layers(model, *options["layers"])
    elif not regained.gains(known[BASE], known[ALL], seed):
        return Tried({})
    elif step == "greedy":
        return _searched(bed, model, known, options["keep"], options["tries"])
    elif step == "random":
        sizes = sum(name.startswith("layers-") for name in known)
        grafts = _random(model, sizes, options["controls"], seed)
    else:
        grafts = _ranks(model, options["ranks"])
    if not grafts:
        return Tried({})
    grafted = bed.losses(model.name, list(grafts.values()))
    return Tried(dict(zip(grafts, grafted.losses, strict=True)), grafted.passes)


def _modules(model: Model) -> dict[str, Graft]:
    grafts = {BASE: NOTHING, ALL: EVERYTHING}
    for part in model.parts:
        blocks = Graft(frozenset(range(model.layers)))
        grafts[f"|{part}"] = blocks if part == "blocks" else Graft(modules=of_group(part))
    return grafts


def _layers(model: Model, start: int, stop: int) -> dict[str, Graft]:
    """Each layer, its attention and its MLP."""
    grafts = {}
    for layer in range(start, stop):
        groups = {GROUP_OF.get(piece.module) for piece in model.pieces if piece.layer == layer}
        grafts[f"{layer}{BLOCKS}"] = Graft(frozenset((layer,)))
        for group in ("attention", "mlp"):
            if group in groups:
                grafts[f"{layer}|{group}"] = Graft(frozenset((layer,)), of_group(group))
    return grafts


def _ranks(model: Model, ranks: Sequence[int]) -> dict[str, Graft]:
    """Grafts cut to each rank that is below the largest rank of a matrix, and uncut grafts."""
    largest = max((min(piece.shape) for piece in model.pieces if piece.is_matrix), default=0)
    grafts = {f"rank-{rank}": Graft(rank=rank) for rank in ranks if rank < largest}
    return {**grafts, "rank-full": Graft(rank=FULL)}


def _random(model: Model, sizes: int, controls: int, seed: int) -> dict[str, Graft]:
    """Random sets of two layers and more; sets of one layer are the single grafts."""
    rng = np.random.default_rng([seed, model.layers])
    return {
        f"layers-{size}|{i}": Graft(frozenset(layers))
        for size in range(2, min(sizes, model.layers - 1) + 1)
        for i, layers in enumerate(layer_sets.drawn(model.layers, size, controls, rng))
    }


def _searched(bed: Bed, model: Model, known: Known, keep: float, tries: int) -> Tried:
    asked: list[Grafted] = []

    def ask(sets: Sequence[tuple[int, ...]]) -> Any:
        asked.append(bed.losses(model.name, [Graft(frozenset(layers)) for layers in sets]))
        return asked[-1].losses

    singles = {layer: known[f"{layer}{BLOCKS}"] for layer in range(model.layers)}
    documents, _ = layer_sets.halves(regained.compared(known[BASE], known[ALL]))
    steps = layer_sets.search(
        known[BASE], known[BLOCKS], singles, ask, documents=documents, keep=keep, tries=tries
    )
    return Tried(
        {f"layers-{size}": step.losses for size, step in enumerate(steps, 1)},
        sum(each.passes for each in asked),
        tuple(step.layer for step in steps),
    )
