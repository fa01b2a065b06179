"""A row cut to a width equals the cut of the whole text, though only its start is measured."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len, set_cell_size

from app.render.terminal.lines import cut, exactly

TEXTS = st.text(st.sampled_from("ab 字\u0301\u200d\ufe0f☺👩"), max_size=200)
"""Narrow, wide, without a width, and joined."""


@settings(max_examples=60)
@given(TEXTS, st.integers(0, 60))
def test_a_text_is_cut_as_if_all_of_it_were_measured(text: str, width: int) -> None:
    whole = text
    if cell_len(text) > width:
        whole = set_cell_size(text, width - 1).rstrip() + "…" if width else ""
    assert exactly(text, width) == (whole + " " * (width - cell_len(whole)) if width else "")
    assert cut(text, width) == (whole.rstrip() if width and cell_len(text) else "")
