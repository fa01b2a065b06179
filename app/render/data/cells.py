"""Cells of CSV that no spreadsheet or terminal executes. Owns the one rule about them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO, TypeVar

from app.text import plain

_FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""The first characters of texts that a spreadsheet would compute, in some locales at full width."""

Value = TypeVar("Value")


class Rows:
    """Writes rows of CSV to a file; numbers keep their value when they are read."""

    def __init__(self, file: TextIO) -> None:
        self._rows = csv.writer(file, lineterminator="\n")

    def write(self, row: Iterable[object]) -> None:
        """One row."""
        self._rows.writerow([harmless(value) for value in row])

    def write_all(self, rows: Iterable[Iterable[object]]) -> None:
        """Several rows."""
        for row in rows:
            self.write(row)


def harmless(value: Value) -> Value | str:
    """A text with visible escapes for control characters, and with an apostrophe if a spreadsheet
    would take it for a formula (OWASP, CSV Injection); any other value unchanged.

    Spreadsheets skip spaces before a formula.
    """
    if not isinstance(value, str):
        return value
    text = plain(value)
    is_formula = text.lstrip().startswith(_FORMULAS) and not _is_number(text)
    return f"'{text}" if is_formula else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
