"""The line above a picture, as its width shrinks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from app.tui.heading import heading
from core.engine import registry

ABLATION = (
    ("measure", "share of the score that is lost [%]"), ("task", "medqa_4options"),
    ("metric", "acc_norm"), ("setting", "top-1%"),
)  # fmt: skip


def said(width: int, short: str = "Cost") -> str:
    return heading("What ablated neurons cost", ABLATION, " 1/3 ", width, short).plain


def test_it_says_all_where_there_is_room() -> None:
    whole = " What ablated neurons cost  measure share of the score that is lost [%]  task "
    assert said(160).startswith(whole)
    assert said(160).endswith(" 1/3 ")


def test_what_is_selected_is_whole_where_the_short_title_has_room() -> None:
    for value in ("Cost", "[%]", "medqa_4options", "acc_norm", "top-1%", " 1/3 "):
        assert value in said(86)
    assert "…" not in said(86)


def test_the_title_stays_and_long_values_give_way_before_short_ones() -> None:
    assert said(66).startswith(" Cost  share of the score…")
    assert "top-1%" in said(66)
    assert said(70, short="").startswith(" What ablated neurons cost  share")
    assert heading("Titles", (), "", 20, "T").plain.startswith(" Titles ")


def test_an_arrow_says_which_way_is_better_before_the_title_gives_way() -> None:
    selected = (("", "drop [%] (lower is better)"), ("task", "real_general_text"))
    given = ("Ablated neurons, by source", selected, " 1/3 ")
    assert "lower is better" in heading(*given, 80, "Drops by source").plain
    narrow = heading(*given, 62, "Drops by source").plain
    assert narrow.startswith(" Drops by source  ↓ drop [%]  real_general_text ")


def test_nothing_is_said_of_a_choice_without_a_value() -> None:
    text = heading("Trade-off", (("task", ""), ("metric", "acc")), "", 40).plain
    assert text.split() == ["Trade-off", "metric", "acc"]


def test_views_of_an_analysis_have_short_titles_of_their_own() -> None:
    for name in registry.names():
        views = registry.get(name).views
        titles = [view.short or view.title for view in views]
        assert len(set(titles)) == len(titles), name
        assert max(map(len, titles)) <= 16, name


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=99)), max_size=6))
@pytest.mark.parametrize("width", [20, 80, 160])
def test_it_is_as_wide_as_it_may_be(width: int, selected: list[tuple[str, str]]) -> None:
    assert cell_len(heading("A title", selected, " 2/3 ", width).plain) == width
