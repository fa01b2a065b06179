"""Alignment of a matrix's update with the matrix's singular directions, and means over matrices:
method, section 6.

Owns the rows: each measure with its chance level. Knows neither layers nor models, except that
means keep their rows' coordinates. Imports torch only when it computes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.engine.measurement import Measurement
from core.statistics import chance, intervals

if TYPE_CHECKING:
    from torch import Tensor

    from core.weights.linalg import Alignment, Basis, Directions

SHARES = ("two_sided", "write", "read")
MEASURES = (
    *SHARES, *(f"{name}_excess" for name in SHARES), "new_energy", "gain", "diagonal_energy",
    "amplification", "intruders",
)  # fmt: skip
"""The metrics of one matrix besides `rank_k`."""


Measured = tuple[list[list[Measurement]], dict[str, Any]]


def measure(
    basis: Basis,
    update: Tensor,
    gram: Tensor,
    *,
    amplified: int,
    intruders_of: int,
    match: float,
    directions: Callable[[int], Directions] | None = None,
) -> Callable[[], Measured]:
    """The measurements of each matrix of a batch, without coordinates, and the first one's curves.

    `update` [batch, d_out, d_in], with its `gram` matrix, is compared with the `basis` of as many
    matrices. `amplified`: r of the amplification factor. A leading direction of the tuned matrix
    (among `intruders_of`) counts as an intruder if its largest |cosine| with the base's directions
    is below `match`. `directions` gives the update's top singular directions where they are shared
    with others. The measurements are made when the result is called, from what went `down`
    meanwhile (see `core.models.transfers`). The curves are singular values and shares of energy,
    float32 [k], the shape int64 [2].
    """
    from core.models.transfers import down
    from core.weights import linalg

    shape = (int(update.shape[-2]), int(update.shape[-1]))
    ranks = basis.ranks
    nothing: Measured = [_undefined(k) for k in ranks], {}
    if not basis.kmax or (update.device.type == "cpu" and not bool(update.any())):
        return lambda: nothing
    crossed = linalg.cross(basis, update)
    alignment = linalg.align(basis, update, gram, crossed).mapped(down)
    top = directions or functools.partial(linalg.directions, update, gram)
    factor, counted = linalg.amplification(basis.matrix, gram, top(amplified))
    columns = {
        "concentration": down(linalg.concentration(gram)),
        "amplification": down(factor),
        "directions": down(counted),
        "intruders": down(
            linalg.intruders(basis, update, gram, crossed, top=intruders_of, threshold=match)
        ),
        "norm": down(linalg.energy(gram).sqrt()),
        "base": down(basis.energy.double().sum(-1).sqrt()),
    }
    leading, singular = min(intruders_of, *shape), down(basis.energy[0].sqrt().float())

    def measured() -> Measured:
        if not columns["norm"].any():
            return nothing
        values = {name: column.tolist() for name, column in columns.items()}
        rows = [
            _rows(shape, k, {n: each[i] for n, each in values.items()}, alignment, i, leading)
            for i, k in enumerate(ranks)
        ]
        return rows, _curves(singular, shape, alignment)

    return measured


def means(
    rows: Iterable[Measurement], places: Callable[[Measurement], Iterable[str]]
) -> list[Measurement]:
    """The plain mean of each metric over matrices, for each group that a row belongs to.

    `n` counts the matrices with a value, `low` and `high` bound the mean by Student's 95 % interval
    over them (as if a model's matrices were independent draws); a rank has no mean.
    """
    by_place: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        for place in places(row):
            if row.metric != "rank_k":
                by_place.setdefault((place, row.metric), []).append(row)
    return [_mean(place, metric, group) for (place, metric), group in by_place.items()]


def one_each(rows: Sequence[Measurement]) -> list[Measurement]:
    """The rows with each module and expert measured once, and all rows of heads.

    Several matrices of one module (such as both projections of a latent query) are replaced by
    their plain mean, as in `means`, without a rank.
    """
    places: dict[tuple[str, int | None, int | None], list[Measurement]] = {}
    for row in rows:
        places.setdefault((row.module, row.expert, row.head), []).append(row)
    result: list[Measurement] = []
    for (_, expert, head), group in places.items():
        if sum(row.metric == "rank_k" for row in group) > 1:
            group = [replace(row, expert=expert, head=head) for row in means(group, _by_module)]
        result += group
    return result


def _by_module(row: Measurement) -> tuple[str]:
    return (row.module,)


def _undefined(k: int) -> list[Measurement]:
    """The measurements of a matrix of zeros, or of one that did not change."""
    return [_rank(k), *(Measurement(metric=metric, value=None) for metric in MEASURES)]


def _rank(k: int) -> Measurement:
    return Measurement(metric="rank_k", value=k)


def _rows(
    shape: tuple[int, int],
    k: int,
    scalars: dict[str, float],
    alignment: Alignment,
    i: int,
    leading: int,
) -> list[Measurement]:
    """The measurements of the `i`-th matrix of a batch."""
    norm, size = scalars["norm"], math.prod(shape)
    if k == 0 or norm == 0:
        return _undefined(k)
    both = chance.two_sided(*shape, k, scalars["concentration"])
    return [
        _rank(k),
        *_shares(shape, k, scalars["concentration"], alignment, i),
        Measurement(
            metric="new_energy", value=1 - float(alignment.both[i]), chance=1 - both.mean,
            chance_sd=both.sd,
        ),
        Measurement(
            metric="gain", value=float(alignment.gain[i]), chance=0.0,
            chance_sd=norm / math.sqrt(size) / float(alignment.gain_scale[i]),
        ),
        Measurement(metric="diagonal_energy", value=float(alignment.diagonal[i]), chance=k / size),
        Measurement(
            metric="amplification", value=_known(scalars["amplification"]),
            chance=norm * math.sqrt(size) / (scalars["directions"] * scalars["base"]),
        ),
        Measurement(metric="intruders", value=scalars["intruders"], n=leading),
    ]  # fmt: skip


def _shares(
    shape: tuple[int, int], k: int, spread: float, alignment: Alignment, i: int
) -> list[Measurement]:
    """The norm ratios inside the top-k subspaces, each with its excess of energy over chance."""
    d_out, d_in = shape
    levels = {
        "write": (alignment.write, chance.one_sided(d_out, k, spread)),
        "read": (alignment.read, chance.one_sided(d_in, k, spread)),
        "two_sided": (alignment.both, chance.two_sided(d_out, d_in, k, spread)),
    }
    rows = []
    for name, (shares, level) in levels.items():
        share = float(shares[i])
        excess = level.excess(share)
        known: dict[str, Any] = (
            {} if excess is None else {"chance": 0.0, "chance_sd": level.excess_sd}
        )
        rows += [
            Measurement(
                metric=name, value=math.sqrt(share), chance=level.measure,
                chance_sd=level.measure_sd,
            ),
            Measurement(metric=f"{name}_excess", value=excess, **known),
        ]  # fmt: skip
    return rows


def _curves(singular: Tensor, shape: tuple[int, int], alignment: Alignment) -> dict[str, Any]:
    """Spectrum of W, and the shares of the update's energy for every k, for a batch's first
    matrix."""
    return {
        "singular_values": singular.numpy(),
        "write": alignment.write_curve[0].float().numpy(),
        "read": alignment.read_curve[0].float().numpy(),
        "two_sided": alignment.both_curve[0].float().numpy(),
        "shape": np.array(shape, dtype=np.int64),
    }


def _mean(place: str, metric: str, rows: list[Measurement]) -> Measurement:
    known = [row for row in rows if row.value is not None]
    first = rows[0]
    coordinates: dict[str, Any] = {
        "metric": metric, "model": first.model, "reference": first.reference,
        "layer": first.layer, "module": place,
    }  # fmt: skip
    if not known:
        return Measurement(value=None, n=0, **coordinates)
    n = len(known)
    values = [row.value or 0.0 for row in known]
    mean = intervals.of_mean(values)
    levels = [row.chance for row in known if row.chance is not None]
    spreads = [row.chance_sd for row in known if row.chance_sd is not None]
    return Measurement(
        value=mean.value,
        n=n,
        low=mean.low,
        high=mean.high,
        chance=sum(levels) / n if len(levels) == n else None,
        chance_sd=math.sqrt(sum(s * s for s in spreads)) / n if len(spreads) == n else None,
        **coordinates,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
