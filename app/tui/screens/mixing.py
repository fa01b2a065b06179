"""The question for the folder of a merge, and the writing of the merge in the background."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen

from app.text import plain
from app.tui.data import DataSource
from app.tui.screens.column import TypedScreen
from app.tui.screens.control import in_background
from core.bench.columns import Mixed
from core.study.places import expanded, is_there
from core.study.study import Study


def ask_to_write_mix(screen: Screen[Any], source: DataSource, study: Study, mix: Mixed) -> None:
    """Ask for a new folder, and write a mix of the study's models there."""

    def trouble(words: str) -> str:
        folder = expanded(words.strip())
        if not words.strip():
            return "Type the name of a new folder."
        return f"{folder} already exists." if is_there(folder) else ""

    def given(words: str | None) -> None:
        if words is not None:
            folder = expanded(words.strip())
            screen.notify("Writing the merge…", timeout=3, markup=False)
            done = f"Wrote {plain(str(folder))}."
            in_background(screen, lambda: source.merge(study, mix, folder), done)

    screen.app.push_screen(TypedScreen(f"write {mix.text} to a folder", "", trouble), given)
