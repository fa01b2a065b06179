"""Tables of the tokens that tuning promotes and demotes, made of stored arrays.

Owns columns, rows and orders. Computes nothing but orders; draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.figures.figure import BASE, Column, Table
from core.figures.records import ShiftRecord
from core.figures.views import Tabulation

MOST = 100
"""Rows of the table of tokens."""

TOLD = 10
"""Tokens that a row of a model names."""


class _Order(NamedTuple):
    """The end of an order (`promoted` or `demoted`), and its sort key."""

    end: str
    by: str


_ORDERS = {
    "promoted beyond chance": _Order("promoted", "beyond"),
    "promoted most": _Order("promoted", "share"),
    "raised most": _Order("promoted", "mean"),
    "demoted beyond chance": _Order("demoted", "beyond"),
    "demoted most": _Order("demoted", "share"),
    "lowered most": _Order("demoted", "mean"),
}
ORDERS = tuple(_ORDERS)

Arrays = Mapping[str, NDArray[Any]]


def artifact(probe: str) -> str:
    """The name of the arrays of a probe set; "" is the set of a study with only one."""
    return f"shifts.{probe}" if probe else "shifts"


def tokens(asked: Tabulation) -> Table:
    """The tokens of the chosen model that come first in the chosen order, above 0."""
    model, probe = asked.choice.model, asked.choice.probe
    name = asked.choice.order if asked.choice.order in _ORDERS else ORDERS[0]
    order = _ORDERS[name]
    arrays, controls = _read(asked, model, probe), _controls(asked, model, probe)
    rows = []
    if arrays is not None:
        for index in _first(arrays, controls.values(), order)[:MOST]:
            token, bounds = int(arrays["listed"][index]), arrays[f"{order.end}_bounds"][index]
            rows.append(
                (
                    _shown(str(arrays["text"][index])), float(arrays[order.end][token]),
                    *map(_known, bounds),
                    _known(arrays[f"{order.end}_chance"][token]),
                    *(_of(control, order.end, token) for control in controls.values()),
                    float(arrays["mean"][token]),
                )
            )  # fmt: skip
    share = f"{order.end} at"
    return Table(
        title=" · ".join(filter(None, (f"Tokens {name}", model, probe))),
        columns=(
            Column(name="token", outside=True),
            *(Column(name=each, align="right", form=".3f") for each in (share, "low", "high")),
            Column(name="by chance", align="right", form=".3f"),
            *(Column(name=f"in {each}", align="right", form=".3f") for each in controls),
            Column(name="mean shift", align="right", form=".3f", signed=True),
        ),
        rows=tuple(rows),
        records=tuple(ShiftRecord(model, probe, (str(row[0]),), None, None) for row in rows),
        results=("mean shift",) if order.by == "mean" else (share,),
        note="Shares of positions, with 95 % intervals over documents. A token without its spaces "
        "may stand more than once.",
        chosen={"model": model, "probe": probe},
    )


def models(asked: Tabulation) -> Table:
    """A row for each tuned model and probe set, with the tokens that it promotes most."""
    several = any(row.probe for row in asked.rows)
    places = {name: index for index, name in enumerate(asked.catalogue.values("model"))}
    measured = sorted(asked.rows, key=lambda row: places.get(row.model, len(places)))
    records, rows = [], []
    for row in measured:
        named = _named(asked, row.model, row.probe)
        records.append(ShiftRecord(row.model, row.probe, named, row.value, row.chance))
        place = (row.model, row.probe)[: 1 + several]
        rows.append((*place, row.value, row.low, row.high, row.chance, " · ".join(named)))
    names = ("model", "probe set")[: 1 + several]
    return Table(
        title="Tokens that each tuning promotes",
        columns=(
            *(Column(name=name) for name in names),
            *(Column(name=each, align="right", form=".3f") for each in ("share", "low", "high")),
            Column(name="by chance", align="right", form=".3f"),
            Column(name="tokens promoted beyond chance", outside=True),
        ),
        rows=tuple(rows),
        records=tuple(records),
        keys=len(names),
        results=("share",),
        note="Share of positions at which a token has one of the largest shifts, averaged over the "
        "most promoted tokens.",
    )


def _named(asked: Tabulation, model: str, probe: str) -> tuple[str, ...]:
    """The tokens at the top that are promoted beyond chance and the controls, in words."""
    arrays = _read(asked, model, probe)
    if arrays is None:
        return ()
    others = list(_controls(asked, model, probe).values())
    tokens = []
    for index in _first(arrays, others, _ORDERS[ORDERS[0]]):
        tokens.append(_shown(str(arrays["text"][index])).strip() or "␣")
    return tuple(dict.fromkeys(tokens))[:TOLD]


def _first(arrays: Arrays, others: Any, order: _Order) -> NDArray[np.int64]:
    """The places in `listed`, in an order; tokens that are not above 0 in it are left out."""
    sign = 1.0 if order.end == "promoted" else -1.0
    listed = arrays["listed"]
    keys: dict[str, NDArray[Any]] = {
        "mean": sign * arrays["mean"][listed],
        "share": arrays[order.end][listed],
        "beyond": _beyond(arrays, others, order.end),
    }
    key = keys[order.by]
    first = np.argsort(-key, kind="stable")
    return first[key[first] > 0]


def _beyond(arrays: Arrays, others: Any, end: str) -> NDArray[np.float32]:
    """The excess of each listed token's share over its share by chance and in other models; NaN
    where chance is not known."""
    listed = arrays["listed"]
    level = arrays[f"{end}_chance"][listed]
    for other in others:
        known = listed < len(other[end])
        values = np.where(known, other[end][np.minimum(listed, len(other[end]) - 1)], 0)
        level = np.maximum(level, values)
    beyond: NDArray[np.float32] = arrays[end][listed] - level
    return beyond


def _controls(asked: Tabulation, model: str, probe: str) -> dict[str, Arrays]:
    """The arrays of the other models in the role of a control."""
    names: Sequence[str] = sorted(asked.catalogue.controls - {model})
    readings = {name: _read(asked, name, probe) for name in names}
    return {name: arrays for name, arrays in readings.items() if arrays is not None}


def _read(asked: Tabulation, model: str, probe: str) -> Arrays | None:
    return asked.arrays(artifact(probe), model=model, reference=BASE)


def _of(arrays: Arrays, end: str, token: int) -> float | None:
    return float(arrays[end][token]) if token < len(arrays[end]) else None


def _shown(text: str) -> str:
    """A token; a single line break becomes a visible sign."""
    return text if text.strip() or not text.strip(" ") else "⏎"


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
