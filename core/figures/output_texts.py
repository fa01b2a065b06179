"""One document with its tokens shaded by how far two models' predictions of them are apart.

Owns the figure, made of stored arrays. Computes nothing; draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.figures.figure import BASE
from core.figures.passages import Block, Passage, Passages, Token, passage
from core.figures.views import Tabulation

SHOWN = 12
"""Places at which the likeliest tokens of both models are told."""

TITLES = {"kl": "KL(tuned ‖ base)", "nll_change": "Change of the negative log-likelihood"}
_NOTES = {
    "kl": "A token's value is the divergence of the predictions before it.",
    "nll_change": "Below 0 the tuned model finds the token likelier than the base does.",
}
_NONE = "This run has no texts for this model. Run the study again; finished results are reused."

Arrays = Mapping[str, NDArray[Any]]


def artifact(probe: str) -> str:
    """The name of the arrays of a probe set; "" is the set of a study with only one."""
    return f"outputs.{probe}" if probe else "outputs"


def of_document(asked: Tabulation) -> Passages:
    """The chosen document, by the chosen measure."""
    choice = asked.choice
    arrays = asked.arrays(artifact(choice.probe), model=choice.model, reference=BASE)
    items: dict[str, int] = {}
    if arrays is not None:
        items = {f"document {d}": int(d) for d in np.unique(arrays["document"])}
    item = choice.item if choice.item in items else next(iter(items), "")
    blocks: tuple[Block, ...] = (Block("", (passage("", _NONE),)),)
    if arrays is not None and item:
        rows = np.flatnonzero(arrays["document"] == items[item])
        blocks = tuple(_blocks(arrays, rows, choice.measure, choice.model))
    measure = TITLES.get(choice.measure, choice.measure)
    return Passages(
        title=" · ".join(filter(None, (measure, item, choice.model, choice.probe))),
        blocks=blocks,
        measure=measure,
        unit="nats",
        signed=choice.measure == "nll_change",
        note=_NOTES.get(choice.measure, "") if item else "",
        items=tuple(items),
        item=item,
        chosen={"model": choice.model, "probe": choice.probe},
    )


def _blocks(arrays: Arrays, rows: NDArray[np.int64], measure: str, model: str) -> Iterator[Block]:
    values = arrays[measure]
    tokens = tuple(Token(_text(arrays, "token", row), float(values[row])) for row in rows)
    mean = float(np.mean(values[rows]))
    yield Block("", (Passage("text", tokens, beside=f"mean {mean:+.3g}"),))
    order = sorted(rows, key=lambda row: -abs(float(values[row])))[:SHOWN]
    places = tuple(_place(arrays, int(row), float(values[row]), model) for row in sorted(order))
    several = len(places) > 1
    heading = f"The {len(places)} places with the largest values"
    yield Block(heading if several else "The largest value", places)


def _place(arrays: Arrays, row: int, value: float, model: str) -> Passage:
    """A token with the likeliest tokens of both models before it."""
    both = "\n".join(
        f"{whose}: {_likeliest(arrays, row, name)}"
        for whose, name in ((BASE, "base"), (model, "own"))
    )
    label = f"{int(arrays['place'][row])} {_shown(_text(arrays, 'token', row))}"
    return passage(label, both, beside=f"{value:+.3g}" if math.isfinite(value) else "")


def _likeliest(arrays: Arrays, row: int, name: str) -> str:
    pairs = zip(range(arrays[name].shape[1]), arrays[f"{name}_share"][row], strict=True)
    return " · ".join(f"{_shown(_text(arrays, name, row, column))} {p:.2f}" for column, p in pairs)


def _text(arrays: Arrays, name: str, *index: int) -> str:
    place, vocabulary = int(arrays[name][index]), arrays["vocabulary"]
    return str(vocabulary[place]) if 0 <= place < len(vocabulary) else ""


def _shown(text: str) -> str:
    """A token in a list: a single space or line break becomes a visible sign."""
    return text.strip() or ("⏎" if "\n" in text else "␣")
