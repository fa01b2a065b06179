"""A loaded model in the hands of the analyses: what they may use, and their way back to the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.hooks import Neurons
from core.loading import LoadedModel
from core.measurement import UnitResult
from core.subject import Subject


@dataclass(frozen=True, slots=True)
class Session:
    """One model in memory and the study that it is of.

    `pause` may raise Cancelled; `say` tells what is in hand; `warn` keeps a warning about the
    model; `load` gives the results of a finished unit.
    """

    subject: Subject
    model: LoadedModel
    neurons: Neurons
    pause: Callable[[], None]
    say: Callable[[str], None]
    warn: Callable[[str], None]
    load: Callable[[str], UnitResult]

    @property
    def batch_size(self) -> int:
        """Documents at once, as the study has it or as suits the device."""
        wanted = self.subject.study.run.batch_size
        if isinstance(wanted, int):
            return wanted
        return 8 if self.model.device.type == "cpu" else 32

    def halved(self, size: int) -> None:
        """Keep a warning that memory forced a smaller batch."""
        self.warn(f"memory ran out with more than {size} documents at once: went on with {size}.")
