"""A screen as text that a person can read: its characters, then the style of every cell.

Both themes in one portrait: their characters are the same, and a style is what a cell looks like in
the dark and in the light. Colours of the theme go by their names, so that a changed shade of grey
changes no portrait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, groupby
from string import ascii_letters

from rich.color import Color
from rich.style import Style
from textual.strip import Strip

NAMED = (
    "background", "surface", "panel", "line", "border", "foreground", "muted", "accent",
    "success", "warning", "error",
)  # fmt: skip
"""The colours of a theme that are called by their names."""

Look = tuple[str, str]
"""How a cell looks in the dark theme, and in the light one."""


def portrait(
    dark: Sequence[Strip], light: Sequence[Strip], variables: tuple[Mapping[str, str], ...]
) -> str:
    """The rows of a screen, drawn in two themes with these variables.

    After the characters stands, for rows `from-to`, a letter and a number of cells for each run of
    one style, and last what the letters mean. Raises AssertionError where the themes differ in
    more than style.
    """
    differ = [(a.text, b.text) for a, b in zip(dark, light, strict=True) if a.text != b.text]
    assert differ == [], f"the themes differ in words: {differ[:3]}"
    names = [_names(each) for each in variables]
    looks = [
        list(zip(_cells(one, names[0]), _cells(other, names[1]), strict=True))
        for one, other in zip(dark, light, strict=True)
    ]
    distinct = dict.fromkeys(look for row in looks for look in row)
    letters = dict(zip(distinct, _letters(), strict=False))
    parts = [
        "\n".join(strip.text.rstrip() for strip in dark),
        "\n".join(_styles(looks, letters)),
        "\n".join(f"{letter:>3}  {_said(look)}" for look, letter in letters.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _styles(looks: Iterable[list[Look]], letters: Mapping[Look, str]) -> Iterator[str]:
    rows = [
        " ".join(f"{letters[look]}{len(list(run))}" for look, run in groupby(row)) for row in looks
    ]
    first = 0
    for words, run in groupby(rows):
        last = first + len(list(run)) - 1
        yield f"{first:>5}  {words}" if first == last else f"{f'{first}-{last}':>5}  {words}"
        first = last + 1


def _cells(strip: Strip, names: Mapping[str, str]) -> Iterator[str]:
    for segment in strip:
        look = _look(segment.style or Style(), names)
        for _ in range(segment.cell_length):
            yield look


def _look(style: Style, names: Mapping[str, str]) -> str:
    """`accent on panel bold`, with the numbers of colours that have no name."""
    words = [_colour(style.color, names), "on", _colour(style.bgcolor, names)]
    kinds = ("bold", "dim", "italic", "underline", "reverse", "strike")
    return " ".join([*words, *(kind for kind in kinds if getattr(style, kind))])


def _colour(colour: Color | None, names: Mapping[str, str]) -> str:
    if colour is None or colour.is_default:
        return "none"
    number = colour.get_truecolor().hex
    return names.get(number, number)


def _names(variables: Mapping[str, str]) -> dict[str, str]:
    """Colours by their numbers; of two names for one, the first."""
    return {variables[name].lower(): name for name in reversed(NAMED) if name in variables}


def _said(look: Look) -> str:
    return look[0] if look[0] == look[1] else " | ".join(look)


def _letters() -> Iterator[str]:
    for number in count():
        row, place = divmod(number, len(ascii_letters))
        yield (ascii_letters[row - 1] if row else "") + ascii_letters[place]
