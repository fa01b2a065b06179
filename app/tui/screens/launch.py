"""From a finished draft of the builder to its file and its run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.drafts import building, studyfile
from app.drafts.building import Draft
from app.text import plain
from app.tui import pages
from app.tui.data import DataSource
from app.tui.screens.confirm import ConfirmScreen
from app.tui.screens.control import busy
from app.tui.screens.leaving import LeavingScreen
from app.tui.threads import Trouble, in_thread, said
from app.tui.widgets.outlook import Outlook
from core.errors import TauscopeError
from core.study.places import expanded


class DraftScreen(LeavingScreen[str]):
    """A draft, and what it becomes. Gives the id of the run that was started, or None."""

    def __init__(self, source: DataSource, draft: Draft) -> None:
        super().__init__()
        self.source = source
        self.draft = draft

    @property
    def refused(self) -> str:
        """Why the check found that there will be no run of the draft as it is."""
        outlook = self.query_one(Outlook)
        return outlook.refused if outlook.draft == self.draft else ""

    @property
    def passed(self) -> bool:
        """Has the check found what a run of the draft as it is will take?"""
        outlook = self.query_one(Outlook)
        return outlook.answered and outlook.draft == self.draft

    def on_outlook_changed(self) -> None:
        self.renew()

    def action_look(self) -> None:
        """Ask once more what it will take."""
        self.query_one(Outlook).ask(self.source, self.draft)

    def action_write(self) -> None:
        """Write the study file."""
        self._write(lambda file: self.notify(f"Wrote {plain(str(file))}", markup=False))

    def action_start(self) -> None:
        """Write the study file, unless it is there as it is, and start it. What the check refused
        is only started after a yes."""
        if self.refused:
            question = f"The check found: {plain(self.refused)[:300]} Start all the same?"
            self.if_so(question, lambda: self._write(self._start))
        else:
            self._write(self._start)

    def leave(self, run_id: str | None) -> None:
        """Leave for the run, or without one, and remember the draft."""
        self.home.remember(self.placed(self.home.memory))
        self.dismiss(run_id)

    def if_so(self, question: str, then: Callable[[], Any]) -> None:
        """Ask, and go on after a yes."""
        self.app.push_screen(ConfirmScreen(question), lambda yes: then() if yes else None)

    def _write(self, then: Callable[[Path], None]) -> None:
        """Write the study file and go on. Another file of that name is overwritten only after a
        yes."""
        file = expanded(building.value(self.draft, "file") or pages.file_for(self.draft))
        there = pages.found(file)
        if there is None:
            self._save(file, then)
        elif there == studyfile.written(studyfile.settled(self.draft, file.parent)):
            then(file)
        else:
            name = plain(str(file))
            question = f"{name} is there already, and says something else. Write over it?"
            self.if_so(question, lambda: self._save(file, then))

    def _save(self, file: Path, then: Callable[[Path], None]) -> None:
        new = not os.path.isdir(file.parent)  # noqa: PTH112 - of os.path, which takes any name
        try:
            studyfile.save(self.draft, file)
        except TauscopeError as error:
            self._complain(error)
        else:
            if new:
                made = plain(str(file.parent))
                self.notify(f"Made the folder {made}, which was not there.", markup=False)
            then(file)

    def _start(self, file: Path) -> None:
        """Start a run of the study file in a process of its own, and leave for it. Nothing while
        one is being started."""
        if not busy(self, "start"):
            self.notify("Starting…", timeout=2, markup=False)
            only = building.only(self.draft)
            in_thread(
                self, lambda: self.source.start(file, only), self._started,
                refused=self._complain, group="start",
            )  # fmt: skip

    def _started(self, run_id: str) -> None:
        """The study is in its file now, and the draft goes; a study that would fail stays."""
        if not self.refused:
            self.draft = Draft()
        self.leave(run_id)

    def _complain(self, error: Trouble) -> None:
        """Say what went wrong, and what to do."""
        harmless = "\n".join(map(plain, said(error, "\n").splitlines()))
        self.notify(harmless, severity="error", timeout=10, markup=False)
