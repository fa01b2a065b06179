"""Pictures of the workstation for the README: SVG and PNG of a database's latest finished run.

    python docs/pictures/make.py [--db URL] [--to DIR]

Textual's own SVG sets whole runs of text with `textLength`, which not every renderer honours:
here every glyph is placed by itself. PNGs need `rsvg-convert`; without it there are only SVGs.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
os.environ.pop("NO_COLOR", None)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

FONT = "DejaVu Sans Mono"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: its name, the size of the terminal, and the keys that lead there."""

    name: str
    size: tuple[int, int]
    keys: tuple[str, ...]


SHOTS = (
    Shot("alignment", (180, 42), ("enter", "2", "right", "right", "down", "down")),
    Shot("ablation", (120, 26), ("enter", "6", "6", "6", "right", "right", "right", "down")),
    Shot("arithmetic", (120, 34), ("enter", "7", "v", "right", "down", "down")),
)


async def take(shot: Shot, url: str | None) -> str:
    """The screen after those keys, as SVG."""
    from app.tui.app import TauscopeApp
    from tests.app.tui.rest import rest

    app = TauscopeApp(url)
    async with app.run_test(size=shot.size) as pilot:
        await pilot.pause(2.0)
        for key in shot.keys:
            await rest(app)
            await pilot.press(key)
            await pilot.pause(3.0 if key == "enter" else 0.5)
        await rest(app)
        await pilot.pause(1.0)
        return app.export_screenshot(title="tauscope")


def spread(svg: str) -> str:
    """The same SVG with one text element a glyph, in a font that has them all."""
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", FONT)
    return re.sub(r"<text ([^>]*)>([^<]*)</text>", _glyphs, svg)


def _glyphs(match: re.Match[str]) -> str:
    from rich.cells import cell_len

    attributes, body = match.group(1), html.unescape(match.group(2))
    left = re.search(r'\bx="([\d.]+)"', attributes)
    length = re.search(r'textLength="([\d.]+)"', attributes)
    if left is None or length is None:
        return match.group(0)
    rest = re.sub(r'\s*\b(x|textLength)="[\d.]+"', "", attributes).strip()
    step = float(length.group(1)) / max(1, cell_len(body))
    x, glyphs = float(left.group(1)), []
    for glyph in body:
        if not glyph.isspace():
            glyphs.append(f'<text {rest} x="{x:.2f}">{html.escape(glyph)}</text>')
        x += step * cell_len(glyph)
    return "".join(glyphs)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--db", default=None, help="database (default: the user's own)")
    parser.add_argument("--to", type=Path, default=HERE, help="folder for the pictures")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    for shot in SHOTS:
        path = given.to / f"{shot.name}.svg"
        path.write_text(spread(asyncio.run(take(shot, given.db))), encoding="utf-8")
        if shutil.which("rsvg-convert"):
            png = str(path.with_suffix(".png"))
            subprocess.run(["rsvg-convert", "-o", png, str(path)], check=True)
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
