"""The results of the analysis that computes nothing, as figures are given them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.figures.views import Catalogue, natural
from tests import pretend
from tests.selection import combinations

ROWS = pretend.rows()


def catalogue() -> Catalogue:
    """What storage would say of the rows."""

    def values(name: str) -> tuple[Any, ...]:
        distinct = dict.fromkeys(getattr(row, name) for row in ROWS)
        return tuple(value for value in distinct if value)

    return Catalogue(
        ranges={
            "model": ("base", *pretend.TUNED),
            "reference": ("base", *pretend.TUNED),
            "layer": tuple(pretend.LAYERS),
            "task": values("task"),
            "setting": tuple(sorted(values("setting"), key=natural)),
            "metric_of": values("metric_of"),
            "metric": values("metric"),
        },
        combinations=combinations(ROWS),
    )


RANGES = catalogue()


def arrays(
    name: str,
    *,
    model: str = "",
    reference: str = "",
    layer: int | None = None,
    task: str = "",
    analysis: str = "",
) -> Mapping[str, Any] | None:
    matching = (a for a in pretend.arrays() if (a.name, a.model, a.layer) == (name, model, layer))
    return next((a.arrays for a in matching), None)
