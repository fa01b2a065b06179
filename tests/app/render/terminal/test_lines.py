"""A row cut to a width equals the cut of the whole text, though only its start is measured."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len, set_cell_size

from app.render.terminal.lines import cut, exactly, fitted, folded
from app.text import plain

TEXTS = st.text(st.sampled_from("ab 字\u0301\u200d\ufe0f☺👩"), max_size=200).map(plain)
"""Narrow, wide, without a width, and joined."""


@settings(max_examples=60)
@given(TEXTS, st.integers(0, 60))
def test_a_text_is_cut_as_if_all_of_it_were_measured(text: str, width: int) -> None:
    whole = text
    if cell_len(text) > width:
        whole = set_cell_size(text, width - 1).rstrip() + "…" if width else ""
    assert exactly(text, width) == (whole + " " * (width - cell_len(whole)) if width else "")
    assert cut(text, width) == (whole.rstrip() if width and cell_len(text) else "")


@settings(max_examples=60)
@example("\u0301字\u200da\u0301字字字", 4, "")  # eight characters and eight cells, by chance
@given(TEXTS, st.integers(4, 60), st.sampled_from(["", "  "]))
def test_no_line_of_a_folded_text_is_wider_than_its_room(
    text: str, width: int, indent: str
) -> None:
    lines = folded(text, width, indent=indent)
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.startswith(indent) for line in lines[1:])
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize("name", ["\u200d\u200d字", "a \u200d\u200d👩👩", "a\u200d", "\u200d"])
@pytest.mark.parametrize("width", range(1, 7))
def test_a_joiner_that_joins_nothing_takes_its_room_as_an_escape(name: str, width: int) -> None:
    assert cell_len(fitted(name, width)) == width
    assert fitted(name, 60).rstrip() == name.replace("\u200d", "\\u200d")


@given(st.text("ab-c ", max_size=80), st.integers(4, 30))
def test_narrow_words_are_folded_as_by_the_library(text: str, width: int) -> None:
    assert folded(text, width) == textwrap.wrap(text, width)


def test_wide_words_are_broken_where_they_must_be() -> None:
    assert folded("the token 宽字 and 符", 12) == ["the token", "宽字 and 符"]
    assert folded("has 宽字符宽字符 at one end", 10) == ["has 宽字符", "宽字符 at", "one end"]
