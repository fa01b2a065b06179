"""Text from outside that would act on a terminal, and a check that none of it does."""

from __future__ import annotations

import unicodedata
from typing import Any

from rich.cells import cell_len
from textual.app import App

from tests.app.tui.display import visible

WORDS = {
    # What would act, were it more than text: markup, colours, a cleared screen, the clipboard.
    "acting": "[bold red]e[/][@click=app.quit]x[/]\x1b[31mr\x1b[2J\x1b[H"
    "\x1b]52;c;ZXZpbA==\x07\x9b31m",
    # What takes no room, or other room than it seems to, or turns what follows around.
    "turning": "\u202er\u202c\u0645\u062b\u2066x\u2069e"
    + "\u0301" * 60
    + "\u200d\u200b a\nb\r\nc\td",
    # What a library measures in two ways, and fails where they differ.
    "joining": "\u200d\u200d宽\u200d \u200d\u200d👩" * 20,
    "wide": "宽字符" * 40,
    "long": "x" * 4000,
}

HARMLESS = "\u200c\u200d"
"""Joiners, without which some languages can't be written."""


def assert_harmless(app: App[Any]) -> None:
    """No row is wider than the screen, no sign of one would act on a terminal, and the way out
    of the screen, or of the line that is being typed, is still said."""
    rows = visible(app)
    assert [cell_len(row) for row in rows] == [app.size.width] * app.size.height
    signs = set("".join(rows)) - set(HARMLESS)
    assert [sign for sign in signs if unicodedata.category(sign) in ("Cc", "Cf")] == []
    assert app.screen.is_modal or {"quit", "esc"} & set(rows[-1].split())
