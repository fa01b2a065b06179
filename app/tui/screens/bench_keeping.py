"""The keys of the bench that save results: a text, a trial, a merge, a point of arithmetic."""

from __future__ import annotations

from pathlib import Path

from app.text import plain
from app.tui.screens.bench_parts import BenchParts
from app.tui.screens.column import TypedScreen
from app.tui.screens.confirm import ConfirmScreen
from app.tui.screens.control import in_background
from app.tui.threads import in_thread
from core.bench.columns import Mixed, Plain
from core.vectors import arithmetic


class KeepingKeys(BenchParts):
    """The keys of results that outlast the bench."""

    def action_copy(self) -> None:
        """Copy the text of this column."""
        self.app.copy_to_clipboard(self.board.answers[self.view.column].text)
        self.notify("Copied the text.", timeout=2, markup=False)

    def action_keep(self) -> None:
        """Write the request and its answers into the run."""
        request, events, run = self.board.request, tuple(self.board.events), self.opening.run
        if request is not None:
            in_background(
                self, lambda: self.source.keep_trial(run, request, events),
                "Kept: it shows with the run's results.",
            )  # fmt: skip

    def action_write(self) -> None:
        """Ask for a folder, and write the merge of this column there."""
        mix, study = self.mix(), self.opening.study
        if mix is None or study is None:
            return

        def trouble(words: str) -> str:
            folder = Path(words).expanduser()
            if not words.strip():
                return "Type the name of a new folder."
            return f"{folder} is there already." if folder.exists() else ""

        def given(words: str | None) -> None:
            if words is not None:
                folder = Path(words).expanduser()
                self.notify("Writing the merge…", timeout=3, markup=False)
                done = f"Wrote {plain(str(folder))}."
                in_background(self, lambda: self.source.merge(study, mix, folder), done)

        self.app.push_screen(TypedScreen(f"write {mix.text} into a folder", "", trouble), given)

    def action_point(self) -> None:
        """Start a run that scores this mix on the study's tasks, as one more point."""
        mix = self.mix()
        if mix is None:
            return
        name, run = mix.text.replace(" ", ""), self.opening.run

        def started(run_id: str) -> None:
            self.notify(f"Started the run {run_id[:8]}.", markup=False)

        def answered(yes: bool | None) -> None:
            if yes:
                in_thread(
                    self, lambda: self.source.add_point(run, name), started,
                    refused=self.refuse, group="point",
                )  # fmt: skip

        question = (
            f"Start a run of this study with the point {plain(name)[:200]} added to arithmetic? "
            "It takes over the results that are finished."
        )
        self.app.push_screen(ConfirmScreen(question), answered)

    def mix(self) -> Mixed | None:
        """This column as a point of task arithmetic, if it is one."""
        if not self.board.setups:
            return None
        column = self.board.column(self.view.column)
        if isinstance(column, Plain) and column.model != "base":
            return Mixed(arithmetic.make({column.model: 1.0}, self.board.tuned))
        return column if isinstance(column, Mixed) else None
