"""How far rounding alone moves a model's predictions: the model against itself in another batch.

A value that a tuned model does not exceed says nothing about its tuning.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.transfers import up
from core.neurons.activity import forward
from core.outputs.divergence import COLUMNS, compared
from core.outputs.pairs import AT_ONCE, predicted
from core.states.head import seeing_final

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.states.forward import Seen
    from core.texts.probe import Batch


def measured(session: Session, seen: Seen, documents: int) -> NDArray[np.float32]:
    """The COLUMNS [tokens, 5] of the model in a batch against itself in a batch of another size,
    over the first documents of the batch: alone, or in a batch of two if it was alone."""
    blocks = [np.zeros((0, len(COLUMNS)), np.float32)]
    for row in range(min(documents, len(seen.batch.documents))):
        again = _apart(seen.batch, row)
        final: list[Tensor] = []
        with torch.inference_mode(), seeing_final(session.head, final.append):
            forward(session.model, again)
        places = again.scored[0].nonzero()[:, 0]
        step = max(1, session.head.block // AT_ONCE)
        for start in range(0, len(places), step):
            chunk = places[start : start + step]
            ours, theirs = (up(chunk, states.device) for states in (final[0], seen.final))
            log_probs = predicted(session.head, final[0][0, ours])
            other = predicted(session.head, seen.final[row, theirs])
            following = up(again.following[0, chunk], log_probs.device)
            blocks.append(compared(log_probs, other.to(log_probs.device), following))
    return np.concatenate(blocks)


def _apart(batch: Batch, row: int) -> Batch:
    """A document of a batch without the others and their padding."""
    length, rows = batch.lengths[row], [row] if len(batch.documents) > 1 else [row, row]
    return replace(
        batch,
        documents=tuple(batch.documents[i] for i in rows),
        ids=batch.ids[rows, :length],
        lengths=(length,) * len(rows),
        following=batch.following[rows, :length],
        scored=batch.scored[rows, :length],
    )
