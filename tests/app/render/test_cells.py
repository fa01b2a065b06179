"""Cells of CSV: nothing in them is computed by a spreadsheet or obeyed by a terminal."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.render.data.cells import Rows, harmless
from app.render.data.clippings import Clipping, as_csv

FORMULA = "=cmd|' /C calc'!A0"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (FORMULA, f"'{FORMULA}"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("＝1+1", "'＝1+1"),
        ("\t=1", "\\t=1"),
        ("\r=1", "\\r=1"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("-0.5", "-0.5"),
        ("medical=-0.5", "medical=-0.5"),
        ("", ""),
    ],
)
def test_a_text_is_harmless(text: str, written: str) -> None:
    assert harmless(text) == written


@given(st.text())
def test_no_text_is_a_formula_or_acts_on_a_terminal(text: str) -> None:
    safe = harmless(text)
    assert all(c.isprintable() or c in "\u200c\u200d" or c.isspace() for c in safe)
    assert not {"\t", "\r", "\n", "\x1b"} & set(safe)
    first = safe.lstrip()[:1]
    assert first not in set("=+@") or _is_number(safe)
    assert first != "-" or _is_number(safe)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(st.floats(allow_nan=False), st.integers())
def test_numbers_are_read_again_as_they_were(number: float, count: int) -> None:
    file = io.StringIO()
    Rows(file).write([number, count, None])
    (row,) = csv.reader(io.StringIO(file.getvalue()))
    assert (float(row[0]), int(row[1]), row[2]) == (number, count, "")


def test_a_copied_figure_has_no_formula_either() -> None:
    assert as_csv(Clipping((FORMULA,), ((FORMULA, -1.5),))) == f"'{FORMULA}\n'{FORMULA},-1.5\n"
