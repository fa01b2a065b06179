"""What is counted of neurons, against brute force over what the weights give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.errors import RunError
from core.neurons import activity
from core.neurons.activity import DRIVERS, Counter, LayerActivity, Rules, observe, unpacked
from tests.core import oracle, zoo

LENGTHS = (9, 5, 1, 7, 12, 2)
ALL: tuple[Any, ...] = ("gate", "product", "magnitude")
LAYERS = range(2)


def _seen(model: Any, probe: Any, rules: Rules, batch_size: int = 4, **more: Any) -> Counter:
    return observe(
        model, zoo.found_in(model), probe, rules, batch_size=batch_size,
        pause=more.pop("pause", lambda done: None),
        on_halved=more.pop("on_halved", lambda size: pytest.fail("memory ran out")),
    )  # fmt: skip


def _flags(model: Any, probe: Any, criterion: str, epsilon: float = 0.01) -> list[list[Any]]:
    """The flags [tokens, neurons] of every layer and document, each document on its own."""
    by_layer: list[list[Any]] = [[] for _ in LAYERS]
    for ids in probe.ids:
        one = torch.from_numpy(ids)[None]
        for layer, neurons in enumerate(oracle.neurons(model.module, one, torch.ones_like(one))):
            gate, h = neurons.gate[0].numpy(), neurons.product[0].numpy()
            largest = np.abs(h).max(1, keepdims=True)
            flags = {"gate": gate > 0, "product": h > 0, "magnitude": np.abs(h) > epsilon * largest}
            by_layer[layer].append(flags[criterion])
    return by_layer


def _equal(seen: LayerActivity, flags: list[Any], rules: Rules) -> None:
    rates = np.array([document_flags.mean(0) for document_flags in flags])
    np.testing.assert_array_equal(
        seen.counts, np.sum([document_flags.sum(0) for document_flags in flags], axis=0)
    )
    np.testing.assert_allclose(
        seen.share, [document_flags.mean() for document_flags in flags], rtol=1e-12
    )
    wanted = (
        np.array([document_flags[-1] for document_flags in flags])
        if rules.last
        else rates > rules.threshold
    )
    np.testing.assert_array_equal(unpacked(seen.patterns, rates.shape[1]), wanted)
    best = -np.sort(-rates, axis=0)[:DRIVERS]
    np.testing.assert_allclose(seen.driven, best, rtol=1e-6)
    for place in range(DRIVERS):
        for neuron, document in enumerate(seen.drivers[place]):
            if best[place, neuron] > 0:
                assert rates[document, neuron] == pytest.approx(best[place, neuron])
            else:
                assert document == -1


@pytest.mark.parametrize("criterion", ALL)
@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_counts_patterns_and_drivers_equal_brute_force(name: str, criterion: Any) -> None:
    """Padded batches against single documents: padding changes nothing either."""
    model, probe = zoo.alive(name), zoo.probe(*LENGTHS)
    rules = Rules(criteria=(criterion,))
    counter = _seen(model, probe, rules)
    assert counter.tokens == sum(LENGTHS)
    for layer, flags in enumerate(_flags(model, probe, criterion)):
        _equal(counter.layer(layer, criterion), flags, rules)


@pytest.mark.parametrize(
    "rules",
    [
        Rules(criteria=ALL, last=True),
        Rules(criteria=ALL, threshold=0.0),
        Rules(criteria=ALL, threshold=0.75, epsilon=0.2),
        Rules(criteria=ALL, epsilon=0.0),
    ],
)
@pytest.mark.parametrize("name", ["llama", "qwen2_moe"])
def test_every_rule_equals_brute_force(name: str, rules: Rules) -> None:
    model, probe = zoo.alive(name), zoo.probe(*LENGTHS)
    counter = _seen(model, probe, rules)
    for criterion in ALL:
        for layer, flags in enumerate(_flags(model, probe, criterion, rules.epsilon)):
            _equal(counter.layer(layer, criterion), flags, rules)


def test_a_neuron_on_at_exactly_half_of_the_tokens_is_off() -> None:
    """The threshold is strict, and 0.5 · 2 tokens is met by chance often enough to see it."""
    model, probe = zoo.alive("llama"), zoo.probe(2)
    counter = _seen(model, probe, Rules())
    flags = _flags(model, probe, "gate")[0][0]
    half = flags.sum(0) == 1
    assert half.any()
    assert not unpacked(counter.layer(0, "gate").patterns, 48)[0][half].any()


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize("name", ["gpt2", "opt", "gemma2", "mixtral"])
def test_the_size_of_the_batch_changes_nothing(name: str, size: int) -> None:
    model, probe = zoo.alive(name), zoo.probe(*LENGTHS)
    one, other = (_seen(model, probe, Rules(criteria=ALL), n) for n in (4, size))
    for layer in LAYERS:
        for criterion in ALL:
            a, b = (each.layer(layer, criterion) for each in (one, other))
            np.testing.assert_array_equal(a.counts, b.counts)
            np.testing.assert_array_equal(a.patterns, b.patterns)
            np.testing.assert_array_equal(a.share, b.share)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3_moe"])
def test_half_precision_is_counted_on_its_bits(name: str, dtype: torch.dtype) -> None:
    """Exactly what brute force in the same precision gives, and near what float32 does."""
    model, probe = zoo.alive(name, dtype), zoo.probe(*LENGTHS)
    batch = next(probe.batches(len(LENGTHS)))
    truth = oracle.neurons(model.module, batch.ids, batch.mask)
    counter = _seen(model, probe, Rules(criteria=("gate", "product")), len(LENGTHS))
    whole = _seen(zoo.alive(name), probe, Rules(criteria=("gate", "product")))
    for layer in LAYERS:
        for criterion in ("gate", "product"):
            flags = (getattr(truth[layer], criterion) > 0)[batch.mask.bool()]
            counts = counter.layer(layer, criterion).counts
            tokens = sum(LENGTHS)
            assert np.abs(counts - flags.sum(0).numpy()).max() <= 0.05 * tokens
            near = np.abs(counts - whole.layer(layer, criterion).counts)
            assert near.mean() < 0.05 * tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_zero_of_either_sign_is_not_positive_and_the_least_number_is(dtype: torch.dtype) -> None:
    least = torch.finfo(dtype).smallest_normal
    values = torch.tensor([0.0, -0.0, least, -least, 1.0, -1.0, float("inf"), float("-inf")])
    positive = activity._positive(values.to(dtype)[None])[0].tolist()
    assert positive == [False, False, True, False, True, False, True, False]


def test_more_tokens_than_a_byte_counts() -> None:
    flags = np.random.default_rng(0).random((700, 5)) < 0.9
    np.testing.assert_array_equal(activity._summed(flags), flags.sum(0))


def test_a_batch_that_memory_breaks_off_is_halved_and_leaves_no_trace() -> None:
    """Memory runs out in the second layer, when the first has been counted."""
    model, probe = zoo.alive("qwen2"), zoo.probe(*LENGTHS)
    wanted = _seen(model, probe, Rules(criteria=ALL), 1)
    halved: list[int] = []

    def full(module: Any, given: Any) -> None:
        if len(given[0]) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    handle = zoo.blocks(model)[1].mlp.register_forward_pre_hook(full)
    try:
        seen = _seen(model, probe, Rules(criteria=ALL), 4, on_halved=halved.append)
    finally:
        handle.remove()
    assert halved == [2, 1]
    for layer in LAYERS:
        for criterion in ALL:
            a, b = (each.layer(layer, criterion) for each in (seen, wanted))
            np.testing.assert_array_equal(a.counts, b.counts)
            np.testing.assert_array_equal(a.patterns, b.patterns)
    assert zoo.attached(model.module) == []


def test_a_document_that_does_not_fit_is_one_clear_error() -> None:
    model = zoo.alive("qwen2")

    def full(module: Any, given: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    handle = zoo.blocks(model)[1].register_forward_pre_hook(full)
    try:
        with pytest.raises(RunError, match="single document") as raised:
            _seen(model, zoo.probe(4, 4), Rules(), 2, on_halved=lambda size: None)
    finally:
        handle.remove()
    assert "max_memory" in raised.value.hint


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    model = zoo.alive("qwen2")

    def broken(module: Any, given: Any) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    handle = zoo.blocks(model)[1].register_forward_pre_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="shapes"):
            _seen(model, zoo.probe(4, 4), Rules(), 2)
    finally:
        handle.remove()


def test_numbers_that_are_none_are_not_counted() -> None:
    """A model that overflows in half precision: its activations would be about half 'on'."""
    model = zoo.alive("qwen2")
    handle = zoo.blocks(model)[1].register_forward_hook(
        lambda module, given, result: result * float("nan")
    )
    try:
        with pytest.raises(RunError, match=r"qwen2.*no finite numbers") as raised:
            _seen(model, zoo.probe(4, 4), Rules())
    finally:
        handle.remove()
    assert "run.dtype" in raised.value.hint


def test_pause_hears_of_every_batch_and_may_end_it() -> None:
    heard: list[int] = []

    def pause(done: int) -> None:
        heard.append(done)
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _seen(zoo.alive("llama"), zoo.probe(*LENGTHS), Rules(), 3, pause=pause)
    assert heard == [3, 6]


def test_the_last_tokens_are_named_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor would have to be on the head's device, which is not that of the inputs where a model
    spans cards."""
    model, probe = zoo.alive("qwen2"), zoo.probe(*LENGTHS)
    given: list[Any] = []
    through = activity.forward

    def seen(*arguments: Any, **named: Any) -> Any:
        given.append(named["logits_to_keep"])
        return through(*arguments, **named)

    monkeypatch.setattr(activity, "forward", seen)
    _seen(model, probe, Rules())
    assert given
    assert all(type(place) is int for places in given for place in places)
