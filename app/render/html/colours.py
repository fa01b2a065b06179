"""The colours of the page as CSS, for light and dark screens; paper is always light.

Owns the names of their classes: `s0`, `s1`, ... for series, `sb` for the base, `sc` for controls,
`null` for cells within chance, `q0` ... for the steps of a sequential scale, `d0` ... of a scale
about zero, and `b0` ... from worse to better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.render.terminal.palette import RGB, hex_of, ink, on
from core.figures.plots.plot import OF_BASE
from core.figures.plots.ranges import Ramp

_GROUND = {
    "light": {
        "ground": "#ffffff", "raised": "#f6f7f9", "text": "#1f2328", "quiet": "#59636e",
        "line": "#d1d9e0", "band": "#e3e7ec", "accent": "#0550ae", "doubt": "#9a6700",
        "better": "#0b4f9e", "worse": "#a84c00",
    },
    "dark": {
        "ground": "#15181d", "raised": "#1d2127", "text": "#e3e7ec", "quiet": "#9aa4b0",
        "line": "#363d47", "band": "#2e353f", "accent": "#6cb6ff", "doubt": "#e0af68",
        "better": "#8ec5ff", "worse": "#ffb84d",
    },
}  # fmt: skip
_CONTROLS = {"light": "#7d848d", "dark": "#8b949e"}


def style() -> str:
    """The CSS: the light theme, and the dark one for screens that prefer it."""
    dark = "\n".join(_theme("dark"))
    sequential = "\n".join(_ramp("q", on("light").sequential))
    light = "\n".join(_theme("light"))
    return f"{sequential}\n{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def series(index: int, control: bool) -> str:
    """The class of a series."""
    if index == OF_BASE and not control:
        return "sb"
    return "sc" if control else f"s{index % len(on('light').series)}"


def step(ramp: Ramp, index: int) -> str:
    """The class of a cell."""
    return f"{_LETTERS[ramp]}{index}"


_LETTERS: Mapping[Ramp, str] = {"sequential": "q", "signed": "d", "better": "b"}


def _theme(name: str) -> Iterator[str]:
    yield ":root{" + ";".join(f"--{key}:{value}" for key, value in _GROUND[name].items()) + "}"
    for index, colour in enumerate(on(name).series):
        yield f".s{index}{{color:{colour}}}"
    yield ".sb{color:var(--text)}"
    yield f".sc{{color:{_CONTROLS[name]}}}"
    yield f".null{{fill:{hex_of(on(name).null)}}}"
    yield from _ramp("d", on(name).signed)
    yield from _ramp("b", on(name).better)


def _ramp(letter: str, ramp: tuple[RGB, ...]) -> Iterator[str]:
    """Fills, the ink of a number that follows a cell of that fill, and marked text."""
    for index, colour in enumerate(ramp):
        yield f".{letter}{index}{{fill:{hex_of(colour)}}}"
        yield f".{letter}{index}~text{{fill:{ink(colour)}}}"
        yield f"mark.{letter}{index}{{background:{hex_of(colour)};color:{ink(colour)}}}"
