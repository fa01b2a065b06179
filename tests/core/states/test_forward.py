"""The shared pass: what readers see, what is stored of the base, and interruptions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.engine.measurement import UnitResult
from core.models import family, loading
from core.models.family import Family
from core.states import forward, sample
from core.states.head import Head
from core.states.readers import BaseReader
from core.states.store import StoredStates
from core.study import study
from core.study.models import Models
from core.texts.probe import Batch, ProbeSet
from tests.core import zoo

LAYERS = 2


class Spy:
    """Holds the tokens of every state that it saw, and counts them from `commit` alone."""

    layers = (1,)

    def __init__(self, fails_at: int = -1) -> None:
        self.final: dict[int, Any] = {}
        self.base: dict[int, Any] = {}
        self.layer: dict[int, Any] = {}
        self.tokens = self._now = 0
        self.fails_at = fails_at
        self._batch: Batch | None = None

    def begin(self, batch: Batch) -> None:
        self._batch, self._now = batch, 0

    def see_layer(self, layer: int, states: torch.Tensor) -> None:
        assert layer == 1
        self.layer |= self._documents(states)

    def see(self, seen: forward.Seen) -> None:
        self.final |= self._documents(seen.final)
        if seen.base is not None:
            self.base |= self._documents(seen.base)
        self._now = len(seen.tokens())
        if self.tokens >= self.fails_at >= 0:
            self.fails_at = -1
            raise RuntimeError("CUDA out of memory.")

    def commit(self) -> None:
        self.tokens += self._now

    def results(self) -> list[Any]:
        return []

    def _documents(self, states: torch.Tensor) -> dict[int, Any]:
        assert self._batch is not None
        lengths = zip(self._batch.documents, self._batch.lengths, states, strict=True)
        return {document: padded[:length].clone() for document, length, padded in lengths}


def opened(folder: Path) -> Family:
    models = Models(base=str(folder / "base"), tuned={"tuned": str(folder / "tuned0")})
    return family.open_family(models)


def session_of(of: Family, model: Any, load: Any = None, size: int = 3) -> Any:
    """A session with a model, as far as a pass knows it."""
    return SimpleNamespace(
        model=model, head=Head(model, of.anatomy.pieces), batch_size=size, load=load,
        subject=SimpleNamespace(models={"base": of.base, **of.tuned}), say=lambda words: None,
        pause=lambda: None, halved=lambda size: None,
    )  # fmt: skip


def states_of(module: Any, names: str, probe: ProbeSet) -> tuple[list[Any], list[Any]]:
    """Each document's states after the last layer and final-normed ones, one document at a time."""
    after, final = [], []
    layer = module.get_submodule(names)
    for ids in probe.ids:
        held: list[Any] = []
        handle = layer.register_forward_hook(lambda m, g, r, held=held: held.append(r))
        with torch.no_grad():
            out = module(input_ids=torch.from_numpy(ids)[None], output_hidden_states=True)
        handle.remove()
        after.append((held[0][0] if isinstance(held[0], tuple) else held[0])[0])
        final.append(out.hidden_states[-1][0])
    return after, final


NAMES = {
    "gpt2": "transformer.h.1",
    "gpt_neox": "gpt_neox.layers.1",
    "opt": "model.decoder.layers.1",
}


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_readers_see_the_states_of_the_tokens_and_the_bases(name: str, tmp_path: Path) -> None:
    """Documents of unlike lengths in batches, so that padding would show."""
    base, tuned = zoo.build(name, tmp_path)
    of, probe, run = opened(tmp_path), zoo.probe(9, 5, 1, 7, 3, 11), study.Run(device="cpu")
    places = sample.chosen(probe, 20, 0)
    stored = BaseReader(LAYERS, probe, places, sample.grouped(6, 0))
    with loading.loaded(of.base, run) as model:
        forward.read(session_of(of, model), probe, [stored], stored="k", label="")
    result = UnitResult(artifacts=stored.artifacts(), state=stored.writer.state())
    spy = Spy()
    with loading.loaded(of.tuned["tuned"], run) as model:
        session = session_of(of, model, {"k": result}.__getitem__, size=4)
        forward.read(session, probe, [spy], stored="k", label="")
        assert zoo.attached(model.module) == []
    layer = NAMES.get(name, "model.layers.1")
    close: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
    after, final = states_of(tuned.eval(), layer, probe)
    after_base, final_base = states_of(base.eval(), layer, probe)
    for document in range(6):
        torch.testing.assert_close(spy.layer[document], after[document], **close)
        torch.testing.assert_close(spy.final[document], final[document], **close)
        torch.testing.assert_close(spy.base[document], final_base[document], **close)
    assert spy.tokens == probe.tokens
    drawn = torch.stack([after_base[d][p] for d, p in places.tolist()])
    sampled = torch.from_numpy(result.arrays("sample", 1)["states"])
    torch.testing.assert_close(sampled, drawn, **close)
    sums = result.arrays("sums", 1)
    means = torch.stack([states.mean(0) for states in after_base]).sum(0).detach().numpy()
    np.testing.assert_allclose(sums["sums"][-1].sum(0), means, rtol=1e-4, atol=1e-4)
    third = sum(states[2] for states in after_base if len(states) > 2).detach().numpy()
    np.testing.assert_allclose(sums["sums"][2].sum(0), third, rtol=1e-4, atol=1e-4)
    assert sums["counts"].sum(1).tolist() == [6, 5, 5, 4, 4, 6]
    norms = sum(float(states.norm(dim=1).mean()) for states in after_base)
    assert sums["norms"][-1].sum() == pytest.approx(norms, rel=1e-4)


def test_a_lack_of_memory_leaves_no_trace(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path)
    of, probe = opened(tmp_path), zoo.probe(9, 5, 1, 7, 3, 11)
    places, groups = sample.chosen(probe, 20, 0), sample.grouped(6, 0)
    artifacts = []
    with loading.loaded(of.base, study.Run(device="cpu")) as model:
        for fails_at in (-1, 1):
            spy, reader = Spy(fails_at), BaseReader(LAYERS, probe, places, groups)
            session = session_of(of, model, size=2)
            forward.read(session, probe, [reader, spy], stored="", label="")
            assert spy.tokens == probe.tokens
            artifacts.append({(a.name, a.layer): a.arrays for a in reader.artifacts()})
    assert artifacts[0].keys() == artifacts[1].keys()
    for place, arrays in artifacts[0].items():
        for name, values in arrays.items():
            np.testing.assert_allclose(values, artifacts[1][place][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_stored_states_come_back_bit_for_bit(dtype: torch.dtype, monkeypatch: Any) -> None:
    """In chunks of a document or two, batch by batch."""
    from core.states import store

    monkeypatch.setattr(store, "CHUNK", 12 * 4 * dtype.itemsize)
    probe = zoo.probe(9, 5, 1, 7, 3, 11)
    writer = store.StatesWriter(probe)
    whole = {d: torch.randn(len(ids), 4).to(dtype) for d, ids in enumerate(probe.ids)}

    def padded(batch: Batch, fill: float) -> torch.Tensor:
        states = torch.full((*batch.ids.shape, 4), fill, dtype=dtype)
        for row, document in enumerate(batch.documents):
            states[row, : batch.lengths[row]] = whole[document]
        return states

    for batch in probe.batches(4):
        writer.see(batch, padded(batch, 7.0))
        writer.commit()
    result = UnitResult(artifacts=list(writer.artifacts()), state=writer.state())
    assert len(result.artifacts) > 2
    stored = StoredStates("k", {"k": result}.__getitem__)
    for batch in probe.batches(3):
        expected = padded(batch, 0.0)
        assert torch.equal(stored.of(batch, torch.empty_like(expected)), expected)


def test_positions_are_drawn_without_first_tokens_and_documents_evenly() -> None:
    probe = zoo.probe(9, 5, 1, 7, 3, 11)
    everything = sample.chosen(probe, 100, 0)
    assert everything.tolist() == [
        [d, p] for d, ids in enumerate(probe.ids) for p in range(1, len(ids))
    ]
    few = sample.chosen(probe, 8, 3)
    assert len({tuple(place) for place in few.tolist()}) == 8
    assert (few == sample.chosen(probe, 8, 3)).all()
    assert sample.chosen(zoo.probe(1, 1), 9, 0).tolist() == [[0, 0], [1, 0]]
    assert sorted(np.bincount(sample.grouped(40, 0))) == [2] * 8 + [3] * 8
