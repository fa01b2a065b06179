"""The keys of the bench that save results: a text, a trial, a merge, a point of arithmetic."""

from __future__ import annotations

from app.text import plain
from app.tui.screens.bench_parts import BenchParts
from app.tui.screens.confirm import ConfirmScreen
from app.tui.screens.control import in_background
from app.tui.screens.mixing import ask_to_write_mix
from app.tui.threads import in_thread
from core.bench.columns import Mixed, mixed


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
                "Saved in the run's results.",
            )  # fmt: skip

    def action_write(self) -> None:
        """Ask for a folder, and write the merge of this column there."""
        mix, study = self.mix(), self.opening.study
        if mix is not None and study is not None:
            ask_to_write_mix(self, self.source, study, mix)

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
                    refused=self.refuse, group="point", exclusive=False,
                )  # fmt: skip

        question = (
            f"Start a run of this study with the point {plain(name)[:200]} added to arithmetic? It "
            "reuses the finished results."
        )
        self.app.push_screen(ConfirmScreen(question), answered)

    def mix(self) -> Mixed | None:
        """This column as a point of task arithmetic, if it is one."""
        if not self.board.setups:
            return None
        return mixed(self.board.column(self.view.column), self.board.tuned)
