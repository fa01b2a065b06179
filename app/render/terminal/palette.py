"""The colours of charts, chosen for colour-blind eyes. Owns ramps; knows no figure and no theme.

Sequential ramps follow viridis. Ramps about zero are nearly the background at zero, and stand out
more the farther a value lies from it: blue and orange tell minus from plus, purple and green worse
from better. All colour-blind eyes can tell each pair apart, and a sign beside the number repeats
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from rich.style import Style

from core.figures.plots.plot import OF_BASE
from core.figures.plots.ranges import Ramp

RGB = tuple[int, int, int]

STEPS = 65
"""Entries of a ramp. Odd, so that a ramp about zero has its zero in the middle."""

GLYPHS = "●■▲◆○□△◇▼"
"""The signs of series, in order, distinct without any colour."""

CONTROL_GLYPH = "·"

FAINTNESS = 0.35
"""How far unselected series fade towards the background."""

_VIRIDIS = (
    "440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b",
    "fde725",
)  # fmt: skip
_SIGNED = {
    "light": ("0b4f9e", "5b93cf", "bcd4ec", "f4f4f2", "fbd3a5", "e8893a", "a84c00"),
    "dark": ("8ec5ff", "4b8fd6", "27507f", "262b33", "6e4516", "b8741f", "ffb84d"),
}
_BETTER = {
    "light": ("7d1a86", "b573c6", "e6cdee", "f4f4f2", "cde9bf", "69b45c", "1b6b2e"),
    "dark": ("f3aaff", "bb5fd6", "64298a", "262b33", "255c14", "4fa53a", "b6f28a"),
}
# Colours that a terminal of 256 has: blends would fall on neighbours in no order.
_MANY = (
    "5f005f", "5f00af", "005faf", "0087af", "00af87", "00d787", "5fd75f", "afd700", "ffd700",
    "ffff5f",
)  # fmt: skip
_MANY_SIGNED = {
    "light": ("005faf", "0087d7", "5fafd7", "afd7ff", "eeeeee", "ffd7af", "ffaf5f", "d78700",
              "af5f00"),
    "dark": ("87d7ff", "5fafff", "0087d7", "005f87", "262626", "875f00", "d78700", "ffaf00",
             "ffd787"),
}  # fmt: skip
_MANY_BETTER = {
    "light": ("870087", "af5faf", "d787d7", "ffd7ff", "eeeeee", "d7ffaf", "87d75f", "5faf00",
              "005f00"),
    "dark": ("ffafff", "d75fff", "af00d7", "5f0087", "262626", "005f00", "00af00", "5fd700",
             "d7ff87"),
}  # fmt: skip
# The 16 colours of a bare terminal, in the order of their lightness.
_FEW = ("000000", "0000aa", "5555ff", "00aaaa", "55ffff", "ffffff")
_FEW_SIGNED = {
    "light": ("0000aa", "5555ff", "ffffff", "ffff55", "aa5500"),
    "dark": ("5555ff", "0000aa", "000000", "aa5500", "ffff55"),
}
_FEW_BETTER = {
    "light": ("aa00aa", "ff55ff", "ffffff", "55ff55", "00aa00"),
    "dark": ("ff55ff", "aa00aa", "000000", "00aa00", "55ff55"),
}
_BROWN = (0xAA, 0x55, 0x00)  # one of the 16, which many terminals show as a bright olive
_FEW_SERIES = {
    "dark": ("#55ffff", "#ffff55", "#55ff55", "#ff55ff", "#ff5555", "#5555ff", "#aa5500"),
    "light": ("#0000aa", "#aa0000", "#00aaaa", "#aa00aa", "#aa5500", "#5555ff", "#555555"),
}


@dataclass(frozen=True, slots=True)
class Palette:
    """Everything coloured in a chart, for one background."""

    name: str
    text: str
    dim: str
    accent: str
    series: tuple[str, ...]
    sequential: tuple[RGB, ...]
    signed: tuple[RGB, ...]
    better: tuple[RGB, ...]
    null: RGB
    """The fill of a value that does not differ from chance, without room for the sign; in no ramp.
    """
    blends: bool = True
    """Can colours be mixed? Not in a terminal with few colours."""

    def ramp(self, kind: Ramp) -> tuple[RGB, ...]:
        """The colours of a ramp."""
        return {"sequential": self.sequential, "signed": self.signed, "better": self.better}[kind]

    def line(self, index: int, control: bool) -> Style:
        """The style of the `index`-th series."""
        if control or index == OF_BASE:
            return Style(color=self.dim if control else self.text)
        return Style(color=self.series[index % len(self.series)])

    def faint(self, style: Style) -> Style:
        """The same style a step towards the background: for lines beneath the selected one."""
        if not self.blends or style.color is None:
            return style
        behind = (13, 17, 23) if self.name == "dark" else (255, 255, 255)
        pairs = zip(style.color.get_truecolor(), behind, strict=True)
        mixed = [round(a + (b - a) * FAINTNESS) for a, b in pairs]
        return style + Style(color=hex_of((mixed[0], mixed[1], mixed[2])))


@cache
def on(background: str, colours: int = 1 << 24) -> Palette:
    """The palette for a `dark` or `light` background in a terminal with that many colours."""
    background = "light" if background == "light" else "dark"
    if colours <= 16:
        ramps = _ramps(_FEW, _FEW_SIGNED[background], _FEW_BETTER[background], blend=False)
        series = _FEW_SERIES[background]
        if background == "light":
            return Palette(
                "light", "#000000", "#555555", "#0000aa", series, *ramps, rgb("aaaaaa"), False
            )
        return Palette(
            "dark", "#ffffff", "#aaaaaa", "#55ffff", series, *ramps, rgb("555555"), False
        )
    ramps = _ramps(_VIRIDIS, _SIGNED[background], _BETTER[background])
    if colours <= 256:
        ramps = _ramps(_MANY, _MANY_SIGNED[background], _MANY_BETTER[background], blend=False)
    if background == "light":
        series = ("#0072b2", "#b35c00", "#00795a", "#a8437f", "#7a6c00", "#c0392b", "#4a4a8a")
        return Palette("light", "#24292f", "#8a9099", "#0550ae", series, *ramps, rgb("b2b2b2"))
    series = ("#56b4e9", "#f0a02c", "#35c9a2", "#e08bbb", "#f0e442", "#ff7a52", "#9aa5ff")
    return Palette("dark", "#d7dce2", "#7d8590", "#6cb6ff", series, *ramps, rgb("585858"))


def sign(index: int, faint: bool = False) -> str:
    """The sign of the `index`-th series, whatever the colours."""
    return CONTROL_GLYPH if faint else GLYPHS[index % len(GLYPHS)]


def step(share: float) -> int:
    """The entry of a ramp for a share of its range."""
    return round(share * (STEPS - 1))


def ramp(anchors: Sequence[str], blend: bool = True) -> tuple[RGB, ...]:
    """A ramp of STEPS colours through the anchors; in equal bands when they must not blend."""
    colours = [rgb(anchor) for anchor in anchors]
    entries = []
    for step in range(STEPS):
        fraction = step / (STEPS - 1)
        if not blend:
            entries.append(colours[min(int(fraction * len(colours)), len(colours) - 1)])
            continue
        position = fraction * (len(colours) - 1)
        left = min(int(position), len(colours) - 2)
        share = position - left
        pairs = zip(colours[left], colours[left + 1], strict=True)
        red, green, blue = (round(a + (b - a) * share) for a, b in pairs)
        entries.append((red, green, blue))
    return tuple(entries)


def _ramps(
    sequential: Sequence[str], signed: Sequence[str], better: Sequence[str], *, blend: bool = True
) -> tuple[tuple[RGB, ...], tuple[RGB, ...], tuple[RGB, ...]]:
    return ramp(sequential, blend), ramp(signed, blend), ramp(better, blend)


@lru_cache(1024)
def ink(background: RGB) -> str:
    """Black or white: the more readable one on this colour."""
    if background == _BROWN:
        return "#000000"
    return "#000000" if luminance(background) > 0.18 else "#ffffff"


def luminance(colour: RGB) -> float:
    """Relative luminance, 0 to 1."""
    channels = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@lru_cache(1024)
def filled(background: RGB) -> Style:
    """Text on a cell of this colour."""
    return Style(color=ink(background), bgcolor=hex_of(background))


def hex_of(colour: RGB) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def rgb(code: str) -> RGB:
    """The colour written `rrggbb`."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)
