"""Movement of predictions against forgetting, in likelihood or in scores, as points.

Owns the figure, made of measurements of two metrics. Computes nothing; draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.engine.measurement import Measurement
from core.figures.figure import Cell, Point, Scatter
from core.figures.views import Tabulation


def by_divergence(asked: Tabulation) -> Scatter:
    """A point for each tuned model: its KL on the chosen probe set, and its change of the negative
    log-likelihood on the one that is held against it."""
    x, y = asked.choice.probe, str(asked.choice.against)
    row_of = {(row.metric, row.probe, row.model): row for row in asked.rows}
    pairs = {
        model: (row_of.get(("kl", x, model)), row_of.get(("nll_change", y, model)))
        for model in asked.catalogue.values("model")
    }
    return _scatter(
        asked, pairs, f"KL on {x}", f"change of NLL on {y}", "probe set",
        {"probe": x, "against": y},
    )  # fmt: skip


def by_scores(asked: Tabulation) -> Scatter:
    """A point for each tuned model: its KL on its own texts, and its mean score lost elsewhere."""
    row_of = {(row.metric, row.model): row for row in asked.rows}
    pairs = {
        model: (row_of.get(("kl", model)), row_of.get(("mean_lost", model)))
        for model in asked.catalogue.values("model")
    }
    texts = {row.setting for row in asked.rows if row.metric == "kl"}
    units = "nats per token", "share of the base's"
    x = "KL on its own texts" if len(texts) > 1 else "KL on the probe set"
    return _scatter(asked, pairs, x, "score lost elsewhere", "measure", {}, units)


def _scatter(
    asked: Tabulation,
    pairs: Mapping[str, tuple[Measurement | None, Measurement | None]],
    x_name: str,
    y_name: str,
    across: str,
    chosen: Mapping[str, str],
    units: tuple[str, str] = ("nats per token", "nats per token"),
) -> Scatter:
    return Scatter(
        title=f"{x_name} against the {y_name}",
        measure="kl",
        unit="",
        x_unit=units[0],
        y_unit=units[1],
        across=across,
        x_name=x_name,
        y_name=y_name,
        point_name="model",
        points=tuple(
            Point(model, model, _cell(x), _cell(y))
            for model, (x, y) in pairs.items()
            if x is not None and y is not None
        ),
        y_guides=(0.0,),
        order=asked.catalogue.models,
        controls=asked.catalogue.controls,
        chosen=chosen,
    )


def _cell(row: Measurement) -> Cell:
    return Cell(row.value, row.value, row.chance, None, None, row.low, row.high, row.n)
