"""One forward pass of a loaded model over a probe set, shared by the readers of all analyses.

A reader sees batch after batch: the final-normed states, the base's own for the same tokens, and
the states after the layers that it asks for, each while the model computes it. So memory holds one
batch, and of a layer only the values that a reader takes. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from core.errors import FamilyError
from core.models.loading import halving
from core.models.opening import layers_of
from core.models.transfers import up
from core.neurons.activity import last_logits, refuse_nan, refuse_unknown_ids
from core.outputs import pairs
from core.outputs.pairs import Pair
from core.states.head import seeing_final, unwrapped
from core.states.store import StoredStates
from core.texts.probe import Batch, ProbeSet

if TYPE_CHECKING:
    from core.engine.session import Session


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch after its forward pass.

    `final` [B, T, d]: the final-normed states, the input of the output head, in the model's dtype
    and on its device; `base`: the base's own at the same tokens, None if the model is the base.
    States of padding are arbitrary: `batch.mask` tells the tokens.
    """

    batch: Batch
    final: Tensor
    base: Tensor | None

    def tokens(self) -> Tensor:
        """The places [tokens] of the batch's tokens in the flattened [B · T]."""
        return up(self.batch.mask.bool().flatten().nonzero()[:, 0], self.final.device)


class Reader(Protocol):
    """A reader of one pass. A batch may be interrupted and begin anew with fewer documents, so its
    values count only from `commit`."""

    @property
    def layers(self) -> Collection[int]:
        """The decoder layers whose states it sees."""

    def begin(self, batch: Batch) -> None:
        """Forget an unfinished batch, and start this one."""

    def see_layer(self, layer: int, states: Tensor) -> None:
        """See the states [B, T, d] after a layer. They are valid during the call."""

    def see(self, seen: Seen) -> None:
        """See the final states of the batch, after its layers."""

    def commit(self) -> None:
        """Add the batch to the sums; takes no further memory of the device."""


@runtime_checkable
class OutputReader(Reader, Protocol):
    """A reader that also sees the predictions of a batch. All such readers share their products
    with the output heads."""

    def see_pair(self, pair: Pair) -> None:
        """See the predictions at a block of positions, after the final states."""


def read(
    session: Session, probe: ProbeSet, readers: Sequence[Reader], *, stored: str, label: str
) -> None:
    """One pass of the session's model over a probe set. `stored`: the key of the unit that stores
    the base's states on these documents; `label`: the words of the progress.

    Raises RunError if the model overflows in its precision or a single document does not fit,
    FamilyError if the model does not show its states.
    """
    model = session.model
    refuse_unknown_ids(model, probe)
    base = None if model.name == "base" else StoredStates(stored, session.load)
    layers = sorted({layer for reader in readers for layer in reader.layers})
    outputs = [reader for reader in readers if isinstance(reader, OutputReader)]
    done = 0

    def work(size: int) -> None:
        nonlocal done
        for batch in probe.batches(size, skip=done):
            final: list[Tensor] = []
            for reader in readers:
                reader.begin(batch)
            with torch.inference_mode():
                with seeing_final(session.head, final.append), _layers(session, layers, readers):
                    refuse_nan(model, last_logits(model, batch))
                states = final.pop().to(model.device)
                seen = Seen(batch, states, None if base is None else base.of(batch, states))
                for reader in readers:
                    reader.see(seen)
                for pair in pairs.of_batch(session, seen) if outputs else ():
                    for output in outputs:
                        output.see_pair(pair)
            for reader in readers:
                reader.commit()
            done += len(batch.documents)
            session.say(f"{label}, document {done} of {len(probe.ids)}")
            session.pause()

    halving(work, session.batch_size, session.halved)


@contextmanager
def _layers(session: Session, layers: Sequence[int], readers: Sequence[Reader]) -> Iterator[None]:
    """Show the readers the states after layers, as the model computes them."""
    model = session.model
    names = layers_of(session.subject.models[model.name].checkpoint)
    module = unwrapped(model.module)
    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(_shown(module.get_submodule(names[layer]), layer, readers, model.name))
        yield


def _shown(module: nn.Module, layer: int, readers: Sequence[Reader], model: str) -> Any:
    def ended(module: nn.Module, given: Any, result: Any) -> None:
        states = result[0] if isinstance(result, tuple) else result
        if not isinstance(states, Tensor) or states.ndim != 3:
            raise FamilyError(
                f"'{model}' ({type(module).__name__}) shows no states after layer {layer}.",
                hint="Leave representation and activation_difference out for this type of model.",
            )
        for reader in readers:
            if layer in reader.layers:
                reader.see_layer(layer, states)

    return module.register_forward_hook(ended).remove
