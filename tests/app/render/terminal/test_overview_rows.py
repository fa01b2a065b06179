"""Cards as rows: the column of the place that moved most."""

from __future__ import annotations

from app.render.terminal.overview import layout
from app.results.overview import Overview
from core.overview.cards import Card


def test_the_group_that_moved_most_keeps_its_layer_in_a_narrow_column() -> None:
    cards = [
        Card(
            model=f"model-{number}",
            is_control=False,
            size=0.3,
            groups={"attention": 0.5, "mlp": 0.2},
            layers=(*[0.1] * 27, 0.9),
            directions={},
        )
        for number in range(9)
    ]
    rows = layout(Overview(cards=tuple(cards)), 78, 20, len(cards)).rows
    words = ["".join(text for text, _ in row) for row in rows]
    assert sum("attn L27" in line for line in words) == len(cards)
    assert not any("…" in line for line in words)
