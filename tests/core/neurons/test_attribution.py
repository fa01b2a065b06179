"""Scores of neurons against plain autograd, and against the true effect where that is linear."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from core.models.hooks import Activations, tapping
from core.neurons import attribution, recomputing
from core.neurons.activity import Rules, observe, unpacked
from core.neurons.attribution import LayerScores, Scores, attribute, text_loss
from tests.core import oracle, zoo

LENGTHS = (9, 5, 1, 7, 12)
LAYERS = range(2)
ATTRIBUTED = Rules(criteria=("attribution",))
FORWARD = Rules(criteria=("gate", "product", "magnitude"))
ALL = Rules(criteria=("gate", "product", "magnitude", "attribution"))
SCORES = ("attribution", "effect", "magnitude", "mean")


def _scores(model: Any, probe: Any, batch_size: int = 2, **more: Any) -> Scores:
    return attribute(
        model, zoo.found_in(model), probe, batch_size=batch_size,
        pause=more.pop("pause", lambda done: None),
        on_halved=more.pop("on_halved", lambda size: pytest.fail("memory ran out")), **more,
    )  # fmt: skip


def _truth(model: Any, probe: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """The scores of each layer, and the effect of each neuron at each token of each document."""
    effects: list[list[Any]] = [[] for _ in LAYERS]
    products: list[list[Any]] = [[] for _ in LAYERS]
    for ids in probe.ids:
        one = torch.from_numpy(ids)[None]

        def loss(logits: Any, one: Any = one) -> Any:
            chosen = torch.log_softmax(logits[0, :-1].float(), -1).gather(1, one[0, 1:, None])
            return -chosen.sum()

        captured = oracle.products_with_gradients(model.module, one, torch.ones_like(one), loss)
        for layer, (product, gradient) in enumerate(captured):
            h, g = product[0].double().numpy(), gradient[0].double().numpy()
            effects[layer].append(-h * g)
            products[layer].append(h)
    scores = []
    for layer in LAYERS:
        whole = np.array([e.sum(0) for e in effects[layer]])
        tokens = np.concatenate(products[layer])
        scores.append({
            "attribution": np.abs(whole).mean(0), "effect": whole.mean(0),
            "magnitude": np.abs(tokens).mean(0), "mean": tokens.mean(0),
        })  # fmt: skip
    return scores, effects


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Knows the memory of every tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, torch.Tensor):
                storage = each.untyped_storage()
                reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self._made[reference.cdata] = reference, storage.nbytes()
        return result

    def nbytes(self) -> int:
        """The bytes of the tensors that still exist."""
        gc.collect()
        alive = (n for ref, n in self._made.values() if not ref.expired())  # type: ignore[no-untyped-call]
        return sum(alive)


def _equal(scores: LayerScores, truth: dict[str, Any], **near: Any) -> None:
    for name, wanted in truth.items():
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(getattr(scores, name), wanted, err_msg=name, **near)


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_scores_and_active_neurons_equal_plain_autograd(name: str) -> None:
    model, probe = zoo.alive(name), zoo.probe(*LENGTHS)
    truth, effects = _truth(model, probe)
    scores = _scores(model, probe, rules=ALL)
    assert scores.counter is not None
    counter = observe(
        model, zoo.found_in(model), probe, FORWARD, batch_size=2, pause=lambda done: None,
        on_halved=lambda size: pytest.fail("memory ran out"),
    )  # fmt: skip
    for layer in LAYERS:
        _equal(scores.layers[layer], truth[layer], rtol=2e-4, atol=2e-6)
        seen = scores.counter.layer(layer, "attribution")
        flags = [e > 0 for e in effects[layer]]
        np.testing.assert_array_equal(seen.counts, np.sum([f.sum(0) for f in flags], axis=0))
        np.testing.assert_allclose(seen.share, [f.mean() for f in flags])
        wanted = np.array([f.mean(0) > 0.5 for f in flags])
        np.testing.assert_array_equal(unpacked(seen.patterns, wanted.shape[1]), wanted)
        for criterion in FORWARD.criteria:  # counted in the same pass as in one of their own
            shared, apart = (c.layer(layer, criterion) for c in (scores.counter, counter))
            for part in ("counts", "patterns", "share", "drivers", "driven"):
                np.testing.assert_array_equal(getattr(shared, part), getattr(apart, part))
    assert zoo.attached(model.module) == []


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2_moe"])
def test_kept_and_recomputed_states_give_the_same_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, probe = zoo.alive(name), zoo.probe(*LENGTHS)
    made: list[recomputing.Keeping] = []

    class Watched(recomputing.Keeping):
        def __init__(self, reserved: int) -> None:
            super().__init__(0)
            made.append(self)

    monkeypatch.setattr(attribution, "Keeping", Watched)
    monkeypatch.setattr(recomputing, "SHARES", {"cpu": 1.0})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1 << 20)
    scored = {}
    # Room for all layers, for one (the first always fits, a second like it does not), for none.
    for room, layers in ((1 << 30, 2), (1, 1), (0, 0)):
        made.clear()
        monkeypatch.setattr("core.models.memory.free", lambda device, room=room: room)
        scored[room] = _scores(model, probe, 5, rules=ALL)
        assert [keeping.layers for keeping in made] == [layers]
        assert (sum(made[0].taken.values()) > 0) == (layers > 0)
    for other in (scored[1], scored[0]):
        for layer in LAYERS:
            for score in SCORES:
                a, b = (getattr(each.layers[layer], score) for each in (scored[1 << 30], other))
                np.testing.assert_array_equal(a, b)


def test_the_count_of_kept_bytes_is_that_of_the_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the tensors that exist when the loss is computed, less those of a pass that keeps
    nothing."""
    model, probe = zoo.alive("llama"), zoo.probe(60, 60)
    held: list[int] = []
    made: list[recomputing.Keeping] = []

    class Watched(recomputing.Keeping):
        def __init__(self, reserved: int) -> None:
            super().__init__(reserved)
            made.append(self)

    monkeypatch.setattr(attribution, "Keeping", Watched)
    for free in (0, 1 << 34):
        monkeypatch.setattr("core.models.memory.free", lambda device, free=free: free)
        with _Alive() as alive:

            def looking(logits: Any, batch: Any, alive: _Alive = alive) -> Any:
                held.append(alive.nbytes())
                return text_loss(logits, batch)

            _scores(model, probe, loss=looking)
    assert made[1].layers == 2
    # Layers' inputs are counted too, which exist in both.
    assert held[1] - held[0] <= sum(made[1].taken.values()) <= 1.15 * (held[1] - held[0])


@pytest.mark.parametrize("name", ["llama", "qwen2_moe"])
def test_the_size_of_the_batch_changes_nothing(name: str) -> None:
    model, probe = zoo.alive(name), zoo.probe(*LENGTHS)
    alone, together = _scores(model, probe, 1), _scores(model, probe, 5)
    for layer in LAYERS:
        for score in ("attribution", "effect", "magnitude", "mean"):
            np.testing.assert_allclose(
                getattr(alone.layers[layer], score), getattr(together.layers[layer], score),
                rtol=1e-4, atol=1e-6,
            )  # fmt: skip


def test_half_precision_comes_near() -> None:
    probe = zoo.probe(*LENGTHS)
    whole, half = (_scores(zoo.alive("llama", t), probe) for t in (torch.float32, torch.bfloat16))
    for layer in LAYERS:
        for score in ("attribution", "magnitude"):
            a, b = (getattr(each.layers[layer], score) for each in (whole, half))
            assert np.corrcoef(a, b)[0, 1] > 0.99
            assert np.abs(a - b).max() < 0.1 * a.max()


def test_the_effect_is_exact_where_the_loss_is_linear_in_the_neuron() -> None:
    """The last layer without its norm, and a loss linear in the logits: ablating a neuron then
    changes the loss by exactly its effect."""
    model = zoo.alive("llama")
    module: Any = copy.deepcopy(model.module)
    module.model.norm = nn.Identity()
    model = replace(model, module=module)
    probe, weights = zoo.probe(6, 4), torch.randn(40, generator=torch.Generator().manual_seed(1))

    def linear(logits: Any, batch: Any) -> Any:
        return (logits[batch.mask.bool()] @ weights.to(logits.dtype)).sum()

    scores = _scores(model, probe, loss=linear).layers[1]
    exact = replace(model, module=copy.deepcopy(model.module).double())

    def loss_without(neuron: int | None) -> float:
        def ablate(layer: int, part: Activations) -> Any:
            changed = part.product.clone()
            if layer == 1 and neuron is not None:
                changed[:, neuron] = 0
            return changed

        batch = next(probe.batches(2))
        with torch.no_grad(), tapping(zoo.found_in(exact), ablate):
            out = exact.module(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
            return float(linear(out.logits, batch))

    for neuron in (0, 7, 31, 47):
        truth = (loss_without(neuron) - loss_without(None)) / len(probe.ids)
        assert scores.effect[neuron] == pytest.approx(truth, rel=1e-4, abs=1e-6)


def test_the_loss_counts_scored_tokens_alone() -> None:
    """Here those after a document's beginning; padding never, nor a token without one before."""
    probe = replace(zoo.probe(6, 4), scored_from=(3, 1))
    batch = next(probe.batches(2))
    logits = torch.randn(2, 6, 40, generator=torch.Generator().manual_seed(0))
    logged = torch.log_softmax(logits.double(), -1)
    wanted = sum(
        -logged[row, place - 1, int(batch.ids[row, place])]
        for row, places in enumerate([range(3, 6), range(1, 4)])
        for place in places
    )
    assert float(text_loss(logits, batch)) == pytest.approx(float(wanted), rel=1e-6)


def test_documents_of_a_single_token_have_nothing_to_predict() -> None:
    scores = _scores(zoo.alive("llama"), zoo.probe(1, 1)).layers[0]
    assert not scores.attribution.any()
    assert not scores.effect.any()
    assert scores.magnitude.all()


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2_moe"])
def test_without_room_no_layer_s_neurons_are_held_until_the_backward_pass(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.models.memory.free", lambda device: 0)
    model, probe = zoo.alive(name), zoo.probe(11, 11)
    widths = {24, 48, 128} if name != "qwen2_moe" else {16, 24}
    held: list[tuple[int, ...]] = []

    def looking(logits: Any, batch: Any) -> Any:
        gc.collect()
        held.extend(
            tuple(each.shape)
            for each in gc.get_objects()
            if type(each) is torch.Tensor
            and each.dim() > 1 and each.shape[-1] in widths
        )  # fmt: skip
        return text_loss(logits, batch)

    _scores(model, probe, loss=looking)
    assert held == []


def test_a_batch_that_memory_breaks_off_in_its_backward_pass_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.models.memory.free", lambda device: 0)
    model, probe = zoo.alive("qwen2"), zoo.probe(*LENGTHS)
    wanted = _scores(model, probe, 2, rules=ATTRIBUTED)
    calls: list[int] = []
    halved: list[int] = []

    def full(module: Any, given: Any) -> None:
        calls.append(len(given[0]))
        if len(given[0]) > 2 and len(calls) == 4:  # layer 0, done again after layer 1
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    blocks = zoo.blocks(model)
    handles = [block.mlp.register_forward_pre_hook(full) for block in blocks]
    try:
        scores = _scores(model, probe, 4, rules=ATTRIBUTED, on_halved=halved.append)
    finally:
        for handle in handles:
            handle.remove()
    assert halved == [2]
    assert calls[:4] == [4, 4, 4, 4]
    for layer in LAYERS:
        for score in ("attribution", "effect", "magnitude", "mean"):
            a, b = (getattr(each.layers[layer], score) for each in (scores, wanted))
            np.testing.assert_array_equal(a, b)
        seen = [each.counter.layer(layer, "attribution") for each in (scores, wanted)]  # type: ignore[union-attr]
        np.testing.assert_array_equal(seen[0].counts, seen[1].counts)
    assert zoo.attached(model.module) == []


def test_without_memory_for_states_they_are_recomputed_before_a_batch_is_halved() -> None:
    model, probe = zoo.alive("qwen2"), zoo.probe(*LENGTHS)
    wanted = _scores(model, probe, 5, rules=ALL)
    calls: list[int] = []

    def full(module: Any, given: Any) -> None:
        calls.append(len(given[0]))
        if len(calls) == 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    handles = [block.mlp.register_forward_pre_hook(full) for block in zoo.blocks(model)]
    try:
        scores = _scores(model, probe, 5, rules=ALL)
    finally:
        for handle in handles:
            handle.remove()
    assert calls == [5] * 6  # two layers, once again, and once more each
    assert scores.counter is not None
    assert wanted.counter is not None
    for layer in LAYERS:
        for score in SCORES:
            a, b = (getattr(each.layers[layer], score) for each in (scores, wanted))
            np.testing.assert_array_equal(a, b)
        for criterion in ALL.criteria:
            a, b = (c.layer(layer, criterion).counts for c in (scores.counter, wanted.counter))
            np.testing.assert_array_equal(a, b)


def test_states_are_freed_if_the_backward_pass_never_comes() -> None:
    """RMSNorm's root saves its own result, and with it all of the graph before it."""
    model, seen = zoo.alive("llama"), list[Any]()

    def watch(module: Any, given: Any, result: Any) -> None:
        seen.append(StorageWeakRef(result.untyped_storage()))  # type: ignore[no-untyped-call]

    def broken(logits: Any, batch: Any) -> Any:
        raise ValueError("wrong")

    handles = [block.mlp.act_fn.register_forward_hook(watch) for block in zoo.blocks(model)]
    try:
        with pytest.raises(ValueError, match="wrong"):
            _scores(model, zoo.probe(*LENGTHS), loss=broken)
    finally:
        for handle in handles:
            handle.remove()
    gc.collect()
    assert len(seen) == len(LAYERS)
    assert [each.expired() for each in seen] == [True] * len(LAYERS)


def test_pause_hears_of_every_batch_and_may_end_it() -> None:
    heard: list[int] = []

    def pause(done: int) -> None:
        heard.append(done)
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _scores(zoo.alive("llama"), zoo.probe(*LENGTHS), pause=pause)
    assert heard == [2, 4]
    assert zoo.attached(zoo.alive("llama").module) == []


def test_what_is_not_scored_is_a_mistake_that_shows() -> None:
    """A model that hides its embedding would give neurons without gradients."""
    model = zoo.alive("llama")
    module: Any = copy.deepcopy(model.module)
    module.get_input_embeddings = lambda: nn.Embedding(40, 1)
    hidden = replace(model, module=module)
    with pytest.raises(RuntimeError, match="gradient"):
        attribution.attribute(
            hidden, zoo.found_in(hidden), zoo.probe(4), batch_size=1, pause=lambda done: None,
            on_halved=lambda size: None,
        )  # fmt: skip
