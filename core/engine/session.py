"""A loaded model for the analyses: its tools, and their callbacks to the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.engine.measurement import UnitResult
from core.engine.subject import Subject
from core.models.hooks import Neurons, locate_heads
from core.models.loading import LoadedModel
from core.models.opening import anatomy_of
from core.models.pieces import Piece
from core.sizes import counted

if TYPE_CHECKING:
    from core.evaluation.evaluator import Evaluator
    from core.states.head import Head


@dataclass(eq=False)
class Session:
    """One model in memory and its study.

    `pause` may raise Cancelled; `say` reports the current step; `warn` adds a
    warning about the model to the unit in progress; `load` returns the results of a finished unit.
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
        """Documents per batch, from the study or chosen for the device."""
        wanted = self.subject.study.run.batch_size
        if isinstance(wanted, int):
            return wanted
        return 8 if self.model.device.type == "cpu" else 32

    @cached_property
    def heads(self) -> Neurons:
        """The attention heads in the form of neurons."""
        member = self.subject.models[self.model.name]
        return locate_heads(self.model.module, anatomy_of(member.checkpoint).outlets)

    @cached_property
    def head(self) -> Head:
        """The final norm and the output head of the model."""
        from core.states.head import Head

        return Head(self.model, self.pieces)

    @cached_property
    def base_head(self) -> Head:
        """The final norm and the output head of the base."""
        from core.states.head import Head

        if self.model.name == "base":
            return self.head
        return Head(self.model, self.pieces, of=self.subject.family.base)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The base's parameters in the common vocabulary, by their names in memory."""
        return self.subject.family.anatomy.pieces

    @cached_property
    def evaluator(self) -> Evaluator:
        """The harness around the model, built once for all its tasks."""
        from core.evaluation.evaluator import Evaluator

        wanted = self.subject.study.run.batch_size
        return Evaluator(self.model.module, self.tokenizer, batch_size=wanted)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokeniser of the study's models, with this model's chat template."""
        return self.subject.tokenizer(self.model.name)

    def halved(self, size: int) -> None:
        """Add a warning that memory forced a smaller batch."""
        self.warn(
            f"memory ran out with more than {counted(size, 'document')} at once: "
            f"continued with {size}."
        )
