"""The sheet that figures for papers are drawn on: fonts, sizes, colours, and text made drawable.

Owns everything that must be the same on every machine. Knows no kind of figure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Sheet
from matplotlib.font_manager import FontProperties, findfont, get_font

from app.render.terminal.palette import on
from app.text import plain
from core.figures.plots.plot import OF_BASE, Entry, Symbol

COLUMN = 3.4
"""Inches: the width of a column on a page with two columns."""
PAGE = 7.0
"""Inches: the width across both columns."""
TALLEST = 8.5
"""Inches: the height that leaves room for a caption."""
DPI = 300

FONT = "DejaVu Sans"
"""A font that comes with matplotlib, so it is the same everywhere."""
CHARACTER = 0.6
"""The width of a character as a share of the font's size, generous for most."""
SMALL, SMALLEST = 7.0, 4.5
"""Points: small text, and the smallest size readable in print."""
LONGEST_NAME = 28

PALETTE = on("light")
INK, FAINT = PALETTE.text, "#6b7280"
BAND = "#d9dde2"

MARKERS = (
    ("o", True), ("s", True), ("^", True), ("D", True), ("o", False), ("s", False), ("^", False),
    ("D", False), ("v", True),
)  # fmt: skip
"""The signs of series as in palette.GLYPHS: a shape, and whether it is filled."""

Samples = Mapping[Symbol, Callable[[Entry], Artist]]
"""The signs of a legend that a drawing has, by their symbol."""

_STYLE = {
    "font.family": FONT,
    "font.size": SMALL,
    "axes.titlesize": SMALL + 1,
    "axes.titlelocation": "left",
    "axes.labelsize": SMALL,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,  # a name is written as it is
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "tauscope",
    "svg.fonttype": "path",
}


@contextmanager
def styled() -> Iterator[None]:
    """The context for drawing and saving: matplotlib's defaults and ours, no user's settings."""
    with matplotlib.style.context(["default", _STYLE], after_reset=True):
        yield


def sheet(width: float, height: float) -> Sheet:
    """An empty figure of that size in inches."""
    return Sheet(figsize=(width, min(height, TALLEST)))


def save(drawn: Sheet, path: Path, kind: str) -> None:
    """Write a figure; equal figures give equal bytes."""
    if kind == "svg":
        FigureCanvasSVG(drawn).print_figure(path, format="svg", metadata={"Date": None})
    else:
        FigureCanvasAgg(drawn).print_figure(path, format="png", dpi=DPI)


def legend(drawn: Sheet, entries: Iterable[Entry], samples: Samples, columns: int) -> None:
    """Signs with their meaning, below the drawing."""
    known = [entry for entry in entries if entry.symbol in samples]
    if not known:
        return
    names = [named(entry.text) + entry.after for entry in known]
    made = drawn.legend(
        [samples[entry.symbol](entry) for entry in known], names, ncols=columns,
        loc="outside lower center", columnspacing=1.2, handlelength=1.8, handletextpad=0.5,
    )  # fmt: skip
    # Set once more: a legend may pass over names that begin with an underscore.
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set_text(name)


def written(text: str) -> str:
    """Outside text with visible escapes for characters that the font lacks."""
    return "".join(c if _known(c) else _escaped(c) for c in plain(text))


def folded(text: str, width: float, size: float = SMALL) -> str:
    """Outside text in lines of about this width in inches at most."""
    return "\n".join(textwrap.wrap(written(text), max(8, int(width / across("m", size)))))


def named(text: str, longest: int = LONGEST_NAME) -> str:
    """A name, cut if it is long."""
    return written(text if len(text) <= longest else text[: longest - 1] + "…")


def number(text: str) -> str:
    """A number with a true minus sign."""
    return text.replace("-", "−")


def hushed(axes: Axes) -> None:
    """An axis with only names: no frame, no ticks."""
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def colour(index: int, control: bool) -> str:
    """The colour of the `index`-th series, or of the base."""
    if index == OF_BASE and not control:
        return INK
    return "#7d848d" if control else PALETTE.series[index % len(PALETTE.series)]


def across(text: str, size: float = SMALL) -> float:
    """The approximate width of a text in inches."""
    return len(text) * CHARACTER * size / 72


@cache
def _known(character: str) -> bool:
    return get_font(findfont(FontProperties(family=FONT))).get_char_index(ord(character)) != 0


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
