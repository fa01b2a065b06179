"""Elements of HTML and SVG. Any argument other than `Markup` is text and gets escaped.

Owns the one rule that keeps text from outside from becoming markup. Knows no element by name.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from app.text import plain


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *inside: str, **attributes: str | float | None) -> Markup:
    """An element. Attributes that are None are left out; `_` in their names stands for `-`.

    `class_` is the attribute class.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{joined(inside)}</{name}>")


def joined(parts: Iterable[str]) -> Markup:
    """Markup and text one after another."""
    return Markup("".join(part if isinstance(part, Markup) else escaped(part) for part in parts))


def escaped(text: str) -> Markup:
    """Text from outside as HTML that shows it unchanged."""
    return Markup(html.escape(plain(text)))


def _attribute(value: str | float) -> str:
    """Numbers with one decimal at most, finer than the dots of any screen."""
    return escaped(value) if isinstance(value, str) else format(round(value, 1), "g")
