"""The tokens of an update's directions: their tables, and their figures in one sentence each.

Owns the columns and rows of the tables. Computes nothing; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from core.figures.figure import BASE, Cell, Column, Grid, Lines, Table
from core.figures.findings import average
from core.figures.records import DirectionRecord, MovedRecord
from core.figures.significance import SPREADS
from core.figures.views import Tabulation
from core.sizes import counted

Arrays = Mapping[str, NDArray[Any]]

WRITES = ("o", "down", "fc_out")
RANDOM = "random"
TOLD = 4
"""Tokens of an end in a sentence."""

BY_LUCK = 0.023
"""The share of normal values above their mean by more than two standard deviations."""

_NONE = (
    "Nothing changed here, or the matrix neither reads from nor writes into the residual stream."
)


def tokens(asked: Tabulation) -> Table:
    """One matrix: a row each direction of its update, of W and of some random ones."""
    choice = asked.choice
    model, module, layer = choice.model, choice.module, choice.layer
    side = "write" if module in WRITES else "read"
    base = asked.arrays("directions", model=BASE, layer=layer) or {}
    tuned = asked.arrays("directions", model=model, layer=layer) or {}
    level = next((row for row in asked.rows if row.expert is None), None)
    rows, records = [], []
    sources = (("Δ", tuned, module), ("W", base, module), (RANDOM, base, f"{RANDOM} {side}"))
    for whose, arrays, name in sources if any(_stored(tuned, module)) else ():
        for label, rank, share, kurtosis, ends in _directions(whose, arrays, name):
            listed = (" · ".join(end) for end in ends)
            rows.append((label, rank, kurtosis, share, *listed))
            records.append(DirectionRecord(whose, kurtosis, ends, level))
    verb = "writes" if side == "write" else "reads"
    return Table(
        title=f"What Δ {verb} · {model} · layer {layer} · {module}",
        columns=(
            Column(name="of"),
            Column(name="direction", align="right"),
            Column(name="kurtosis", align="right", form=".1f"),
            Column(name="energy", align="right", form=".3f"),
            Column(name="tokens at one end", outside=True),
            Column(name="at the other", outside=True),
        ),
        rows=tuple(rows),
        records=tuple(records),
        keys=2,
        results=("kurtosis",),
        note="The sign of a direction is arbitrary. Energy: its share of ‖Δ‖², or of ‖W‖². The "
        "outermost tokens come first." if rows else _NONE,
        chosen={"model": model, "layer": str(layer), "module": module},
    )  # fmt: skip


def moved(asked: Tabulation) -> Table:
    """A row each token whose embedding moved most, with its neighbours before and after."""
    model, module = asked.choice.model, asked.choice.module
    arrays = asked.arrays("moved", model=model) or {}
    mean = next((row.value for row in asked.rows), None)
    records = [
        MovedRecord(_token(arrays, token), float(move), mean)
        for token, move in zip(*(arrays.get(f"{module}.{k}", ()) for k in ("tokens", "moves")),
                            strict=True)
    ]  # fmt: skip
    near = [
        [
            " · ".join(_text(arrays, token) for token in row)
            for row in arrays.get(f"{module}.{when}", ())
        ]
        for when in ("before", "after")
    ]
    return Table(
        title=f"Tokens that moved most · {model} · {module}",
        columns=(
            Column(name="token", outside=True),
            Column(name="move", align="right", form=".4f"),
            Column(name="nearest before", outside=True),
            Column(name="nearest after", outside=True),
        ),
        rows=tuple(
            (record.token, record.move, *both) for record, *both in zip(records, *near, strict=True)
        ),
        records=tuple(records),
        results=("move",),
        note="Move: ‖Δe‖/‖e‖ of the token's row. Neighbours by cosine, nearest first.",
        chosen={"model": model, "module": module},
    )


def of_concentration(figure: Grid) -> str:
    """The layer of a model whose directions concern the fewest tokens, beside chance."""
    known = [
        (_distance(cell), cell, f"{module} of layer {layer}")
        for layer, row in zip(figure.rows, figure.cells, strict=True)
        for module, cell in zip(figure.columns, row, strict=True)
        if cell is not None and cell.value is not None
    ]
    if not known:
        return ""
    _, cell, where = max(known, key=lambda each: each[0])
    beyond = sum(distance > SPREADS for distance, *_ in known)
    lie = "lies" if beyond == 1 else "lie"
    matrices = counted(len(known), "matrix", "matrices")
    return (
        f"{figure.chosen['model']} is furthest above chance in {where} (kurtosis "
        f"{cell.value:.1f}{_chance(cell)}); {beyond} of {matrices} {lie} {SPREADS} sd "
        f"above, about {round(BY_LUCK * len(known))} by luck."
    )


def of_depth(figure: Lines) -> str:
    """The model whose directions concern the fewest tokens in the mean of its layers, beside W."""
    drawn = [s for panel in figure.panels for s in panel.series if not s.companion]
    means = {s.name: average([c.value for c in s.cells]) for s in drawn}
    tuned = {s.name: means[s.name] for s in drawn if not s.control and s.name != BASE}
    known = {name: mean for name, mean in tuned.items() if mean is not None}
    if not known:
        return ""
    most = max(known, key=lambda name: known[name])
    levels = average([c.chance for s in drawn if s.name == most for c in s.cells])
    beside = [] if levels is None else [f"random directions {levels:.1f}"]
    beside += [f"W's own {means[BASE]:.1f}"] if means.get(BASE) is not None else []
    controls = [m for s in drawn if s.control and (m := means[s.name]) is not None]
    beside += [f"a control's {max(controls):.1f}"] if controls else []
    kurtosis = f"(mean kurtosis {known[most]:.1f}{'; ' if beside else ''}{', '.join(beside)})"
    module = figure.chosen["module"]
    if levels is not None and known[most] <= levels:
        return (
            f"{module}: no model's directions concentrate on fewer tokens than random ones "
            f"{kurtosis}."
        )
    return f"{module}: the directions of {most} concentrate on the fewest tokens {kurtosis}."


def of_tokens(figure: Table) -> str:
    """The direction of Δ that concerns the fewest tokens, and its tokens; empty if it is noise."""
    records: tuple[DirectionRecord, ...] = figure.records
    updates = [each for each in records if each.whose == "Δ"]
    if not updates:
        return ""
    most = max(updates, key=lambda each: each.kurtosis)
    where = ", ".join(f"{k} {v}" if k == "layer" else v for k, v in figure.chosen.items())
    random = [each.kurtosis for each in records if each.whose == RANDOM]
    if random and most.kurtosis <= max(random):
        return (
            f"{where}: no direction of Δ concentrates on fewer tokens than {len(random)} random "
            f"ones (kurtosis at most {most.kurtosis:.1f}, random {max(random):.1f})."
        )
    one, other = (", ".join(end[:TOLD]) for end in most.ends)
    return (
        f"{where}: the direction with the highest kurtosis ({most.kurtosis:.1f}) has {one} at one "
        f"end, {other} at the other."
    )


def of_moved(figure: Table) -> str:
    """The tokens that moved most, beside the mean of all."""
    records: tuple[MovedRecord, ...] = figure.records
    where = f"{figure.chosen['model']}, {figure.chosen['module']}"
    if not records:
        return f"{where}: no token moved."
    first = ", ".join(each.token.strip() or "␣" for each in records[:TOLD])
    mean = records[0].mean
    beside = "" if mean is None else f"; the mean of all tokens is {mean:.3g}"
    return f"{where}: {first} moved most (up to {records[0].move:.3g}{beside})."


_Direction = tuple[str, int, float | None, float, tuple[tuple[str, ...], tuple[str, ...]]]


def _directions(whose: str, arrays: Arrays, module: str) -> Iterator[_Direction]:
    """Each direction of a matrix, or of each expert that was read."""
    for name in _stored(arrays, module):
        expert = name.removeprefix(module).removeprefix(".")
        label = f"{whose} of expert {expert}" if expert else whose
        shares, kurtosis = arrays[f"{name}.share"], arrays[f"{name}.kurtosis"]
        for index, (share, value) in enumerate(zip(shares, kurtosis, strict=True)):
            one, other = (
                tuple(_text(arrays, token) for token in end)
                for end in arrays[f"{name}.tokens"][index]
            )
            energy = None if whose == RANDOM else float(share)
            yield label, index + 1, energy, float(value), (one, other)


def _stored(arrays: Arrays, module: str) -> Iterator[str]:
    """The names of a module in stored arrays: its own, or its experts' names."""
    for name in (each.removesuffix(".share") for each in arrays if each.endswith(".share")):
        if name == module or name.startswith(f"{module}."):
            yield name


def _text(arrays: Arrays, index: int) -> str:
    """A token in a list, without its spaces."""
    return _token(arrays, index).strip() or "␣"


def _token(arrays: Arrays, index: int) -> str:
    """A token with its spaces; a single line break becomes a visible sign."""
    words = arrays["vocabulary"]
    text = str(words[index]) if 0 <= index < len(words) else ""
    return "⏎" if "\n" in text and not text.strip() else text


def _chance(cell: Cell) -> str:
    if cell.chance is None:
        return ""
    spread = f" ± {SPREADS * cell.chance_sd:.1f}" if cell.chance_sd else ""
    return f"; random directions {cell.chance:.1f}{spread}"


def _distance(cell: Cell) -> float:
    """The excess of a value over chance, in standard deviations."""
    if cell.value is None or cell.chance is None or not cell.chance_sd:
        return 0.0
    return (cell.value - cell.chance) / cell.chance_sd
