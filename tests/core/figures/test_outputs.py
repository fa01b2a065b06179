"""Figures of divergence and of shifted tokens, made of measurements and stored arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from core.engine.measurement import Measurement
from core.figures import forgetting, output_findings, output_tables, output_texts, shift_tables
from core.figures.layout import no_arrays
from core.figures.views import Catalogue, Choice, Tabulation

KL = {"a": (1.0, 0.1), "b": (2.0, 0.3), "c": (3.0, -0.2), "control": (0.1, 0.0)}
"""KL on `one`, and change of NLL on `two`."""


def _asked(choice: Choice, rows: Any = (), arrays: Any = no_arrays, **ranges: Any) -> Tabulation:
    catalogue = Catalogue(
        ranges={"model": tuple(KL), "probe": ("one", "two"), **ranges},
        controls=frozenset({"control"}),
    )
    return Tabulation(choice=choice, catalogue=catalogue, rows=tuple(rows), arrays=arrays)


def _rows() -> list[Measurement]:
    coordinates: dict[str, Any] = {"reference": "base", "n": 9}
    return [
        row
        for model, (kl, change) in KL.items()
        for row in (
            Measurement(
                metric="kl", model=model, probe="one", value=kl, chance=0.01, **coordinates
            ),
            Measurement(metric="nll_change", model=model, probe="two", value=change, **coordinates),
        )
    ]


def test_divergence_on_one_set_stands_against_the_change_on_another() -> None:
    choice = Choice(measure="kl", probe="one", against="two")
    figure = forgetting.by_divergence(_asked(choice, _rows()))
    assert {p.name: p.place for p in figure.points} == KL
    assert [p.name for p in figure.points if p.name in figure.controls] == ["control"]
    finding = output_findings.of_forgetting(figure)
    assert finding == (
        "In 1 of 3 pairs of tuned models the larger KL on one goes with the larger change of NLL "
        "on two (without a relation: half of them)."
    )


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("furthest first", ("c", "one")),
        ("most gained", ("c", "two")),
        ("most forgotten", ("b", "two")),
    ],
)
def test_rows_come_in_the_chosen_order(order: str, first: tuple[str, str]) -> None:
    choice = Choice(measure="kl", order=order)
    table = output_tables.models(_asked(choice, _rows()))
    assert table.rows[0][:2] == first
    assert len(table.rows) == 8
    single = [Measurement(metric="kl", model="a", reference="base", value=1.0)]
    alone = output_tables.models(_asked(choice, single))
    assert alone.columns[0].name == "model"
    assert alone.columns[1].name == "KL", "one probe set needs no column"


def _shifts(promoted: list[float], chance: list[float]) -> Mapping[str, Any]:
    values = np.array(promoted, np.float32)
    level = np.array(chance, np.float32)
    listed = np.arange(len(values), dtype=np.int32)
    bounds = np.stack([values - 0.1, values + 0.1], 1)
    return {
        "listed": listed, "text": np.array(["x", " y", "\n", "z"]), "mean": values * 2,
        "promoted": values, "promoted_chance": level, "promoted_bounds": bounds,
        "demoted": 1 - values, "demoted_chance": level, "demoted_bounds": bounds,
    }  # fmt: skip


def test_tokens_count_beyond_chance_and_beyond_the_control() -> None:
    stored = {
        "a": _shifts([0.9, 0.6, 0.5, 0.1], [0.8, 0.1, 0.1, 0.2]),
        "control": _shifts([0.1, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
    }

    def arrays(name: str, *, model: str = "", **_: Any) -> Any:
        return stored.get(model) if name == "shifts.one" else None

    choice = Choice(measure="promoted_share", model="a", probe="one")
    table = shift_tables.tokens(_asked(choice, arrays=arrays))
    assert [row[0] for row in table.rows] == ["⏎", " y", "x"], "z is promoted less than by chance"
    assert table.rows[0][1:] == pytest.approx((0.5, 0.4, 0.6, 0.1, 0.0, 1.0), abs=1e-6)
    most = Choice(measure="promoted_share", model="a", probe="one", order="promoted most")
    assert shift_tables.tokens(_asked(most, arrays=arrays)).rows[0][0] == "x"
    rows = [Measurement(metric="promoted_share", model="a", reference="base", probe="one",
                        value=0.5, chance=0.1)]  # fmt: skip
    models = shift_tables.models(_asked(choice, rows, arrays))
    assert models.rows[0][-1] == "⏎ · y · x", "z is promoted less than by chance"
    assert "at 50% of the positions, 10% by chance" in output_findings.of_promoted(models)


def test_a_text_has_its_values_and_the_places_that_differ_most() -> None:
    rows = 30
    kl = np.arange(rows, dtype=np.float32)
    stored = {
        "document": np.repeat([0, 3], 15).astype(np.int32),
        "place": np.tile(np.arange(1, 16), 2).astype(np.int32),
        "token": np.tile([0, 1, 2], 10).astype(np.int32), "kl": kl, "nll_change": -kl,
        "own": np.ones((rows, 2), np.int32), "own_share": np.full((rows, 2), 0.5, np.float32),
        "base": np.zeros((rows, 2), np.int32), "base_share": np.full((rows, 2), 0.25, np.float32),
        "vocabulary": np.array(["a", " b", "\n"]),
    }  # fmt: skip
    choice = Choice(measure="nll_change", model="a", item="document 3")
    figure = output_texts.of_document(_asked(choice, arrays=lambda name, **_: stored))
    assert figure.items == ("document 0", "document 3")
    text, places = figure.blocks
    assert [token.value for token in text.passages[0].tokens] == list(-kl[15:])
    assert len(places.passages) == output_texts.SHOWN
    assert places.passages[-1].label == "15 ⏎"
    assert places.passages[-1].text == "base: a 0.25 · a 0.25\na: b 0.50 · b 0.50"
    bare = output_texts.of_document(_asked(choice, arrays=no_arrays))
    assert "has no texts" in bare.blocks[0].passages[0].text
