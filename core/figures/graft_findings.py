"""The figures of grafts in one sentence each. Reads cells, never printed words."""

from __future__ import annotations

from core.figures.figure import Cell, Grid, Lines
from core.figures.findings import CONTROLS
from core.figures.significance import is_null
from core.sizes import counted

NO_GAIN = "No tuned model has a significant gain on these texts: there is nothing to regain."

ENOUGH = 0.9
"""The share of the gain that sentences ask for."""


def of_layers(figure: Lines) -> str:
    """The layer of each model that regains most by itself, if any does significantly."""
    best, gaining = [], False
    for series in figure.panels[0].series if figure.panels else ():
        known = [
            (cell, x)
            for x, cell in zip(series.xs, series.cells, strict=True)
            if cell.shown is not None and not series.control
        ]
        gaining = gaining or bool(known)
        sure = [(share, x) for cell, x in known if (share := _certain(cell)) is not None]
        if sure:
            value, layer = max(sure, key=lambda each: each[0])
            best.append(f"{series.name} {layer} ({_share(figure, value)})")
    if not best:
        return "No single layer regains a significant share." if gaining else NO_GAIN
    return f"The layer that regains most by itself: {', '.join(best)}."


def of_parts(figure: Grid) -> str:
    """One model's strongest single part of a layer."""
    model = figure.chosen["model"]
    if _is_undefined(figure):
        return f"{model} has no significant gain on these texts: there is nothing to regain."
    cells = [
        (share, layer, part)
        for layer, row in zip(figure.rows, figure.cells, strict=True)
        for part, cell in zip(figure.columns, row, strict=True)
        if (share := _certain(cell)) is not None
    ]
    if not cells:
        return f"{model}: no part of a single layer regains a significant share."
    value, layer, part = max(cells)
    whole = {"blocks": f"layer {layer}"}.get(part, f"the {part} of layer {layer}")
    return f"{model}: {whole} alone regains most ({_share(figure, value)})."


def of_modules(figure: Grid) -> str:
    """The single kind of module that regains most, and its model."""
    if _is_undefined(figure):
        return NO_GAIN
    shares = [
        (share, module, model)
        for model, row in zip(figure.rows, figure.cells, strict=True)
        for module, cell in zip(figure.columns, row, strict=True)
        if (share := _certain(cell)) is not None
        and model not in figure.controls
        and module not in ("blocks", "attention", "mlp")
    ]
    if not shares:
        every = set(figure.rows) <= figure.controls
        return CONTROLS if every else "No single kind of module regains a significant share."
    value, module, model = max(shares)
    return (
        f"Of single kinds of modules, {module} of {model} regains most ({_share(figure, value)})."
    )


def of_sets(figure: Lines) -> str:
    """The number of layers that suffice, and the share that random sets of as many keep."""
    model = figure.chosen["model"]
    greedy = next((s for p in figure.panels for s in p.series if not s.companion), None)
    if greedy is None:
        return f"{model}: no greedy search, since the model gains nothing on these texts."
    last = greedy.cells[-1]
    if last.value is None:
        return f"{model}: the share that its greedy set regains is unknown."
    text = (
        f"{model}: the greedy set of {counted(len(greedy.cells), 'layer')} regains {last.value:.0%}"
    )
    if last.chance is None:
        return f"{text} of the gain; these are all its layers."
    sd = f" (sd {last.chance_sd:.0%})" if last.chance_sd is not None else ""
    beyond = "not beyond them" if is_null(last) else "beyond them"
    return f"{text} of the gain, random sets of equal size {last.chance:.0%}{sd}: {beyond}."


def of_order(figure: Grid) -> str:
    """The layers of each model's greedy set, in their order."""
    orders = []
    for model, row in zip(figure.rows, figure.cells, strict=True):
        taken = sorted(
            (cell.value, layer)
            for layer, cell in zip(figure.columns, row, strict=True)
            if cell is not None and cell.value is not None
        )
        if taken:
            orders.append(f"{model} {', '.join(layer for _, layer in taken)}")
    return f"Layers in the order in which they help most: {'; '.join(orders)}." if orders else ""


def of_ranks(figure: Lines) -> str:
    """The smallest rank at which each model keeps enough."""
    ranks = []
    for series in figure.panels[0].series if figure.panels else ():
        if series.control:
            continue
        known = [
            (figure.x_names[x], cell.value)
            for x, cell in zip(series.xs, series.cells, strict=True)
            if cell.value is not None
        ]
        enough = next(((name, share) for name, share in known if share >= ENOUGH), None)
        if enough is not None:
            ranks.append(f"{series.name} {enough[0].removeprefix('rank-')} ({enough[1]:.0%})")
        elif known:
            ranks.append(f"{series.name} none ({known[-1][1]:.0%} at {known[-1][0]})")
    if not ranks or figure.measure != "regained":
        return ""
    return f"The rank at which cut changes keep {ENOUGH:.0%} of the gain: {', '.join(ranks)}."


def _certain(cell: Cell | None) -> float | None:
    """The share or the gain that a part regains; None if it is not significant, or a loss."""
    if cell is None or cell.shown is None or cell.shown <= 0 or is_null(cell):
        return None
    return cell.shown


def _is_undefined(figure: Grid) -> bool:
    cells = [cell for row in figure.cells for cell in row if cell is not None]
    return bool(cells) and all(cell.shown is None for cell in cells)


def _share(figure: Lines | Grid, value: float) -> str:
    return f"{value:.0%}" if figure.measure == "regained" else f"{value:+.3f} nats"
