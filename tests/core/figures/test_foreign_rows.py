"""No rows that a database may hold make a finding fail: it says less, it does not raise."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from core.engine import registry
from core.engine.measurement import ABSENT, Measurement
from core.figures.choices import default_choice, query
from core.figures.layout import figure
from core.figures.views import GROUPS, Catalogue, Query

MODELS = ("base", "a", "b", "odd\nname")
SERIES = ("s@1", "s@20")
ARRAYS = (
    "neurons", "neuron", "items", "item", "behind", "broken", "point", "text", "readout",
    "tokens", "embeddings", "members",
)  # fmt: skip
"""Views whose rows are in arrays, texts, which speak for themselves, and members of a group, which
rows by chance hardly have at one place."""
SETTINGS: dict[str, tuple[str, ...]] = {
    "": ("magnitude", "product"),
    "arithmetic": (
        "base", "a=1", "a=1,b=0.5", "a=0.5,b=1", "removal:a=1", "no point", "a=", "a=1,b",
    ),
    "ablation": ("top-1%", "all-active", "random-top-1%-seed0"),
    "graft": ("layers-1", "layers-2", "layers-", "rank-4", "rank-full", "rank-odd"),
}  # fmt: skip
NUMBERS = (None, 0.0, 1.0, -2.5, 1e300, math.inf, -math.inf)
POOLS: dict[str, tuple[Any, ...]] = {
    "model": MODELS, "reference": MODELS, "layer": (0, 1), "module": ("q", "up", *GROUPS),
    "task": ("domain:d", "domain:e", "t@d", "t"), "metric_of": ("acc", "bleu"),
}  # fmt: skip
OWN = {("divergence", "metric_of"): ("kl", "nll_change"), ("divergence", "probe"): ("one", "two")}
"""The values of an analysis's coordinates, where its figures ask for some by name."""
VIEWS = [(name, view.key) for name in registry.names() for view in registry.get(name).views]


def _pool(name: str, coordinate: str) -> tuple[Any, ...]:
    return OWN.get((name, coordinate)) or POOLS.get(coordinate, ())


def _row(name: str, asked: Query, chance: random.Random, models: tuple[str, ...]) -> Measurement:
    """A row that is asked for, as any database may hold it: odd numbers, gaps, no order."""
    coordinates: dict[str, Any] = {}
    for coordinate, missing in ABSENT.items():
        wanted = asked[coordinate]
        values = _pool(name, coordinate) or SETTINGS.get(name, SETTINGS[""])
        values = models if coordinate in ("model", "reference") else values
        if wanted == "any":
            values = (*values, missing)
        elif wanted == "absent":
            values = (missing,)
        elif wanted != "present":
            values = wanted
        coordinates[coordinate] = chance.choice(values)
    numbers: dict[str, Any] = {
        key: chance.choice(NUMBERS) for key in ("value", "low", "high", "chance")
    }
    sd, n = chance.choice((None, 0.0, 0.1, math.inf)), chance.choice((None, 0, 1, 7))
    return Measurement(
        metric=str(chance.choice(asked["metric"])), chance_sd=sd, n=n, **coordinates, **numbers
    )


@pytest.mark.parametrize(("name", "key"), VIEWS)
def test_a_finding_holds_whatever_the_rows_are(name: str, key: str) -> None:
    analysis = registry.get(name)
    view = next(each for each in analysis.views if each.key == key)
    models = (*MODELS, *SERIES) if view.loose else MODELS
    catalogue = Catalogue(
        ranges={
            "model": models,
            "reference": MODELS,
            "layer": (0, 1),
            "module": POOLS["module"],
            "task": POOLS["task"],
            "setting": SETTINGS.get(name, SETTINGS[""]),
            "metric_of": _pool(name, "metric_of"),
            "probe": _pool(name, "probe"),
            "metric": (*(m.name for m in analysis.metrics), "acc"),
        },
        controls=frozenset({"b"}),
        groups={"g": ("a", "b"), "h": ("odd\nname", "s@1")},
    )
    choice = default_choice(view, catalogue)
    asked, spec = query(view, choice, catalogue), analysis.metric(choice.measure)
    count = 0
    for seed in range(60):
        chance = random.Random(seed)
        rows = [_row(name, asked, chance, models) for _ in range(chance.choice((1, 5, 100)))]
        count += bool(view.finding(figure(view, choice, rows, catalogue, spec)))
    assert count or key in ARRAYS, "rows like these say something, or nothing was tested"
