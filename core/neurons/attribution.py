"""Attribution of a loss to each neuron: attribution patching with a zero baseline.

The effect of ablating a neuron h is, to first order, −h · ∂L/∂h: one forward and one backward pass
give it for all neurons at once (Nanda 2023; Kramár et al. 2024, AtP). Layers keep their states for
the backward pass where memory allows it, and compute them again elsewhere. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import checkpoint

from core.errors import out_of_memory
from core.models.hooks import Activations, LayerNeurons, Neurons, tapping
from core.models.loading import LoadedModel, halving
from core.models.transfers import up
from core.neurons.activity import (
    Counter,
    Rules,
    forward,
    refuse_nan,
    refuse_other_tokens,
    refuse_unknown_ids,
)
from core.neurons.recomputing import Keeping, Recomputing
from core.texts.probe import Batch, ProbeSet

Loss = Callable[[Tensor, Batch], Tensor]
"""A function of logits [B, T, vocabulary] and the batch: a scalar, a sum over the documents."""


@dataclass(slots=True)
class LayerScores:
    """Scores of a layer's neurons (or heads), float32, one each; but `mean` [inputs].

    `attribution`: mean over documents of |Σ_t h · ∂L/∂h|; `effect`: mean over documents of Σ_t −h ·
    ∂L/∂h, above 0 if ablating the neuron raises the loss; `magnitude`: mean |h| and `mean`: mean h
    over all tokens (a token not routed to an expert counts as 0).
    """

    attribution: NDArray[np.float32]
    effect: NDArray[np.float32]
    magnitude: NDArray[np.float32]
    mean: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of all layers by number; `counter` has the criteria of the rules, if requested."""

    layers: dict[int, LayerScores]
    counter: Counter | None


def attribute(
    model: LoadedModel,
    neurons: Neurons,
    probe: ProbeSet,
    *,
    batch_size: int,
    pause: Callable[[int], None],
    on_halved: Callable[[int], None],
    rules: Rules | None = None,
    loss: Loss | None = None,
) -> Scores:
    """Score every neuron on a probe set. The default loss is `text_loss`.

    With `rules`, also count active neurons by their criteria, in the same pass. By the criterion
    `attribution` a neuron is active if its ablation would raise the loss (−h · ∂L/∂h > 0 at a
    token). `pause` and `on_halved` as in `core.neurons.activity.observe`.
    """
    refuse_unknown_ids(model, probe)
    counter = Counter(neurons, probe, rules) if rules is not None else None
    sums = {layer.number: _Sums(layer) for layer in neurons.layers}
    done, crowded = 0, False

    def batch_sums(batch: Batch) -> dict[int, _Found]:
        """Each layer's sums over a batch; after a lack of memory no batch keeps states."""
        nonlocal crowded
        one = partial(_one_batch, model, neurons, batch, counter, loss or text_loss)
        keeping = Recomputing() if crowded else Keeping(batch.ids.numel() * _loss_bytes(model))
        try:
            return one(keeping)
        except RuntimeError as error:
            if not (keeping.layers and out_of_memory(error)):
                raise
        crowded = True
        return one(Recomputing())

    def work(size: int) -> None:
        nonlocal done
        for batch in probe.batches(size, skip=done):
            for layer, layer_sums in batch_sums(batch).items():
                sums[layer].add(layer_sums)
            if counter is not None:
                counter.commit()
            done += len(batch.documents)
            pause(done)

    halving(work, batch_size, on_halved)
    documents, tokens = len(probe.ids), probe.tokens
    return Scores(
        {n: layer_sums.result(documents, tokens) for n, layer_sums in sums.items()}, counter
    )


def text_loss(logits: Tensor, batch: Batch) -> Tensor:
    """The summed negative log-likelihood, in nats, of the scored tokens given the previous ones."""
    rows, columns = batch.scored.nonzero(as_tuple=True)
    wanted = up(batch.following[rows, columns], logits.device)
    scored = logits[up(rows, logits.device), up(columns, logits.device)]
    return functional.cross_entropy(scored.float(), wanted, reduction="sum")


_Found = dict[str, Tensor]


class _Sums:
    """The running sums of one layer, float64."""

    def __init__(self, layer: LayerNeurons) -> None:
        self.total = {n: zeros.double() for n, zeros in _zeros(layer, torch.device("cpu")).items()}

    def add(self, sums: _Found) -> None:
        for name, values in sums.items():
            held = values if values.device.type == "cuda" else values.cpu()  # mps has no float64
            self.total[name] = up(self.total[name], held.device) + held.double()

    def result(self, documents: int, tokens: int) -> LayerScores:
        over = {"attribution": documents, "effect": documents, "magnitude": tokens, "mean": tokens}
        return LayerScores(
            **{n: (values / over[n]).float().cpu().numpy() for n, values in self.total.items()}
        )  # fmt: skip


def _loss_bytes(model: LoadedModel) -> int:
    """The bytes that a token takes in a loss: its logits, their copy and log-softmax in float32,
    and the gradients of all three."""
    dtype = next(model.module.parameters()).dtype
    return 2 * (dtype.itemsize + 2 * torch.float32.itemsize) * model.vocabulary


def _one_batch(
    model: LoadedModel, neurons: Neurons, batch: Batch, counter: Counter | None, loss: Loss,
    keeping: Keeping,
) -> dict[int, _Found]:  # fmt: skip
    """Each layer's sums over one batch."""
    if counter is not None:
        counter.begin(batch)
    backward = False
    products: dict[tuple[int, int], Tensor] = {}
    sums: dict[int, _Found] = {}

    def tap(layer: int, part: Activations) -> Tensor | None:
        """Forward: register for the gradient of h. In recomputing a layer: store its h."""
        if backward:
            products[layer, part.start] = part.product.detach()
            return None
        refuse_other_tokens(layer, part, batch)
        if counter is not None:
            counter.tap(layer, part)
        if keeping.keeps:
            products[layer, part.start] = keeping.hold(part.product.detach())
        # The hook must not refer to the part, or all layers' activations would stay in memory. It
        # must be on the tensor that the model continues with.
        product: Any = part.product.view_as(part.product)
        product.register_hook(partial(arrived, layer, part.start, part.tokens))
        passed_on: Tensor = product
        return passed_on

    def arrived(layer: int, start: int, tokens: Tensor | None, gradient: Tensor) -> None:
        product = products.pop((layer, start))
        part = Activations(start, product, product, tokens)
        _add(sums, layers[layer], part, gradient, batch, counter)

    layers = {layer.number: layer for layer in neurons.layers}
    with ExitStack() as attached:
        attached.enter_context(torch.enable_grad())
        attached.enter_context(tapping(neurons, tap, after=counter.after if counter else None))
        attached.enter_context(_gradients_from_embedding(model.module))
        attached.enter_context(checkpoint.set_checkpoint_early_stop(False))
        for layer in neurons.layers:
            attached.enter_context(keeping.around(layer.module))
        total = loss(forward(model, batch).logits, batch)
        refuse_nan(model, total)
        backward = True
        torch.autograd.backward(total)
    return sums


def _add(
    sums: dict[int, _Found],
    layer: LayerNeurons,
    part: Activations,
    gradient: Tensor,
    batch: Batch,
    counter: Counter | None,
) -> None:
    """Add the sums of one part of a layer in a batch."""
    product = part.product
    layer_sums = sums.setdefault(layer.number, _zeros(layer, product.device))
    inputs = slice(part.start, part.start + product.shape[1])
    units = slice(inputs.start // layer.group, inputs.stop // layer.group)
    if part.tokens is not None and product.device.type == "cuda":
        _add_routed(layer_sums, units, inputs, layer.group, part, gradient, batch)
        documents: Iterable[Any] = ()
    else:
        documents = _rows_by_document(part, batch)
    for rows in documents:
        h = product[rows].float()
        effect = -(h * gradient[rows].float()).sum(0).reshape(-1, layer.group).sum(1)
        layer_sums["attribution"][units] += effect.abs()
        layer_sums["effect"][units] += effect
        layer_sums["magnitude"][units] += h.abs().sum(0).reshape(-1, layer.group).mean(1)
        layer_sums["mean"][inputs] += h.sum(0)
    if counter is not None and "attribution" in counter.rules.criteria:
        counter.add(layer.number, "attribution", part, product.float() * gradient.float() < 0)


def _add_routed(
    sums: _Found, units: slice, inputs: slice, group: int, part: Activations, gradient: Tensor,
    batch: Batch,
) -> None:  # fmt: skip
    """Add the sums of an expert's tokens, all documents at once: choosing a document's rows would
    wait for their number. A product with flags adds in an order that does not change."""
    assert part.tokens is not None
    count, length = batch.ids.shape
    device = part.product.device
    documents = up(torch.arange(count), device)
    lengths = up(torch.tensor(batch.lengths), device)
    inside = (part.tokens // length == documents[:, None]) & (
        part.tokens % length < lengths[:, None]
    )
    h = part.product.float()
    members = inside.to(h)
    effect = -(members @ (h * gradient.float())).view(count, -1, group).sum(2)
    sums["attribution"][units] += effect.abs().sum(0)
    sums["effect"][units] += effect.sum(0)
    sums["magnitude"][units] += (members @ h.abs()).view(count, -1, group).mean(2).sum(0)
    sums["mean"][inputs] += (members @ h).sum(0)


def _zeros(layer: LayerNeurons, device: torch.device) -> _Found:
    zeros = {
        n: torch.zeros(layer.width, device=device) for n in ("attribution", "effect", "magnitude")
    }
    return {**zeros, "mean": torch.zeros(layer.width * layer.group, device=device)}


def _rows_by_document(part: Activations, batch: Batch) -> Iterator[Any]:
    """The rows of a part for each document's tokens; padding belongs to no document."""
    length = batch.ids.shape[1]
    for i, count in enumerate(batch.lengths):
        if part.tokens is None:
            yield slice(i * length, i * length + count)
        else:
            yield (part.tokens >= i * length) & (part.tokens < i * length + count)


@contextmanager
def _gradients_from_embedding(model: nn.Module) -> Iterator[None]:
    """Make the embedded tokens require gradients, since the weights are frozen."""

    def embedded(module: nn.Module, given: Any, result: Tensor) -> Tensor:
        return result.detach().requires_grad_(True)

    embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    handle = embedding.register_forward_hook(embedded)
    try:
        yield
    finally:
        handle.remove()
