"""Figures in one plain sentence each, as they are under the choice that a view opens with.

Owns the wording of findings. Reads figures alone: no measurement, no database.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence

from core.figures.figure import BASE, Cell, Grid, Lines, Series, Table
from core.figures.passages import Passages
from core.figures.records import NeuronRecord
from core.figures.significance import is_null
from core.figures.spectra import HELD
from core.models.naming import GROUP_OF
from core.sizes import counted

CONTROLS = "A comparison needs two models that are not controls."
"""The sentence where models are compared with one another and controls are left out."""


def of_sizes(figure: Lines) -> str:
    """One plain sentence on the curves of relative norm."""
    means = {
        (panel.title, series.name): average([c.value for c in series.cells])
        for panel in figure.panels
        for series in panel.series
        if not series.control
    }
    known = {place: mean for place, mean in means.items() if mean is not None}
    drawn = [series for panel in figure.panels for series in panel.series]
    if drawn and all(series.control for series in drawn):
        return "There are only controls here."
    if not any(known.values()):
        return "No tuned model changed the layers' weights."
    by_model: dict[str, float] = {}
    for (_, model), mean in known.items():
        by_model[model] = by_model.get(model, 0) + mean
    most = [model for model, moved in by_model.items() if moved == max(by_model.values())]
    panels = {p: average([v for (q, _), v in known.items() if q == p]) or 0 for p, _ in known}
    stronger = max(panels, key=lambda panel: panels[panel])
    numbers = ", ".join(f"{panel} {value:.3g}" for panel, value in panels.items())
    whose, furthest = "its" if len(most) == 1 else "their", "furthest " * (len(by_model) > 1)
    moved = f"In {whose} layers {' and '.join(most)} moved {furthest}from the base"
    if len(panels) < 2 or len(set(panels.values())) == 1:
        return f"{moved} (mean of all models: {numbers})."
    rest = {panel: value for panel, value in panels.items() if panel != stronger}
    if len(rest) > 1:
        numbers = f"{stronger} {panels[stronger]:.3g}, the next {max(rest.values()):.3g}"
    others = "any other matrix" if len(rest) > 1 else next(iter(rest))
    return f"{moved}; {stronger} changed more for its size than {others} (mean {numbers})."


def of_largest(
    figure: Grid, *, at_zero: str = "its matrices equal the base's", zeros_are: str = "unchanged"
) -> str:
    """Where one model's measure is largest and where it is smallest, among single modules. The
    words say the meaning of a measure of 0: `at_zero` in all matrices, `zeros_are` in some."""
    values = _of_modules(figure, lambda cell: cell.value)
    if not values:
        return ""
    model, most, least = figure.chosen["model"], max(values), min(values)
    zeros = sum(value == 0 for value, _, _ in values)
    if zeros == len(values):
        return f"{model}: {at_zero}."
    words = f"{model}: of the matrices, largest in {most[2]} of layer {most[1]} ({most[0]:.3g})"
    if least[0] == most[0]:
        return f"{model}: {most[0]:.3g} in each of its matrices."
    if zeros and least[0] == 0:
        return f"{words}; {zeros} of {len(values)} are {zeros_are}."
    return f"{words}, smallest in {least[2]} of layer {least[1]} ({least[0]:.3g})."


def of_regime(figure: Grid) -> str:
    """The number of matrices whose measure is above that of a random update, and below it."""
    cells = [
        (cell.value, cell)
        for row in figure.cells
        for module, cell in zip(figure.columns, row, strict=True)
        if module in GROUP_OF and cell is not None and cell.value is not None
    ]
    if not cells or all(value == 0 for value, _ in cells):
        return of_largest(figure)
    beside = [(value, cell, cell.chance) for value, cell in cells if cell.chance is not None]
    some = f"{len(beside)} of " if 0 < len(beside) < len(cells) else ""
    measure, mean = figure.measure.replace("_", " "), average([v for v, *_ in beside or cells])
    words = f"{figure.chosen['model']}: {measure} is {mean:.3g} on average over {some}its matrices"
    if not beside:
        return f"{words}; no random updates were drawn."
    level = average([chance for *_, chance in beside])
    apart = [value > chance for value, cell, chance in beside if not is_null(cell)]
    return (
        f"{words}, {level:.3g} for random updates of their size; above chance in {sum(apart)} of "
        f"{len(beside)}, below in {len(apart) - sum(apart)}."
    )


def of_cosines(figure: Grid) -> str:
    """One plain sentence on the matrix of cosines."""
    pairs = [
        (cell.value, cell, figure.rows[i], figure.columns[j])
        for i, row in enumerate(figure.cells)
        for j, cell in enumerate(row)
        if j > i
        and cell is not None
        and cell.value is not None
        and not {figure.rows[i], figure.columns[j]} & figure.controls
    ]
    if not pairs and len(set(figure.rows) - figure.controls) < 2 <= len(figure.rows):
        return CONTROLS
    if not pairs:
        return "There is no pair of tuning vectors to compare."
    by_value = operator.itemgetter(0)
    most, least = max(pairs, key=by_value), min(pairs, key=by_value)
    text = f"{place(figure)}{most[2]} and {most[3]} share the most (cosine {most[0]:+.2f})"
    if len(pairs) > 1 and most[0] == least[0]:
        text = f"{place(figure)}all {len(pairs)} pairs share as much (cosine {most[0]:+.2f})"
    elif most != least:
        text += f", {least[2]} and {least[3]} the least ({least[0]:+.2f})"
    if most[1].control is not None:
        return f"{text}; cosines with a control reach {most[1].control:.2g}."
    reach = 2 * (most[1].chance_sd or 0.0)
    return f"{text}; independent parameters would stay within ±{reach:.1g} (2 sd)."


def of_alignment(figure: Grid) -> str:
    """One plain sentence on the heat map of one model."""
    values = _of_modules(figure, lambda cell: cell.excess)
    if not any(column in GROUP_OF for column in figure.columns):
        return ""
    if not values:
        return "No update here can be compared with the base's directions."
    most, least = max(values), min(values)
    return (
        f"{figure.chosen['model']} keeps most to the base's directions in {most[2]} of layer "
        f"{most[1]} ({most[0]:+.2f} beyond chance), least in {least[2]} of layer {least[1]} "
        f"({least[0]:+.2f})."
    )


def of_attention_against_mlp(figure: Grid) -> str:
    """One plain sentence on attention against MLP, made of the excess over chance."""
    pairs = [
        cells
        for model, row in zip(figure.rows, figure.cells, strict=True)
        if model not in figure.controls and all(c is not None and c.value is not None for c in row)
        for cells in [dict(zip(figure.columns, row, strict=True))]
    ]
    if len(figure.columns) < 2:
        return ""
    if not set(figure.rows) - figure.controls:
        return "There are only controls here."
    if not pairs:
        return "Attention and MLP can't be compared: one of them did not change."
    means = {c: sum(_value(cells[c]) for cells in pairs) / len(pairs) for c in figure.columns}
    high, low = sorted(means, key=lambda column: -means[column])
    apart = sum(_apart(cells[high], cells[low]) for cells in pairs)
    kind = "keep to" if means[high] > 0 else "avoid"
    more = "more" if means[high] > 0 else "less"
    comparison = f"of {high} {kind} the base's directions {more} than updates of {low}"
    alike = not apart and all(_meet(*cells.values()) for cells in pairs)
    if alike or means[high] == means[low]:
        comparison = f"of {high} and {low} can't be told apart in this"
    return (
        f"Updates {comparison} ({means[high]:+.3f} against {means[low]:+.3f} beyond chance; 95 % "
        f"intervals apart for {apart} of {counted(len(pairs), 'model')})."
    )


def of_spectrum(figure: Lines) -> str:
    """One plain sentence on the spectra of one matrix: in how few directions their energy lies."""
    held = [series for p in figure.panels if p.title == HELD for series in p.series]
    matrix = f"{figure.chosen['module']} of layer {figure.chosen['layer']}"
    halves = {series.name: half for series in held if (half := next(_half(series), 0))}
    if not halves:
        return f"{matrix}: no values; the matrix is zero, or was not measured."
    every = f"of {counted(held[0].xs[-1], 'direction')}"
    parts = [f"half of W's energy lies in {halves.pop(BASE)} {every}"] if BASE in halves else []
    few, many = (by(halves, key=lambda m: halves[m], default="") for by in (min, max))
    if few:
        least, most = halves[few], halves[many]
        count = f"{least} ({few}) to {most} ({many})" if most > least else f"{least}"
        whose = "" if most > least else f" ({few})"
        parts.append(f"half of Δ's energy lies in {count} {every}{whose}")
    return f"{matrix}: {'; '.join(parts)}."


def _half(series: Series) -> Iterator[int]:
    """The drawn ranks up to which at least half of the energy lies, among them the least one."""
    known = zip(series.xs, series.cells, strict=True)
    return (x for x, cell in known if (cell.value or 0.0) >= 0.5)


def of_heads(figure: Grid) -> str:
    """One plain sentence on the heads that keep most and least to the base's directions."""
    known = [
        (cell.excess, head, layer)
        for layer, row in zip(figure.rows, figure.cells, strict=True)
        for head, cell in zip(figure.columns, row, strict=True)
        if cell is not None and cell.excess is not None and not is_null(cell)
    ]
    whose = f"{figure.chosen['model']}, {figure.chosen['module']}"
    if not known:
        return f"{whose}: no head differs from chance."
    ends = (max(known), min(known))
    words = [f"head {head} of layer {layer} ({excess:+.2g})" for excess, head, layer in ends]
    most, least = words
    return f"{whose}, beyond chance: {most} keeps most to the base's directions, {least} least."


def of_context(figure: Passages) -> str:
    """One plain sentence on a neuron in context: how large it gets in each model."""
    sizes: dict[str, list[float]] = {}
    for block in figure.blocks:
        model = block.heading.rpartition(" ")[2]
        values = (token.value for passage in block.passages for token in passage.tokens)
        sizes.setdefault(model, []).extend(abs(value) for value in values if value is not None)
    peaks = [f"{max(norms):.3g} in {model}" for model, norms in sizes.items() if norms]
    return f"{figure.title}: |h| reaches {', '.join(peaks)}." if peaks else ""


def of_neurons(figure: Table) -> str:
    """One plain sentence on the table of neurons: the one that comes first."""
    records: tuple[NeuronRecord, ...] = figure.records
    if not records:
        return ""
    if all(record.change == 0 for record in records):
        return f"{figure.title}: the rates of these neurons are unchanged."
    first = records[0]
    known = []
    if first.change is not None:
        known.append(f"its rate changed by {first.change:+.3f}")
    if first.attribution is not None:
        known.append(f"its attribution is {first.attribution:.3g}")
    facts = f"; {', '.join(known)}" if known else ""
    return f"{figure.title}: neuron {first.neuron} of layer {first.layer} comes first{facts}."


def of_activation(figure: Lines) -> str:
    """One plain sentence on the curves of activated neurons."""
    base, tuned = _base_and_tuned(figure)
    if base is None or not tuned:
        return ""
    gaps = [
        (cell.value - base_cell.value, name, x)
        for name, cells in tuned.items()
        for x, cell in cells.items()
        if (base_cell := base.get(x)) is not None
        and base_cell.value is not None
        and cell.value is not None
    ]
    if not gaps:
        return ""
    most = max(gaps, key=lambda gap: abs(gap[0]))
    if most[0] == 0:
        return f"{where(figure, 'setting')}Tuned models activate as many neurons as the base."
    mean = average([abs(gap) for gap, _, _ in gaps])
    level = average([cell.value for cell in base.values()])
    return (
        f"{where(figure, 'setting')}The base activates {level:.1f} % of its neurons at a token; "
        f"tuned models differ from it by {mean:.1f} points on average over layers, at most by "
        f"{most[0]:+.1f} ({most[1]}, layer {most[2]})."
    )


def of_distances(figure: Lines) -> str:
    """One plain sentence on the curves of distance over baseline."""
    means = {
        series.name: mean
        for panel in figure.panels
        for series in panel.series
        if not series.control and (mean := average([c.value for c in series.cells])) is not None
    }
    if not means:
        return ""
    least, most = min(means, key=lambda m: means[m]), max(means, key=lambda m: means[m])
    words = f"{where(figure, 'setting')}{least} keeps most of the base's patterns "
    if means[most] == 0:
        words = f"{where(figure, 'setting')}The base's patterns are unchanged "
    elif len(means) > 1 and means[least] == means[most]:
        words = f"{where(figure, 'setting')}All models keep as much of the base's patterns "
    words += f"(mean ratio {means[least]:.2f})"
    if means[least] != means[most]:
        words += f", {most} least ({means[most]:.2f})"
    return f"{words}; 0 is the same neurons, 1 as far apart as unlike documents."


def of_baseline(figure: Lines) -> str:
    """One plain sentence on one model's distances against those of independent patterns."""
    lines = [series for panel in figure.panels for series in panel.series]
    observed = next((s for s in lines if not s.companion), None)
    if observed is None:
        return ""
    known = [c for c in observed.cells if c.value is not None and c.chance is not None]
    below = [c for c in known if c.high is not None and c.high < (c.chance or 0)]
    mean, chance = average([c.value for c in known]), average([c.chance for c in known])
    if mean is None or chance is None:
        return ""
    return (
        f"{figure.chosen['model']}: {mean:.3f} of the neurons differ on average over layers, "
        f"{chance:.3f} by chance; below chance in {len(below)} of {counted(len(known), 'layer')}."
    )


def average(values: Sequence[float | None]) -> float | None:
    """The mean of the known values; None without any."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def where(figure: Lines | Grid, *coordinates: str) -> str:
    """The chosen values of these coordinates, as the beginning of a sentence."""
    chosen = (figure.chosen.get(coordinate, "") for coordinate in coordinates)
    words = ", ".join(filter(None, chosen))
    return f"{words}: " if words else ""


def place(figure: Grid) -> str:
    """The layer and the module of a matrix of models, as the beginning of a sentence."""
    layer, module = (figure.chosen.get(name, "all") for name in ("layer", "module"))
    if (layer, module) == ("all", "all"):
        return "Of all weights together, " if figure.chosen else ""
    layers = "all layers" if layer == "all" else f"layer {layer}"
    return f"In {'all modules' if module == 'all' else module} of {layers}, "


def _base_and_tuned(figure: Lines) -> tuple[dict[int, Cell] | None, dict[str, dict[int, Cell]]]:
    """The cells by layer of the base, and of each tuned model that is no control."""
    lines = {
        series.name: dict(zip(series.xs, series.cells, strict=True))
        for panel in figure.panels
        for series in panel.series
        if not series.control
    }
    return lines.pop("base", None), lines


def _of_modules(
    figure: Grid, number: Callable[[Cell], float | None]
) -> list[tuple[float, str, str]]:
    """The known numbers of a heat map with their layer and module; groups are left out."""
    return [
        (known, layer, module)
        for layer, row in zip(figure.rows, figure.cells, strict=True)
        for module, cell in zip(figure.columns, row, strict=True)
        if module in GROUP_OF and cell is not None and (known := number(cell)) is not None
    ]


def _value(cell: Cell | None) -> float:
    return cell.value if cell is not None and cell.value is not None else math.nan


def _meet(one: Cell | None, other: Cell | None) -> bool:
    """Have two cells of one model intervals that meet?"""
    known = [c for c in (one, other) if c is not None and c.low is not None and c.high is not None]
    return len(known) == 2 and not (_apart(*known) or _apart(*known[::-1]))


def _apart(higher: Cell | None, lower: Cell | None) -> bool:
    """Do the intervals of two cells of one model not meet?"""
    if higher is None or lower is None or higher.low is None or lower.high is None:
        return False
    return higher.low > lower.high
