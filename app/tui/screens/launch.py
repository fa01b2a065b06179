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
from app.tui.screens.leaving import LeavingScreen
from app.tui.threads import Trouble, busy, in_thread, said
from app.tui.widgets.outlook import Outlook
from core.errors import TauscopeError
from core.study.places import expanded


class DraftScreen(LeavingScreen[str]):
    """A draft, its file and its run. Returns the id of the started run, or None."""

    def __init__(self, source: DataSource, draft: Draft) -> None:
        super().__init__()
        self.source = source
        self.draft = draft

    @property
    def refused(self) -> str:
        """Why the check refuses a run of the present draft; empty if it does not."""
        outlook = self.query_one(Outlook)
        return outlook.refused if outlook.draft == self.draft else ""

    @property
    def passed(self) -> bool:
        """Does the check know the cost of a run of the present draft?"""
        outlook = self.query_one(Outlook)
        return outlook.answered and outlook.draft == self.draft

    def on_outlook_changed(self) -> None:
        self.renew()

    def action_look(self) -> None:
        """Check the cost again."""
        self.query_one(Outlook).ask(self.source, self.draft)

    def action_write(self) -> None:
        """Write the study file."""
        self._write(lambda file: self.notify(f"Wrote {plain(str(file))}", markup=False))

    def action_start(self) -> None:
        """Write the study file, unless it exists with this content, and start it. A draft that the
        check refuses starts only after a yes."""
        if self.refused:
            question = f"The check found: {plain(self.refused)[:300]} Start anyway?"
            self.if_so(question, lambda: self._write(self._start))
        else:
            self._write(self._start)

    def leave(self, run_id: str | None) -> None:
        """Leave for the run, or without one, and remember the draft."""
        self.home.remember(self.placed(self.home.memory))
        self.dismiss(run_id)

    def if_so(self, question: str, then: Callable[[], Any]) -> None:
        """Ask, and continue after a yes."""
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
            question = f"{name} exists and differs. Overwrite it?"
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
                self.notify(f"Created the folder {made}.", markup=False)
            then(file)

    def _start(self, file: Path) -> None:
        """Start a run of the study file in a process of its own, and open it. Does nothing while a
        run is starting."""
        if not busy(self, "start"):
            self.notify("Starting…", timeout=2, markup=False)
            only = building.only(self.draft)
            in_thread(
                self, lambda: self.source.start(file, only), self._started,
                refused=self._complain, group="start",
            )  # fmt: skip

    def _started(self, run_id: str) -> None:
        """Drop the draft, since its file has the study now; keep a study that would fail."""
        if not self.refused:
            self.draft = Draft()
        self.leave(run_id)

    def _complain(self, error: Trouble) -> None:
        """Show the error and its remedy."""
        harmless = "\n".join(map(plain, said(error, "\n").splitlines()))
        self.notify(harmless, severity="error", timeout=10, markup=False)
