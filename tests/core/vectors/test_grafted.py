"""Grafts in live models of transformers, against mixed state dicts and plain forward passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from core.errors import RunError
from core.models import family as families
from core.models.loading import LoadedModel
from core.models.placement import Placement
from core.study import intake
from core.vectors import grafted
from core.vectors.grafted import Bed
from core.vectors.grafting import EVERYTHING, FULL, NOTHING, Graft, Grafting, of_group
from core.vectors.sweep import hash_parameters
from tests.core import oracle, zoo

PROBE = zoo.probe(9, 5, 1, 7, 12)
FIRST = Graft(frozenset((0,)))


class _Family:
    """A live base, the live tuned model, and a grafting of the base."""

    def __init__(self, name: str, folder: Path) -> None:
        _, self.tuned = zoo.build(name, folder)
        opened = families.open_family(
            intake.of_models(str(folder / "base"), [str(folder / "tuned0")]).models
        )
        self.base = hf.AutoModelForCausalLM.from_pretrained(folder / "base")
        self.base.eval().requires_grad_(False)
        self.tuned.eval().requires_grad_(False)
        self.grafting = Grafting(self.base, opened.anatomy.pieces, opened.tuned)

    def bed(self, **more: Any) -> Bed:
        model = LoadedModel(
            "base", self.base, torch.device("cpu"), Placement({"": "cpu"}), self.base.config
        )
        given: dict[str, Any] = {
            "batch_size": 2, "pause": lambda: None,
            "on_halved": lambda size: pytest.fail("memory ran out"),
        }  # fmt: skip
        return Bed(model, self.grafting, PROBE, **{**given, **more})


@pytest.fixture(scope="module", params=sorted(zoo.CONFIGS))
def family(request: Any, tmp_path_factory: Any) -> Iterator[_Family]:
    made = _Family(request.param, tmp_path_factory.mktemp(request.param))
    before = hash_parameters(made.base)
    with made.grafting:
        yield made
    assert hash_parameters(made.base) == before
    assert zoo.attached(made.base) == []


@pytest.fixture
def llama(tmp_path: Path) -> Iterator[_Family]:
    made = _Family("llama", tmp_path)
    with made.grafting:
        yield made


def _losses(model: Any) -> Any:
    """The mean negative log-likelihood of each document by a plain forward pass in float64."""
    losses = []
    for ids in PROBE.ids:
        one = torch.from_numpy(ids)[None]
        with torch.no_grad():
            logits = model(input_ids=one).logits[0, :-1].double()
        chosen = torch.log_softmax(logits, -1).gather(1, one[0, 1:, None])
        losses.append(float(-chosen.mean()) if len(ids) > 1 else np.nan)
    return np.array(losses)


def _mixed(family: _Family, takes: Any) -> Any:
    """A model with the tuned model's tensors where `takes` says so, by their names."""
    base, tuned = family.base.state_dict(), family.tuned.state_dict()
    made = hf.AutoModelForCausalLM.from_config(family.base.config).eval()
    made.load_state_dict({n: tuned[n] if takes(n) else base[n] for n in base})
    return made


def test_losses_equal_plain_passes_of_mixed_models(family: _Family) -> None:
    grafts = [NOTHING, EVERYTHING, FIRST, Graft(frozenset((1,))), Graft(frozenset((0, 1)))]
    wanted = [
        _losses(family.base),
        _losses(family.tuned),
        _losses(_mixed(family, lambda name: ".0." in name.partition("experts")[0])),
        _losses(_mixed(family, lambda name: ".1." in name.partition("experts")[0])),
        _losses(_mixed(family, lambda name: ".0." in name or ".1." in name)),
    ]
    bed = family.bed()
    result = bed.losses("tuned0", grafts)
    assert bed.steps is True
    np.testing.assert_allclose(result.losses, wanted, atol=2e-6)
    assert np.isnan(result.losses[:, 2]).all()  # a document of one token predicts nothing
    assert np.ptp([np.nanmean(row) for row in result.losses]) > 1e-3
    # Of two layers: the base 2, all 2, layer 0 and both of them 2 + 1, layer 1 one.
    assert result.passes == 4.0
    bed.steps = False
    whole = bed.losses("tuned0", grafts)
    np.testing.assert_array_equal(whole.losses, result.losses)
    assert whole.passes == len(grafts)


@pytest.mark.parametrize("module", ["q", "attention", "mlp", "norm"])
def test_a_graft_changes_its_modules_alone(family: _Family, module: str) -> None:
    base, tuned = oracle.modules(family.base), oracle.modules(family.tuned)
    of = {"attention": set("qkvo"), "mlp": {"gate", "up", "down", "fc_in", "fc_out", "router"}}
    graft = Graft(frozenset((1,)), of_group(module))
    assert graft.modules is not None
    assert of.get(module, {module}) <= graft.modules
    with family.grafting.stage("tuned0", [NOTHING, graft], lambda piece: True) as stage:
        stage.put(stage.configurations[1])
        for place, tensors in oracle.modules(family.base).items():
            changed = place[0] == 1 and place[1] in of.get(module, {module})
            for matrix, *pair in zip(tensors, base[place], tuned[place], strict=True):
                np.testing.assert_array_equal(matrix, pair[changed], err_msg=str(place))
        stage.put(stage.configurations[0])
        assert all(
            np.array_equal(x, y)
            for place, tensors in oracle.modules(family.base).items()
            for x, y in zip(tensors, base[place], strict=True)
        )


def test_changes_are_cut_to_their_top_rank(family: _Family) -> None:
    """Matrix by matrix as numpy's singular values cut them; vectors stay the base's."""
    base, tuned = oracle.modules(family.base), oracle.modules(family.tuned)
    grafts = [Graft(rank=rank) for rank in (1, 3, FULL)]
    with family.grafting.stage("tuned0", grafts, lambda piece: piece.layer == 0) as stage:
        for rank, configuration in zip((1, 3, FULL), stage.configurations, strict=True):
            stage.put(configuration)
            for place, tensors in oracle.modules(family.base).items():
                for matrix, before, after in zip(tensors, base[place], tuned[place], strict=True):
                    wanted = before
                    if place[0] == 0 and before.ndim == 2 and min(before.shape) > 1:
                        u, s, v = np.linalg.svd(after - before, full_matrices=False)
                        wanted = before + (u[:, :rank] * s[:rank]) @ v[:rank]
                    np.testing.assert_allclose(matrix, wanted, atol=1e-6, err_msg=str(place))


def test_few_states_in_memory_give_the_same(llama: _Family, monkeypatch: Any) -> None:
    grafts = [NOTHING, EVERYTHING, FIRST, Graft(modules=of_group("mlp")), Graft(rank=2)]
    wanted = llama.bed().losses("tuned0", grafts).losses
    monkeypatch.setattr(grafted, "STATES", 1)
    np.testing.assert_array_equal(llama.bed().losses("tuned0", grafts).losses, wanted)


def test_layers_that_share_state_take_whole_passes(llama: _Family, monkeypatch: Any) -> None:
    """As models do whose later layers reuse what an earlier one has computed."""
    shared: list[Any] = []
    first, last = llama.base.model.layers
    own_first, own_last = first.forward, last.forward

    def keeping(state: Any, *given: Any, **named: Any) -> Any:
        shared[:] = [own_first(state, *given, **named)]
        return shared[0]

    def adding(state: Any, *given: Any, **named: Any) -> Any:
        return own_last(state, *given, **named) + 0.5 * shared[0].roll(1, -1)

    monkeypatch.setattr(first, "forward", keeping)
    monkeypatch.setattr(last, "forward", adding)
    bed = llama.bed()
    result = bed.losses("tuned0", [NOTHING, FIRST])
    assert bed.steps is False
    np.testing.assert_allclose(result.losses[0], _losses(llama.base), atol=2e-6)
    assert result.passes == 2


def test_an_error_restores_the_base(llama: _Family) -> None:
    before = hash_parameters(llama.base)
    calls = iter(range(20))

    def pause() -> None:
        if next(calls) == 19:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        llama.bed(pause=pause).losses("tuned0", [FIRST, EVERYTHING])
    assert hash_parameters(llama.base) == before
    assert zoo.attached(llama.base) == []


def test_weights_changed_from_outside_are_refused(tmp_path: Path) -> None:
    made = _Family("llama", tmp_path)
    with pytest.raises(RunError, match="do not equal the weights before"), made.grafting:
        made.base.model.norm.weight.add_(1)
