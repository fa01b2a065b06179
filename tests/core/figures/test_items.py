"""Items that two results have of a score, and why there may be none."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.render.terminal.chart import draw
from core.figures import item_tables
from core.figures.items import compared
from core.figures.views import Catalogue, Choice, Tabulation


def test_a_score_without_items_says_why_and_which_have_some() -> None:
    items = {"acc|index": np.array([0]), "acc|total": np.array([1.0]),
             "acc|weight": np.array([1.0]), "acc|form": np.array("mean")}  # fmt: skip
    why = "f1 has no items: it is not computed from one number per item. Scores with items: acc."
    assert compared(items, items, "f1").absent == why
    assert compared(items, items, "acc").absent == ""
    nothing = "The run stored no results of single items for this score."
    assert compared(None, items, "acc").absent == nothing
    asked = Tabulation(
        choice=Choice(measure="", model="medical", task="t", metric_of="f1"),
        catalogue=Catalogue(), rows=(),
        arrays=lambda name, **coordinates: items if name == "items" else None,
    )  # fmt: skip
    table, text = item_tables.of_scores(asked), item_tables.of_item(asked)
    assert (table.note, text.note) == (why, why)
    for figure, kind in ((table, "table"), (text, "text")):
        assert why in draw(figure, kind, width=200, height=20, colour=False)


def test_a_one_is_no_right_answer_where_lower_is_better() -> None:
    """As of stereotypes in CrowS-Pairs."""

    def items(values: list[float], better: str) -> dict[str, Any]:
        return {"bias|index": np.arange(3), "bias|total": np.array(values),
                "bias|weight": np.ones(3), "bias|form": np.array("mean"),
                "bias|better": np.array(better)}  # fmt: skip

    for better, gains in {"lower": [-1, 1, 0], "higher": [1, -1, 0], "": [1, -1, 0]}.items():
        found = compared(items([0, 1, 1], better), items([1, 0, 1], better), "bias")
        assert [item.gain for item in found.items] == gains
        flips = ["", "", ""] if better == "lower" else ["wrong → right", "right → wrong", ""]
        assert [item.flip for item in found.items] == flips
        assert found.binary == (better != "lower")
