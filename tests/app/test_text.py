"""No text from outside acts on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text import LONGEST, plain, short


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Qwen/Qwen2.5-7B [bold] Δ 日本 ½", "Qwen/Qwen2.5-7B [bold] Δ 日本 ½"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\x9b31m", "a\\x9b31m"),
        ("\x1b]52;c;Zm9v\x07", "\\x1b]52;c;Zm9v\\x07"),
        ("two\nlines\r\tand", "two\\nlines\\r\\tand"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("\u2028\ufeff\u200b", "\\u2028\\ufeff\\u200b"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("می\u200cخواهم\u00a0x", "می\u200cخواهم\u00a0x"),
    ],
)
def test_what_acts_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_that_acts_is_left(text: str) -> None:
    for character in plain(text):
        assert unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
    plain(text).encode()


def test_a_fact_of_any_length_is_cut_after_it_is_made_harmless() -> None:
    assert short("x" * LONGEST) == "x" * LONGEST
    assert short("x" * (LONGEST + 1)) == "x" * LONGEST + "…"
    assert short("\x1b" * LONGEST) == ("\\x1b" * LONGEST)[:LONGEST] + "…"
