"""The first documents of a probe set with values and likeliest tokens at each token, as arrays.

Owns which tokens are stored. `core.figures.output_texts` makes the figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine.measurement import Artifact, Unit
from core.figures import output_texts
from core.models.transfers import arrived, down, up
from core.neurons import readout
from core.outputs.divergence import COLUMNS
from core.outputs.pairs import Pair
from core.texts.probe import ProbeSet

if TYPE_CHECKING:
    from core.engine.session import Session

DOCUMENTS = 8
"""The documents that are stored: the first."""

TOKENS = 192
"""The most tokens of a document, or of its answer."""

LIKELIEST = 5
"""The likeliest tokens of each model at a position."""

_KL, _NLL, _BASE_NLL = (COLUMNS.index(name) for name in ("kl", "nll", "base_nll"))


class TextStore:
    """Collects the values at the tokens of the first documents; see `core.outputs.divergence` for
    an interrupted batch."""

    def __init__(self) -> None:
        self._pending: list[dict[str, NDArray[Any]]] = []
        self._found: list[dict[str, NDArray[Any]]] = []

    def begin(self) -> None:
        """Forget an unfinished batch."""
        self._pending.clear()

    def see(self, pair: Pair, values: NDArray[np.float32]) -> None:
        """See a block of positions with its COLUMNS."""
        rows = np.flatnonzero((pair.documents < DOCUMENTS) & (pair.places + 1 < TOKENS))
        if not len(rows) or pair.base is None:
            return
        index = up(torch.from_numpy(rows), pair.own.device)
        seen: dict[str, NDArray[Any]] = {
            "document": pair.documents[rows], "place": pair.positions[rows] + 1,
            "kl": values[rows, _KL], "nll_change": values[rows, _NLL] - values[rows, _BASE_NLL],
        }  # fmt: skip
        on_host: dict[str, Tensor] = {}
        for name, log in (("own", pair.own), ("base", pair.base)):
            top = log[index].topk(min(LIKELIEST, log.shape[1]), 1)
            on_host |= {name: down(top.indices), f"{name}_share": down(top.values.exp())}
        arrived(pair.own.device)
        seen |= {name: tensor.numpy() for name, tensor in on_host.items()}
        self._pending.append(seen)

    def commit(self) -> None:
        """Add the batch."""
        self._found += self._pending
        self._pending = []

    def artifacts(self, unit: Unit, session: Session) -> list[Artifact]:
        """The arrays as an artifact of a unit; none where nothing was seen."""
        arrays = self.arrays(session.subject.probes[unit.options["probe"]], session.tokenizer)
        name = output_texts.artifact(unit.options["named"])
        made = Artifact(name=name, arrays=arrays, model=unit.model, reference=unit.reference)
        return [made] if arrays else []

    def arrays(self, probe: ProbeSet, tokenizer: Any) -> dict[str, NDArray[Any]]:
        """Arrays over the stored tokens, document by document: `document` and `place` of each
        token; `token`, `own` and `base` [tokens, LIKELIEST] places in `vocabulary`, of the token
        and of each model's likeliest ones before it; their probabilities; `kl` and
        `nll_change`. A document's first token has no prediction, and is none of them."""
        if not self._found:
            return {}
        columns = {k: np.concatenate([each[k] for each in self._found]) for k in self._found[0]}
        order = np.lexsort((columns["place"], columns["document"]))
        columns = {name: values[order] for name, values in columns.items()}
        ids = [probe.ids[d][p] if p < len(probe.ids[d]) else probe.after[d]
               for d, p in zip(columns["document"], columns["place"], strict=True)]  # fmt: skip
        known = np.unique(np.concatenate([ids, columns["own"].ravel(), columns["base"].ravel()]))
        texts = readout.texts_of(tokenizer, known.tolist(), after=int(probe.ids[0][-1]))
        placed = {n: np.searchsorted(known, columns[n]).astype(np.int32) for n in ("own", "base")}
        return {
            **columns,
            **placed,
            "document": columns["document"].astype(np.int32),
            "place": columns["place"].astype(np.int32),
            "token": np.searchsorted(known, ids).astype(np.int32),
            "vocabulary": np.array(texts, dtype=np.str_),
        }
