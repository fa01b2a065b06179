"""Curves by rank out of stored arrays: held against the arrays themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from core.engine import registry
from core.figures import spectra
from core.figures.figure import Series
from core.figures.views import Catalogue, Choice, Tabulation

SIGMA = np.geomspace(10.0, 0.1, 1000)


def asked(arrays: Mapping[str, Any], module: str = "q") -> Tabulation:
    def read(name: str, **at: Any) -> Mapping[str, Any] | None:
        wanted = name in ("alignment_curves", "update_spectra")
        return arrays if wanted and at == {"model": "medical", "layer": 2} else None

    choice = Choice(measure="two_sided", model="medical", layer=2, module=module)
    return Tabulation(choice=choice, catalogue=Catalogue(), rows=(), arrays=read)


def points(series: Series) -> dict[int, float]:
    return {x: c.shown for x, c in zip(series.xs, series.cells, strict=True) if c.shown is not None}


def test_the_spectrum_of_an_update_is_read_by_rank() -> None:
    (panel,) = spectra.of_update(asked({"q": SIGMA, "k": SIGMA * 2})).panels
    relative, held = (points(series) for series in panel.series)
    assert len(relative) == spectra.MOST_RANKS
    assert {min(relative), max(relative)} == {1, 1000}
    for rank, value in relative.items():
        assert value == pytest.approx(SIGMA[rank - 1] / SIGMA[0])
    for rank, value in held.items():
        assert value == pytest.approx((SIGMA[:rank] ** 2).sum() / (SIGMA**2).sum())


def test_alignment_shows_the_base_and_the_shares_of_the_update() -> None:
    shares = {name: np.linspace(0.1, at, 30) for at, name in enumerate(spectra._HELD, 1)}
    arrays = {f"q.{name}": values for name, values in shares.items()}
    base, update = spectra.of_alignment(asked(arrays | {"q.singular_values": SIGMA})).panels
    assert [series.name for series in base.series] == ["σ / σ₁", "energy held"]
    assert [series.name for series in update.series] == ["write", "read", "two-sided"]
    for series, values in zip(update.series, shares.values(), strict=True):
        assert series.xs == tuple(range(1, 31))
        assert list(points(series).values()) == pytest.approx(values)


def test_each_share_stands_beside_that_of_a_random_update() -> None:
    """Of updates drawn at random, against the base's true subspaces."""
    rng = np.random.default_rng(0)
    base, updates = rng.normal(size=(12, 20)), rng.normal(size=(4000, 12, 20))
    left, _, right = np.linalg.svd(base)
    inside = (left.T @ updates @ right.T) ** 2  # in the base's coordinates
    inside /= inside.sum((1, 2), keepdims=True)
    shares = {
        "write": inside.sum(2).cumsum(1).mean(0),
        "read": inside.sum(1).cumsum(1).mean(0)[:12],
        "two_sided": np.array([inside[:, :k, :k].sum((1, 2)).mean() for k in range(1, 13)]),
    }
    arrays = {f"q.{name}": values for name, values in shares.items()}
    arrays |= {"q.singular_values": SIGMA[:12], "q.shape": np.array([12, 20])}
    _, update = spectra.of_alignment(asked(arrays)).panels
    own = {series.name: series for series in update.series}
    for key, name in spectra._HELD.items():
        levels = [cell.chance for cell in own[name].cells]
        assert levels == pytest.approx(list(shares[key]), abs=0.003)
        assert [cell.value for cell in own[f"{name} by chance"].cells] == levels
        assert own[f"{name} by chance"].faint


def test_of_experts_the_first_is_shown() -> None:
    (panel,) = spectra.of_update(asked({"gate.0": SIGMA, "gate.1": SIGMA**2}, "gate")).panels
    assert points(panel.series[0])[1000] == pytest.approx(SIGMA[-1] / SIGMA[0])


@pytest.mark.parametrize("arrays", [{}, {"q": np.zeros(3)}, {"q": np.array([])}])
def test_a_matrix_without_a_spectrum_has_no_curves(arrays: Mapping[str, Any]) -> None:
    assert not any(panel.series for panel in spectra.of_update(asked(arrays)).panels)


def test_every_drill_leads_to_a_view_that_there_is() -> None:
    views = {f"{a}:{v.key}": v for a in registry.names() for v in registry.get(a).views}
    led = 0
    for name in registry.names():
        for view in registry.get(name).views:
            if view.drill:
                led += 1
                path = view.drill if ":" in view.drill else f"{name}:{view.drill}"
                assert path in views, path
                assert views[path] is not view
    assert led >= 5
