"""The answers to the five questions on one tuned model, each in a plain sentence or two.

Owns the wording. core.figures.significance decides significance; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from app.cli.inspection.accounts import GROUPS, Account
from core.figures.figure import Cell
from core.figures.significance import BEYOND, SPREADS, is_null, null_words

UNCHANGED = "Its weights are the base's."
K = TypeVar("K", str, int)

_NOTABLE = 0.01
"""Least share of ‖Δ‖² at which rounding is mentioned."""


class Question(NamedTuple):
    """A question, the name of its answer as data, and the function that answers it for one model.
    `of_several`: another form of the question for several models."""

    title: str
    key: str
    answer: Callable[[Account], str]
    of_several: str = ""


def how_far(of: Account) -> str:
    """The size of the change in units of the base's norm, for attention and MLP."""
    if not _moved(of):
        return UNCHANGED
    parts = _listed(f"{group} {_number(of.size[group])}" for group in GROUPS if group in of.size)
    sentence = (
        f"Moved by {_number(of.size['all'])} of the base's norm{f': {parts}' if parts else ''}."
    )
    if of.dominated:
        return f"{sentence} A tenth of it or more is rounding to the stored dtype."
    if of.rounding is not None and (of.rounding.value or 0) >= _NOTABLE:
        return f"{sentence} Rounding to the stored dtype is {of.rounding.value:.0%} of ‖Δ‖²."
    return sentence


def where(of: Account) -> str:
    """The layers and the kinds of matrices with the largest and smallest change."""
    layers = {layer: cell for layer, cell in of.layers["blocks"].items() if cell.value}
    if not layers:
        return "No layer changed."
    sentence = f"Only layer {next(iter(layers))} changed"
    if len(of.layers["blocks"]) == 1:
        sentence = "There is one layer"
    elif len(layers) > 1:
        sentence = _most_and_least(layers, "layer ").capitalize()
        still = len(of.layers["blocks"]) - len(layers)
        sentence += f"; {still} of {len(of.layers['blocks'])} layers unchanged" if still else ""
    modules = {name: cell for name, cell in of.modules.items() if cell.value}
    if len(modules) < 2:
        return f"{sentence}{f'; of the matrices only {next(iter(modules))}' if modules else ''}."
    return f"{sentence}; of the matrices {_most_and_least(modules)}."


def how_many(of: Account) -> str:
    """The rank of a matrix's change, compared with a random change of its shape."""
    medians = []
    for metric, by_group in of.ranks.items():
        parts = _listed(
            f"{cell.value:.3g} in {group} ({cell.chance:.3g} by chance)"
            for group, cell in by_group.items()
        )
        if parts:
            medians.append(f"{metric.replace('_', ' ')} {parts}")
    if not medians:
        return "There are no ranks: no single matrix changed, or ranks were not computed."
    return f"Median {'; '.join(medians)}."


def new_or_amplified(of: Account) -> str:
    """The alignment with the base's directions, the gain along them, and new directions."""
    if not of.excess:
        return "No change can be compared with the base's directions."
    names = ["the base's directions", *["them"] * len(of.excess)]
    sentence = _listed(
        f"{group} {_keeping(cell, name)}"
        for (group, cell), name in zip(of.excess.items(), names, strict=False)
    )
    sentence = f"{sentence[:1].upper()}{sentence[1:]}."
    gains = _listed(f"{group} {_percent(cell)}" for group, cell in of.gain.items())
    if gains:
        sentence += f" Gain along them: {gains}."
    new = of.intruders.get("blocks")
    if new is not None and of.leading is not None:
        sentence += (
            f" On average over the matrices, {new.value:.2g} of the {of.leading} leading "
            "directions are intruders."
        )
    return sentence


def against_chance(of: Account) -> str:
    """The number of matrices aligned beyond chance, and the cosines with the base and other
    models."""
    sentences = []
    if of.of_matrices:
        matrices = "matrix" if len(of.of_matrices) == 1 else "matrices"
        sentences.append(
            f"The alignment of {beyond_chance(of)} of {len(of.of_matrices)} {matrices} lies "
            "beyond chance."
        )
    turn = of.turn.get("blocks")
    if turn is not None:
        sentences.append(f"Cosine of Δ with the base's layers {_cosine(turn)}.")
    if len(of.cosines) == 1:
        ((other, cell),) = of.cosines.items()
        sentences.append(f"With {other}: cosine {_cosine(cell)}.")
    elif of.cosines:
        most, least = _ends(of.cosines)
        sentences.append(
            f"Nearest is {most}, cosine {_cosine(of.cosines[most])}; furthest {least}, "
            f"{_cosine(of.cosines[least])}."
        )
    return " ".join(sentences) or "No changes to compare."


QUESTIONS = (
    Question("How far?", "how_far", how_far),
    Question("Where?", "where", where),
    Question("In how many directions?", "directions", how_many),
    Question("New directions, or the base's own amplified?", "new_or_amplified", new_or_amplified),
    Question(
        "How does it compare with chance?",
        "comparison",
        against_chance,
        of_several="How do they compare with chance, and with one another?",
    ),
)


def beyond_chance(of: Account) -> int:
    """The number of its matrices with an alignment beyond chance."""
    return sum(not is_null(cell) for cell in of.of_matrices)


def signed(value: float) -> str:
    """Three decimals with a sign; two digits of a number that would round to zero."""
    return f"{value:+.2g}" if 0 < abs(value) < 0.0005 else f"{value:+z.3f}"


def _moved(of: Account) -> bool:
    return bool("all" in of.size and of.size["all"].value)


def _keeping(cell: Cell, directions: str) -> str:
    number = signed(cell.value or 0)
    if is_null(cell):
        return f"neither keeps to {directions} nor avoids them ({number}, {null_words([cell])})"
    kind = "keeps to" if (cell.value or 0) > 0 else "avoids"
    return f"{kind} {directions} ({number} {BEYOND})"


def _percent(cell: Cell) -> str:
    null = null_words([cell])
    return f"{(cell.value or 0) * 100:+z.2g}%{f' ({null})' if null else ''}"


def _cosine(cell: Cell) -> str:
    reach = SPREADS * (cell.chance_sd or 0)
    return f"{signed(cell.value or 0)} (nominal 2 sd = {reach:.1g})"


def _number(cell: Cell) -> str:
    return f"{cell.value:.3g}"


def _ends(cells: Mapping[K, Cell]) -> tuple[K, K]:
    """The keys of the largest and the smallest value."""
    ordered = sorted(cells, key=lambda name: cells[name].value or 0)
    return ordered[-1], ordered[0]


def _most_and_least(cells: Mapping[K, Cell], kind: str = "") -> str:
    most, least = _ends(cells)
    if cells[most].value == cells[least].value:
        return f"the same in all {len(cells)} that changed ({_number(cells[most])})"
    return (
        f"most in {kind}{most} ({_number(cells[most])}), least in {kind}{least} "
        f"({_number(cells[least])})"
    )


def _listed(parts: Iterable[str]) -> str:
    *others, last = [*parts] or [""]
    return f"{', '.join(others)} and {last}" if others else last
