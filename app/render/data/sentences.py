"""The chance level and the method of a figure, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from app.results.figures import Shown
from core.figures.figure import Cell, Table
from core.figures.passages import Passages
from core.figures.plots.plot import in_words, shared_direction
from core.figures.plots.values import shows_raw
from core.figures.significance import judge, null_words
from core.sizes import among


def on_chance(together: Sequence[Shown]) -> str:
    """The chance level of figures side by side, and the share of values within it.

    Empty for tables, whose columns show it, and for texts.
    """
    if isinstance(together[0].figure, Table | Passages):
        return ""
    measured = (c.difference or c for each in together for c in each.figure.measured())
    cells = [cell for cell in measured if cell.shown is not None]
    known = [cell for cell in cells if cell.chance is not None]
    if not known:
        return "No chance level is known for this measure."
    if all(map(shows_raw, known)):
        note = _levels(known)
    elif all(cell.shown == cell.excess for cell in known):
        note = "The figure shows the value beyond chance: 0 is the chance level."
    else:
        return "The figure shows the chance level."
    judged = [verdict for cell in known if (verdict := judge(cell)) is not None]
    if judged:
        null = sum(verdict.is_null for verdict in judged)
        words = null_words(known, in_full=True)
        note += (
            f" {among(null, len(judged), 'value', 'does', 'do')} not differ from chance: {words}."
            if null
            else f" All {len(judged)} values differ from chance."
            if len(judged) > 1
            else " The value differs from chance."
        )
    return note


def on_method(together: Sequence[Shown]) -> str:
    """The measure as its analysis declares it; empty for views with many measures or none."""
    first = together[0]
    if first.view.tabulate is not None:
        return ""
    measure = first.choice.measure
    names = [measure]
    if first.choice.reading == "excess":
        names.append(first.view.excess[measure])
    metrics = []
    for name in names:
        spec = first.analysis.metric(name)
        unit = f" ({spec.unit})" if spec.unit else ""
        metrics.append(f"{spec.title[:1].upper()}{spec.title[1:]}{unit}: {spec.description}")
    if better := in_words(shared_direction(first.figure.measured())):
        metrics.append(f"{better.capitalize()}.")
    return " ".join(metrics)


def _levels(known: Sequence[Cell]) -> str:
    levels = [cell.chance for cell in known if cell.chance is not None]
    spreads = [cell.chance_sd for cell in known if cell.chance_sd]
    spread = f", give or take {max(spreads):.2g} (one standard deviation)" if spreads else ""
    if spreads and max(spreads) > 1.1 * min(spreads):
        spread = f", give or take {min(spreads):.2g} to {max(spreads):.2g} (one standard deviation)"
    low, high = min(levels), max(levels)
    if high - low <= 1e-9 * max(1.0, abs(high)):
        return f"Chance alone would give {low:.3g}{spread}."
    return f"Chance alone would give {low:.3g} to {high:.3g}, depending on the place{spread}."
