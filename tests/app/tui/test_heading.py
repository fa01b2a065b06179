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


def said(width: int) -> str:
    return heading("What ablated neurons cost", ABLATION, " 1/3 ", width).plain


def test_it_says_all_where_there_is_room() -> None:
    whole = " What ablated neurons cost  measure share of the score that is lost [%]  task "
    assert said(160).startswith(whole)
    assert said(160).endswith(" 1/3 ")


def test_what_is_selected_is_whole_at_eighty_columns() -> None:
    for value in ("[%]", "medqa_4options", "acc_norm", "top-1%", " 1/3 "):
        assert value in said(80)
    assert "…" not in said(80)


def test_long_values_give_way_before_short_ones() -> None:
    assert "share of the score…" in said(60)
    assert "top-1%" in said(60)


def test_a_short_title_stays_where_the_whole_one_has_no_room() -> None:
    given = ("What ablated neurons cost", ABLATION, " 1/3 ", 86)
    assert "What" not in heading(*given).plain
    assert heading(*given, "Cost").plain.startswith(" Cost  share of the score that is lost [%]")
    assert heading("Titles", (), "", 20, "T").plain.startswith(" Titles ")


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
