"""The runs at one moment, and the words of an empty list. Knows no widget and reads no database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.results import wording
from app.text import plain
from app.tui.keys import with_keys
from app.tui.threads import said
from core.errors import TauscopeError

if TYPE_CHECKING:
    from storage.runs import RunSummary

DEMO = "demo"
"""The name of the demo's study."""
MAKING = """\
The demo's models are being trained once, in a separate process:

    `{stage}`

Then the run of the demo appears here. `{app.leave}` quits, and the training
continues; `{runs.cancel}` stops it."""
EMPTY = """\
No runs yet. Three ways to begin:

`{runs.build}`               build a study of your own models, step by step
`{runs.start}`               run a study file, or a ready-made study
`{runs.demo}`               run the demo: train a small family of models in a few minutes
                and see the effect of tuning on each

`{runs.library}` lists the models on this machine. A study file can be as short as this:

    name = "mine"
    [models]
    base = "Qwen/Qwen2.5-7B"
    [models.tuned]
    medical = "path/to/medical"

`{app.help}` explains the keys."""
NO_MATCH = "No run matches the filter; {runs.filter} changes it."
"""Words between backticks are keys and commands, words in braces the ids of actions."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The runs at one moment, or the error in reading them."""

    runs: tuple[RunSummary, ...] = ()
    error: TauscopeError | None = field(default=None, compare=False)
    demo: str = ""
    """The stage of the demo before it has a run."""

    @property
    def trouble(self) -> str:
        """The error in reading the runs, in words."""
        return said(self.error) if self.error else ""

    @property
    def under_way(self) -> bool:
        """Is any run running or queued?"""
        return any(run.status in wording.UNDER_WAY for run in self.runs)

    @property
    def has_demo(self) -> bool:
        """Is a run of the demo done?"""
        return any(run.name == DEMO and run.status == "done" for run in self.runs)

    @property
    def stands(self) -> tuple[object, ...]:
        """The facts whose change is shown at once; all others are progress."""
        runs = [(run.id, run.status, run.cancel_requested) for run in self.runs]
        return runs, self.trouble, bool(self.demo)

    def containing(self, word: str) -> list[RunSummary]:
        """The runs with this word in their name, id, status or a model's name."""
        word = word.casefold()
        texts = (" ".join((r.name, r.id, r.status, *r.models)).casefold() for r in self.runs)
        return [run for run, text in zip(self.runs, texts, strict=True) if word in text]

    @property
    def instead(self) -> str:
        """The words of a list without rows."""
        if self.runs:
            return with_keys(NO_MATCH)
        if self.demo:
            stage = plain(self.demo).replace("`", "'")
            return with_keys(MAKING).replace("{stage}", stage)
        return with_keys(EMPTY)
