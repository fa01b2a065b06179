"""The colours of the workstation: a dark theme by default and a light one. Knows no widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.style import Style
from textual.theme import Theme

# Panels and lines are grey enough for a terminal of 256 colours to show them as greys.
DARK = Theme(
    name="tauscope-dark",
    primary="#6cb6ff",
    secondary="#8b949e",
    accent="#6cb6ff",
    success="#56c9a0",
    warning="#f0a02c",
    error="#ff7a6b",
    foreground="#d7dce2",
    background="#0d1117",
    surface="#12171f",
    panel="#1e2228",
    dark=True,
    variables={
        "muted": "#7d8590",
        "line": "#2e343d",
        "input-cursor-background": "#6cb6ff",
        "border": "#3d4754",
        "border-blurred": "#2a323d",
    },
)
LIGHT = Theme(
    name="tauscope-light",
    primary="#0550ae",
    secondary="#57606a",
    accent="#0550ae",
    success="#116d4e",
    warning="#8f5200",
    error="#b3261e",
    foreground="#24292f",
    background="#ffffff",
    surface="#f6f8fa",
    panel="#ebedf0",
    dark=False,
    variables={
        "muted": "#666f79",
        "line": "#d3d9df",
        "border": "#b5bdc6",
        "border-blurred": "#d3d9df",
    },
)

_BARE = {
    DARK.name: ("#ffffff", "#000000", "#55ffff", "#55ff55", "#ffff55", "#ff5555"),
    LIGHT.name: ("#000000", "#ffffff", "#0000aa", "#00aa00", "#aa5500", "#aa0000"),
}
_BARE_VARIABLES = {
    DARK.name: {"muted": "#aaaaaa", "line": "#0000aa", "border": "#aaaaaa"},
    LIGHT.name: {"muted": "#555555", "line": "#aaaaaa", "border": "#555555"},
}


def bare(theme: Theme) -> Theme:
    """The theme in the 16 colours of a bare terminal, where shades of grey fall together."""
    foreground, background, accent, success, warning, error = _BARE[theme.name]
    return replace(
        theme,
        foreground=foreground,
        background=background,
        surface=background,
        panel=background,
        primary=accent,
        accent=accent,
        success=success,
        warning=warning,
        error=error,
        variables={**theme.variables, **_BARE_VARIABLES[theme.name]},
    )


_TONES = {
    "muted": "muted", "accent": "accent", "chosen": "accent", "better": "success", "worse": "error",
}  # fmt: skip
_STRONG = frozenset({"bold", "head", "chosen"})


def toned(tone: str, variables: Mapping[str, str]) -> Style:
    """The style of a tone of the overview, with the variables of the current theme."""
    colour = _TONES.get(tone)
    return Style(color=variables[colour] if colour else None, bold=tone in _STRONG)


def other(name: str) -> str:
    """The theme that the key switches to."""
    return LIGHT.name if name == DARK.name else DARK.name
