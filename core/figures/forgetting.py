"""Movement of predictions on one probe set against forgetting on another, as points.

Owns the figure, made of measurements of two metrics. Computes nothing; draws nothing.
"""

from __future__ import annotations

from core.engine.measurement import Measurement
from core.figures.figure import Cell, Point, Scatter
from core.figures.views import Tabulation


def by_divergence(asked: Tabulation) -> Scatter:
    """A point for each tuned model: its KL on the chosen probe set, and its change of the negative
    log-likelihood on the one that is held against it."""
    x, y = asked.choice.probe, str(asked.choice.against)
    found = {(row.metric, row.probe, row.model): row for row in asked.rows}
    points = []
    for model in asked.catalogue.values("model"):
        kl, change = found.get(("kl", x, model)), found.get(("nll_change", y, model))
        if kl is not None and change is not None:
            points.append(Point(model, model, _cell(kl), _cell(change)))
    return Scatter(
        title=f"KL on {x} against the change of NLL on {y}",
        measure="kl",
        unit="nats",
        across="probe set",
        x_name=f"KL on {x}",
        y_name=f"change of NLL on {y}",
        point_name="model",
        points=tuple(points),
        y_guides=(0.0,),
        order=asked.catalogue.models,
        controls=asked.catalogue.controls,
        chosen={"probe": x, "against": y},
    )


def _cell(row: Measurement) -> Cell:
    return Cell(row.value, row.value, row.chance, None, None, row.low, row.high, row.n)
