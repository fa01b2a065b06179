"""Curves by rank out of stored arrays: held against the arrays themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest

from core.engine import registry
from core.figures import findings, spectra
from core.figures.figure import Lines, Series
from core.figures.plots import resolution
from core.figures.views import Catalogue, Choice, Tabulation

SIGMA = np.geomspace(10.0, 0.1, 1000)


def asked(
    updates: Mapping[str, Mapping[str, Any]],
    aligned: Mapping[str, Mapping[str, Any]] | None = None,
    module: str = "q",
) -> Tabulation:
    """One matrix of layer 2, by models; `c` is a control."""
    stored = {"update_spectra": updates, "alignment_curves": aligned or {}}
    whose = {"update_spectra": "tuning_vectors", "alignment_curves": "alignment"}

    def read(name: str, *, model: str, layer: int, analysis: str) -> Mapping[str, Any] | None:
        assert (analysis, layer) == (whose[name], 2)
        return stored[name].get(model)

    models = ("base", "a", "b", "c")
    ranges = Catalogue(ranges={"model": models}, controls=frozenset("c"), models=models)
    choice = Choice(measure="two_sided", layer=2, module=module)
    return Tabulation(choice=choice, catalogue=ranges, rows=(), arrays=cast("Any", read))


def told(figure: Lines) -> dict[str, dict[str, dict[int, float]]]:
    """Values by panel, series and rank."""
    return {p.title: {s.name: points(s) for s in p.series} for p in figure.panels}


def points(series: Series) -> dict[int, float]:
    return {x: c.shown for x, c in zip(series.xs, series.cells, strict=True) if c.shown is not None}


def test_the_spectra_of_all_updates_are_read_by_rank() -> None:
    flat = np.ones(1000)
    figure = spectra.of_update(asked({"a": {"q": SIGMA, "k": SIGMA * 2}, "c": {"q": flat}}))
    curves = told(figure)
    assert list(curves) == ["σ / σ₁", "energy held"]
    assert [(s.name, s.control) for s in figure.panels[0].series] == [("a", False), ("c", True)]
    looks = {curve.name: curve.index for curve in resolution.curves(figure).curves}
    assert looks == {"a": 0, "c": 2}, "as in every figure, though b has no spectrum here"
    relative, held = (curves[title]["a"] for title in curves)
    assert len(relative) == spectra.MOST_RANKS
    assert {min(relative), max(relative)} == {1, 1000}
    for rank, value in relative.items():
        assert value == pytest.approx(SIGMA[rank - 1] / SIGMA[0])
    for rank, value in held.items():
        assert value == pytest.approx((SIGMA[:rank] ** 2).sum() / (SIGMA**2).sum())
        assert curves["energy held"]["c"][rank] == pytest.approx(rank / 1000)


def test_half_of_the_energy_is_told_to_the_rank() -> None:
    """Evenly spaced ranks alone would name the next one that is drawn."""
    sharp = np.geomspace(10.0, 0.1, 3000)
    half = next(k for k in range(1, 3001) if 2 * (sharp[:k] ** 2).sum() >= (sharp**2).sum())
    assert half not in np.linspace(1, 3000, spectra.MOST_RANKS).round()
    figure = spectra.of_update(asked({"a": {"q": sharp}, "c": {"q": np.ones(3000)}}))
    assert findings.of_spectrum(figure) == (
        f"q of layer 2: half of Δ's energy lies in {half} (a) to 1500 (c) of 3000 directions."
    )


def test_one_matrix_shows_all_models_beside_the_base() -> None:
    shares = {name: np.linspace(0.1, i, 30) for i, name in enumerate(spectra._SHARES, 1)}
    arrays = {f"q.{name}": values for name, values in shares.items()}
    aligned = {"a": arrays | {"q.singular_values": SIGMA}, "b": arrays}
    curves = told(spectra.of_matrix(asked({"b": {"q": SIGMA[:9]}}, aligned)))
    for (key, title), values in zip(spectra._SHARES.items(), shares.values(), strict=True):
        assert list(curves[title]) == ["a", "b"], key
        assert list(curves[title]["b"].values()) == pytest.approx(list(values))
    assert {title: list(curves[title]) for title in ("σ / σ₁", "energy held")} == {
        "σ / σ₁": ["base", "b"], "energy held": ["base", "b"],
    }  # fmt: skip
    assert curves["σ / σ₁"]["base"][1000] == pytest.approx(0.01)
    assert len(curves["σ / σ₁"]["b"]) == 9


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
    figure = spectra.of_matrix(asked({}, {"a": arrays}))
    panels = {panel.title: panel for panel in figure.panels}
    for key, title in spectra._SHARES.items():
        chance, series = panels[title].series
        levels = [cell.chance for cell in series.cells]
        assert levels == pytest.approx(list(shares[key]), abs=0.003)
        assert (chance.name, chance.faint) == ("chance", True)
        assert [cell.value for cell in chance.cells] == levels


def test_of_experts_the_first_is_shown() -> None:
    of_gate = {"a": {"gate.0": SIGMA, "gate.1": SIGMA**2}}
    curves = told(spectra.of_update(asked(of_gate, module="gate")))
    assert curves["σ / σ₁"]["a"][1000] == pytest.approx(SIGMA[-1] / SIGMA[0])


@pytest.mark.parametrize("arrays", [{}, {"q": np.zeros(3)}, {"q": np.array([])}])
def test_a_matrix_without_a_spectrum_has_no_curves(arrays: Mapping[str, Any]) -> None:
    assert spectra.of_update(asked({"a": arrays})).is_empty


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
