"""Activated neurons of a model on a probe set: counts, patterns and top documents.

Owns the criteria of activation and the sums over tokens and documents. Works on a layer's own
device, with the activations of one layer and one batch in memory at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import FamilyError, RunError
from core.models.hooks import Activations, Neurons, tapping
from core.models.loading import LoadedModel, halving
from core.models.transfers import arrived, down, up
from core.texts.probe import Batch, ProbeSet

Criterion = Literal["gate", "product", "magnitude", "attribution"]

DRIVERS = 3
"""Number of documents stored for each neuron: the documents with its highest rates."""

_INTEGER = {torch.bfloat16: torch.int16, torch.float16: torch.int16}
_NUMBERS = 2**31 - 1
_STEP = 255  # most rows of a uint8 sum of flags


@dataclass(frozen=True, slots=True)
class Rules:
    """Parameters of the criteria. `epsilon`: share of the token's largest |h| (criterion
    magnitude); `threshold`: share of a document's tokens above which the neuron is on in the
    document's pattern; `last`: use the pattern at the document's last token instead."""

    criteria: tuple[Criterion, ...] = ("gate",)
    epsilon: float = 0.01
    threshold: float = 0.5
    last: bool = False

    @property
    def forward(self) -> tuple[Criterion, ...]:
        """The criteria that a forward pass is enough for."""
        return tuple(c for c in self.criteria if c != "attribution")


@dataclass(slots=True)
class LayerActivity:
    """The activity of one layer under one criterion.

    `counts` [neurons] int64: tokens at which each neuron was active; `patterns` [documents,
    ⌈neurons / 8⌉] uint8: np.packbits of the documents' patterns; `share` [documents] float64: the
    active share of a document's (token, neuron) pairs; `drivers` [DRIVERS, neurons] int32 and
    `driven` float32: the documents with the highest rates, and the rates (-1 and 0 where there are
    fewer documents).
    """

    counts: NDArray[np.int64]
    patterns: NDArray[np.uint8]
    share: NDArray[np.float64]
    drivers: NDArray[np.int32]
    driven: NDArray[np.float32]


class Counter:
    """Counts activated neurons batch by batch; an interrupted batch leaves no trace.

    The criterion `attribution` needs a backward pass, whose flags come through `add`.
    """

    def __init__(self, neurons: Neurons, probe: ProbeSet, rules: Rules) -> None:
        self.rules = rules
        self.tokens = probe.tokens
        self._widths = {layer.number: layer.width for layer in neurons.layers}
        self._batch: Batch | None = None
        self._parts: list[Activations] = []
        self._pending: dict[tuple[int, Criterion], tuple[Tensor, Tensor]] = {}
        self._sums = {
            (number, criterion): _Sums(width, len(probe.ids))
            for number, width in self._widths.items()
            for criterion in rules.criteria
        }

    def begin(self, batch: Batch) -> None:
        """Discard an unfinished batch and start this one."""
        self._batch = batch
        self._parts.clear()
        self._pending.clear()

    def tap(self, layer: int, part: Activations) -> None:
        """Receive a part of a layer; see `core.models.hooks`."""
        if self._batch is not None:
            refuse_other_tokens(layer, part, self._batch)
        if self.rules.forward:
            product, gate = part.product.detach(), part.gate.detach()
            self._parts.append(replace(part, product=product, gate=gate))

    def after(self, layer: int) -> None:
        """Count a layer after its forward pass."""
        tests = _tests(self._parts, self.rules)
        for criterion in self.rules.forward:
            for part in self._parts:
                self.add(layer, criterion, part, tests[criterion](part))
        self._parts.clear()

    def add(self, layer: int, criterion: Criterion, part: Activations, flags: Tensor) -> None:
        """Count a part's flags [tokens, width] bool."""
        assert self._batch is not None
        batch, width = self._batch, self._widths[layer]
        if part.tokens is None and flags.shape[1] == width:
            self._pending[layer, criterion] = _by_document(flags, batch)
            return
        if (layer, criterion) not in self._pending:
            counts = torch.zeros(len(batch.lengths), width, dtype=torch.int32, device=flags.device)
            self._pending[layer, criterion] = counts, torch.zeros_like(counts, dtype=torch.bool)
        columns = slice(part.start, part.start + flags.shape[1])
        counts, last = (each[:, columns] for each in self._pending[layer, criterion])
        if part.tokens is None:
            counts[:], last[:] = _by_document(flags, batch)
        else:
            _routed(flags, part.tokens, batch, counts, last)

    def commit(self) -> None:
        """Add the batch to the sums."""
        assert self._batch is not None
        lengths, documents = torch.tensor(self._batch.lengths), self._batch.documents
        on_host = {
            place: self._sums[place].add(counts, last, lengths, documents, self.rules)
            for place, (counts, last) in self._pending.items()
        }
        arrived(*(counts.device for counts, _ in self._pending.values()))
        for place, (on, active) in on_host.items():
            self._sums[place].put(on, active, lengths, documents)
        self._pending.clear()

    def layer(self, number: int, criterion: Criterion) -> LayerActivity:
        """The activity of a layer."""
        return self._sums[number, criterion].result()


class _Sums:
    """The running sums of one layer under one criterion."""

    def __init__(self, width: int, documents: int) -> None:
        self.counts = torch.zeros(width, dtype=torch.int64)
        self.patterns = np.zeros((documents, -(-width // 8)), np.uint8)
        self.share = np.zeros(documents)
        self.driving = [torch.zeros(width, dtype=torch.int64) for _ in range(DRIVERS)]

    def add(
        self,
        counts: Tensor,
        last: Tensor,
        lengths: Tensor,
        documents: tuple[int, ...],
        rules: Rules,
    ) -> tuple[Tensor, Tensor]:
        """Add a batch's counts; returns the patterns and the active pairs of its documents on their
        way to the host, for `put`."""
        device = counts.device
        lengths = up(lengths, device)[:, None]
        self.counts = up(self.counts, device) + counts.sum(0, dtype=torch.int64)
        on = last if rules.last else counts > rules.threshold * lengths
        self._drive(counts / lengths, documents)
        return down(on), down(counts.sum(1, dtype=torch.int64))

    def put(self, on: Tensor, active: Tensor, lengths: Tensor, documents: tuple[int, ...]) -> None:
        """Take what `add` returned, after its arrival."""
        where = list(documents)
        self.patterns[where] = np.packbits(on.numpy(), axis=1)
        self.share[where] = (active.double() / (lengths * on.shape[1])).numpy()

    def _drive(self, rates: Tensor, documents: tuple[int, ...]) -> None:
        """Insert documents into each neuron's top documents, highest first.

        The bits of a rate, which increase with it, and the document form one number, so maximum and
        minimum insert it; among equal rates the earlier document comes first.
        """
        numbers = _NUMBERS - up(torch.tensor(documents), rates.device)
        for rising in (rates.view(torch.int32).long() << 32) | numbers[:, None]:
            for place, held in enumerate(self.driving):
                held = up(held, rising.device)
                self.driving[place] = torch.maximum(held, rising)
                rising = torch.minimum(held, rising)

    def result(self) -> LayerActivity:
        driving = torch.stack(self.driving).cpu()
        driven = (driving >> 32).int().view(torch.float32)
        drivers = torch.where(driven > 0, _NUMBERS - (driving & _NUMBERS), -1).int()
        return LayerActivity(
            self.counts.cpu().numpy(), self.patterns, self.share, drivers.numpy(), driven.numpy()
        )


def observe(
    model: LoadedModel,
    neurons: Neurons,
    probe: ProbeSet,
    rules: Rules,
    *,
    batch_size: int,
    pause: Callable[[int], None],
    on_halved: Callable[[int], None],
) -> Counter:
    """One forward pass over the probe set. `pause` is called with the number of finished documents,
    and may raise; `on_halved` is called with a reduced batch size. Raises RunError if the model
    overflows in its precision."""
    refuse_unknown_ids(model, probe)
    counter = Counter(neurons, probe, rules)
    done = 0

    def work(size: int) -> None:
        nonlocal done
        for batch in probe.batches(size, skip=done):
            counter.begin(batch)
            with torch.inference_mode(), tapping(neurons, counter.tap, after=counter.after):
                refuse_nan(model, last_logits(model, batch))
            counter.commit()
            done += len(batch.documents)
            pause(done)

    halving(work, batch_size, on_halved)
    return counter


def forward(model: LoadedModel, batch: Batch, **more: Any) -> Any:
    """The model's output for a batch."""
    return model.module(
        input_ids=up(batch.ids, model.device),
        attention_mask=up(batch.mask, model.device),
        use_cache=False,
        **more,
    )


def refuse_unknown_ids(model: LoadedModel, probe: ProbeSet) -> None:
    """Raise FamilyError if a probe set has tokens without an embedding in the model."""
    largest = max(max(int(ids.max()) for ids in probe.ids), *probe.after, 0)
    if largest >= model.vocabulary:
        raise FamilyError(
            f"'{model.name}' embeds {model.vocabulary} tokens, but the probe set has the token id "
            f"{largest}.",
            hint="Set models.tokenizer to a tokeniser that all models share.",
        )


def refuse_other_tokens(layer: int, part: Activations, batch: Batch) -> None:
    """Raise FamilyError if a layer computes its neurons at other places than the batch's tokens."""
    if part.tokens is None and len(part.product) != batch.ids.numel():
        raise FamilyError(
            f"Layer {layer} computes its neurons at {len(part.product)} places for "
            f"{batch.ids.numel()} tokens: they can't be counted by token.",
            hint="Leave activation, edit_distance and ablation out for this type of model.",
        )


def refuse_nan(model: LoadedModel, numbers: Tensor) -> None:
    """Raise RunError if a model's values are not finite."""
    if bool(torch.isnan(numbers).any()):
        raise RunError(
            f"'{model.name}' gives no finite numbers in {str(numbers.dtype)[6:]}.",
            hint="Set run.dtype to 'bfloat16' or 'float32'.",
        )


def unpacked(patterns: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Unpacked patterns [documents, width]."""
    return np.unpackbits(patterns, axis=1, count=width).astype(bool)


def last_logits(model: LoadedModel, batch: Batch) -> Tensor:
    """The logits at each document's last token [B, vocabulary]; the others are skipped if the model
    allows it, since they would need the most memory."""
    ends = np.array(batch.lengths) - 1
    wanted, place = np.unique(ends, return_inverse=True)
    module: Any = model.module
    takes = inspect.signature(
        getattr(module, "get_base_model", lambda: module)().forward
    ).parameters
    if "logits_to_keep" in takes:
        # A list, since the head may be on another device than the inputs.
        logits = forward(model, batch, logits_to_keep=wanted.tolist()).logits
    else:
        logits, place = forward(model, batch).logits, ends
    rows, columns = (torch.from_numpy(each) for each in (np.arange(len(ends)), place))
    last: Tensor = logits[up(rows, logits.device), up(columns, logits.device)]
    return last


def _tests(
    parts: Sequence[Activations], rules: Rules
) -> dict[Criterion, Callable[[Activations], Tensor]]:
    """The criteria of a forward pass, as functions from a part to flags [tokens, width] bool."""
    tests: dict[Criterion, Callable[[Activations], Tensor]] = {
        "gate": lambda part: _positive(part.gate),
        "product": lambda part: _positive(part.product),
    }
    if "magnitude" in rules.criteria:
        tests["magnitude"] = _magnitude(parts, rules.epsilon)
    return tests


def _magnitude(parts: Sequence[Activations], epsilon: float) -> Callable[[Activations], Tensor]:
    """|h| > ε · max |h|, the maximum over all of the layer's neurons at the token."""
    tokens = max(
        [len(p.product) for p in parts if p.tokens is None]
        + [int(p.tokens.max()) + 1 for p in parts if p.tokens is not None]
    )
    largest = torch.zeros(tokens, dtype=parts[0].product.dtype, device=parts[0].product.device)
    for part in parts:
        peaks = part.product.abs().amax(1)
        if part.tokens is None:
            largest = torch.maximum(largest, peaks)
        else:
            largest.scatter_reduce_(0, part.tokens, peaks, "amax")

    def test(part: Activations) -> Tensor:
        limit = largest if part.tokens is None else largest[part.tokens]
        return part.product.abs().float() > epsilon * limit.float()[:, None]

    return test


def _positive(values: Tensor) -> Tensor:
    """values > 0, [tokens, width] bool. On a CPU by numpy, on the bits of half-precision numbers:
    torch's own comparison takes many times as long there."""
    if values.device.type != "cpu":
        return values > 0
    plain: Any = values.detach().view(_INTEGER.get(values.dtype, values.dtype)).numpy()
    return torch.from_numpy(plain > 0)


def _by_document(flags: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sums of flags [B · T, width] over each document's tokens, and the last token's flags."""
    count, length = batch.ids.shape
    rows = flags.reshape(count, length, -1)
    last = up(torch.tensor([n - 1 for n in batch.lengths]), flags.device)
    ends = rows[torch.arange(count, device=flags.device), last]
    if flags.device.type != "cpu":
        mask = up(batch.mask, flags.device).bool()
        return (rows & mask[:, :, None]).sum(1, dtype=torch.int32), ends
    sums = np.stack([_summed(rows[i, :n].numpy()) for i, n in enumerate(batch.lengths)])
    return torch.from_numpy(sums), ends


def _summed(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The column sums of flags, in uint8 as far as possible, which sums many at once."""
    total = np.zeros(flags.shape[1], np.int32)
    for start in range(0, len(flags), _STEP):
        total += np.add.reduce(flags[start : start + _STEP].view(np.uint8), axis=0, dtype=np.uint8)
    return total


def _routed(flags: Tensor, tokens: Tensor, batch: Batch, counts: Tensor, last: Tensor) -> None:
    """Add the flags of tokens routed to an expert to the rows of their documents."""
    length = batch.ids.shape[1]
    lengths = up(torch.tensor(batch.lengths), tokens.device)
    documents, positions = tokens // length, tokens % length
    real, ends = positions < lengths[documents], positions == lengths[documents] - 1
    if tokens.device.type == "cuda":  # a choice of rows would wait for their number
        counts.index_add_(0, documents, (flags & real[:, None]).int())
        hits = torch.zeros_like(counts).index_add_(0, documents, (flags & ends[:, None]).int())
        last |= hits > 0
        return
    counts.index_add_(0, documents[real], flags[real].int())
    last[documents[ends]] = flags[ends]
