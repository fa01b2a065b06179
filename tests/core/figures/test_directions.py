"""The better direction of a cell: as its metric declares, or the score that it is of."""

from __future__ import annotations

from typing import Any

import pytest

from core.engine import registry
from core.engine.measurement import Better, Measurement
from core.figures.choices import default_choice
from core.figures.figure import Grid
from core.figures.layout import figure
from core.figures.plots import resolution
from core.figures.views import Catalogue

KNOWN: dict[str, Better] = {"acc": "higher", "ppl": "lower"}


@pytest.mark.parametrize(
    ("analysis", "key", "metric", "score", "value", "side"),
    [
        ("evaluation", "difference", "difference", "ppl", -1.5, "better"),
        ("evaluation", "difference", "difference", "acc", -0.1, "worse"),
        ("evaluation", "difference", "difference", "bleu", -0.1, ""),
        # A drop is a loss, whichever direction of the score is better.
        ("ablation", "sources", "drop_percent", "acc", 12.0, "worse"),
        ("ablation", "sources", "drop_percent", "ppl", 12.0, "worse"),
        ("ablation", "sources", "drop_percent", "ppl", -3.0, "better"),
    ],
)
def test_a_cell_is_better_or_worse(
    analysis: str, key: str, metric: str, score: str, value: float, side: str
) -> None:
    declared = registry.get(analysis)
    view = next(view for view in declared.views if view.key == key)
    place: dict[str, Any] = {
        "model": "a", "reference": "base", "task": "t", "metric_of": score,
        "setting": "top-1%" if analysis == "ablation" else "",
    }  # fmt: skip
    ranges = {name: (value,) for name, value in place.items() if value} | {"metric": (metric,)}
    catalogue = Catalogue(ranges=ranges, better=KNOWN)
    row = Measurement(metric=metric, value=value, **place)
    choice = default_choice(view, catalogue)
    made = figure(view, choice, [row], catalogue, declared.metric(metric))
    assert isinstance(made, Grid)
    (cell,) = resolution.grid(made).values()
    assert cell.side == side
