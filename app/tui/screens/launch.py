"""From a finished draft of the builder to its file and its run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.screen import Screen

from app.drafts import building, studyfile
from app.drafts.building import Draft
from app.text import plain
from app.tui import pages
from app.tui.screens.confirm import ConfirmScreen
from app.tui.screens.control import busy
from app.tui.source import Source
from app.tui.threads import in_thread, said
from core.errors import TauscopeError
from core.study.places import expanded


def write(screen: Screen[Any], draft: Draft, then: Callable[[Path], None]) -> None:
    """Write the study file and go on. What is there already is only written over after a yes."""
    typed = building.value(draft, "file") or pages.file_for(draft)
    file = expanded(typed)

    def answered(yes: bool | None) -> None:
        if yes:
            new = not os.path.isdir(file.parent)  # noqa: PTH112 - of os.path, which takes any name
            try:
                studyfile.save(draft, file)
            except TauscopeError as error:
                complain(screen, said(error, "\n"))
            else:
                if new:
                    made = plain(str(file.parent))
                    screen.notify(f"Made the folder {made}, which was not there.", markup=False)
                then(file)

    there = pages.found(file)
    if there is None:
        answered(True)
    elif there == studyfile.written(studyfile.settled(draft, file.parent)):
        then(file)
    else:
        name = plain(str(file))
        question = f"{name} is there already, and says something else. Write over it?"
        screen.app.push_screen(ConfirmScreen(question), answered)


def start(
    screen: Screen[Any], source: Source, draft: Draft, file: Path, then: Callable[[str], None]
) -> None:
    """Start a run of the study file in a process of its own, and go on with the run's id. Nothing
    while one is being started."""
    if not busy(screen, "start"):
        screen.notify("Starting…", timeout=2, markup=False)
        in_thread(
            screen,
            lambda: source.start(file, building.only(draft)),
            then,
            refused=lambda words: complain(screen, words),
            group="start",
        )


def complain(screen: Screen[Any], words: str) -> None:
    """Say what went wrong, and what to do."""
    harmless = "\n".join(map(plain, words.splitlines()))
    screen.notify(harmless, severity="error", timeout=10, markup=False)
