"""The tables that analyses show, made of a run's measurements and arrays.

Owns which columns and rows a table has. Computes nothing that was not measured but differences and
orders; draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.figures.contexts import neuron_name
from core.figures.figure import Column, Table, Text
from core.figures.records import NeuronRecord
from core.figures.views import Tabulation

NEURON_ORDERS = ("switched on most", "switched off most", "used most", "matters most")
ORDERED = {"matters most": "that matter most"}
"""The orders that a title says in words of its own."""
_RESULTS = {"used most": (), "matters most": ("attribution", "change")}
"""The columns that come first in an order, where that is not the change."""
MOST_NEURONS = 500
"""Rows of the table of neurons: those that come first in the order."""

_BASE = "base"


def neurons(asked: Tabulation) -> Table:
    """The neurons of one layer (or of all) that come first in the chosen order.

    Their rate in every model, and the document that drives each most in the chosen one.
    """
    model, order = asked.choice.model, asked.choice.order
    one = asked.choice.layer
    layers = asked.catalogue.values("layer") if one is None else (one,)
    ranked = [each for layer in layers for each in _top(asked, model, layer, order)]
    ranked.sort(key=lambda each: -each[0])
    shown = ranked[:MOST_NEURONS]
    others = [m for m in asked.catalogue.values("model") if m not in (model, _BASE)]
    shown_layers = {record.layer for _, record, *_ in shown}
    rates = {(m, layer): _rates(asked, m, layer) for m in others for layer in shown_layers}
    documents = asked.arrays("documents", model=model)
    count = _counted(len(shown), _count(asked, layers))
    rows = tuple(
        (
            *cells,
            *(_at(rates[m, record.layer], record.neuron) for m in others),
            _document(documents, driver, driven),
        )
        for _, record, cells, driver, driven in shown
    )
    return Table(
        title=f"Neurons {ORDERED.get(order, order)} · {model}",
        columns=(
            Column(name="layer", align="right"),
            Column(name="neuron", align="right"),
            Column(name="change", align="right", form=".3f", signed=True),
            Column(name="attribution", align="right", form=".3g"),
            Column(name="rate in base", align="right", form=".3f"),
            Column(name=f"in {model}", align="right", form=".3f"),
            *(Column(name=f"in {m}", align="right", form=".3f") for m in others),
            Column(name="fires most in", outside=True),
        ),
        rows=rows,
        records=tuple(record for _, record, *_ in shown),
        items=tuple(neuron_name(record.layer, record.neuron) for _, record, *_ in shown),
        keys=2,
        results=(*_RESULTS.get(order, ("change",)), f"in {model}"),
        note=f"Rates are shares of tokens. {count}",
    )


_Found = tuple[float, NeuronRecord, tuple[Text, ...], int, float]


def _top(asked: Tabulation, model: str, layer: int, order: str) -> list[_Found]:
    """The first neurons of a layer, with their sort keys and facts."""
    arrays = asked.arrays("neurons", model=model, layer=layer)
    if arrays is None or not len(arrays["rate"]):
        return []
    rate = arrays["rate"]
    base = _rates(asked, _BASE, layer)
    change = rate - base if base is not None else np.zeros_like(rate)
    scores = asked.arrays("scores", model=model, layer=layer)
    attribution = None if scores is None else scores["attribution"]
    keys: dict[str, Any] = {
        "switched on most": change,
        "switched off most": -change,
        "used most": rate,
        "matters most": attribution if attribution is not None else np.zeros_like(rate),
    }
    key: NDArray[np.float32] = keys.get(order, change)
    count = min(MOST_NEURONS, len(key))
    first = np.argpartition(-key, count - 1)[:count]
    return [
        (
            float(key[j]),
            record := NeuronRecord(
                layer, int(j), None if base is None else float(change[j]), _at(attribution, j)
            ),
            (*record, _at(base, j), float(rate[j])),
            int(arrays["drivers"][0, j]),
            float(arrays["driven"][0, j]),
        )
        for j in first
    ]


def _rates(asked: Tabulation, model: str, layer: int) -> Any:
    arrays = asked.arrays("neurons", model=model, layer=layer)
    return None if arrays is None else arrays["rate"]


def _count(asked: Tabulation, layers: Sequence[int]) -> int:
    return sum(
        len(r) for layer in layers if (r := _rates(asked, asked.choice.model, layer)) is not None
    )


def _counted(shown: int, all_of_them: int) -> str:
    """The number of neurons in the table, and of all."""
    if shown < all_of_them:
        return f"The table holds the first {shown} of {all_of_them:,} neurons."
    return f"The table holds all {shown} neurons." if shown != 1 else "There is one neuron."


def _at(values: Any, j: int) -> float | None:
    return None if values is None else float(values[j])


def _document(documents: Mapping[str, NDArray[Any]] | None, number: int, rate: float) -> str:
    beginnings = () if documents is None else documents["beginning"]
    return f"{rate:.0%} of {number}: {beginnings[number]}" if 0 <= number < len(beginnings) else ""
