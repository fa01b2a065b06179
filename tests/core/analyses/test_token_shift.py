"""Promoted and demoted tokens, from a study to its rows and arrays, against brute force."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from core.analyses import representation, token_shift
from core.engine import runner
from core.engine.subject import open_subject
from core.figures import shift_tables
from core.figures.views import Catalogue, Choice, Tabulation
from core.models import loading
from core.outputs import pairs, shifts
from core.outputs.pairs import Pair
from core.study import study
from core.texts import encoding
from core.texts.probe import ProbeSet
from tests.conftest import MemorySink
from tests.core.analyses.probed import TEXTS, family, ids_of, log_probabilities, study_of


def _arrays(sink: MemorySink, model: str) -> Any:
    return next(
        artifact.arrays
        for _, result in sink.units.values()
        for artifact in result.artifacts
        if artifact.name == shift_tables.artifact("") and artifact.model == model
    )


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_counts_and_means_equal_brute_force(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shifts, "SPARING", 8)
    base, tuned = family(tmp_path, name)
    sink = MemorySink()
    runner.run(study_of(tmp_path, "tuned0", "same"), sink, ["token_shift"])
    documents = ids_of(tmp_path, TEXTS)
    both = [torch.cat(log_probabilities(module, documents)) for module in (tuned, base)]
    shift = (both[0] - both[1]).numpy()
    shift -= shift.mean(1, keepdims=True)
    order = np.argsort(shift, axis=1)
    arrays = _arrays(sink, "tuned0")
    for end, places in (("promoted", order[:, -5:]), ("demoted", order[:, :5])):
        share = np.bincount(places.ravel(), minlength=40) / len(shift)
        assert arrays[end] == pytest.approx(share, abs=1e-6)
    assert arrays["mean"] == pytest.approx(shift.mean(0), abs=1e-5)
    same = _arrays(sink, "same")
    assert not same["promoted"].any(), "a model with the base's weights promotes nothing"
    assert not same["demoted"].any()
    assert sink.value("promoted_share", model="same").value == 0
    row = sink.value("promoted_share", model="tuned0")
    assert row.n == len(TEXTS)
    assert row.chance is not None


def _pair(documents: list[int], tuned: torch.Tensor, base: torch.Tensor) -> Pair:
    numbers = np.array(documents)
    places = np.array([documents[:i].count(d) for i, d in enumerate(documents)])
    following = torch.zeros(len(numbers), dtype=torch.int64)
    contexts = np.arange(len(numbers), dtype=np.uint64) + 100 * numbers.astype(np.uint64)
    return Pair(numbers, places, places, contexts, following, tuned, base)


def _random(rows: int, seed: int, vocabulary: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(torch.randn(rows, vocabulary, generator=generator), 1)


def test_chance_is_of_the_base_at_positions_of_other_documents() -> None:
    base = _random(6, 0)
    counter = shifts.ShiftCounter(3, 100)
    counter.see(_pair([0, 0, 0, 1, 1, 2], _random(6, 1), base))
    counter.commit()
    counted = counter.counted(by_chance=True)
    assert counted is not None
    wanted = np.zeros(200)
    for position, other in ((0, 3), (1, 4), (2, 5), (3, 0), (4, 1), (5, 2)):
        change = (base[position] - base[other]).double().numpy()
        wanted[np.argsort(change - change.mean())[-4:]] += 1
    assert counted.promoted.sum(0).tolist() == wanted.tolist()
    assert counted.positions.tolist() == [3, 2, 1]
    alone = shifts.ShiftCounter(1, 100)
    alone.see(_pair([0, 0], _random(2, 1), base[:2]))
    alone.commit()
    assert alone.counted(by_chance=True) is None, "there is no other document"


def test_equal_contexts_are_no_chance() -> None:
    """All documents begin with one token: but for rounding, the base predicts the same after it."""
    base = _random(4, 0)
    base[2] = base[0] + 1e-6 * _random(1, 2)
    pair = _pair([0, 0, 1, 1], _random(4, 1), base)
    counter = shifts.ShiftCounter(2, 100)
    counter.see(replace(pair, contexts=np.array([7, 8, 7, 9], np.uint64)))
    counter.commit()
    counted = counter.counted(by_chance=True)
    assert counted is not None
    assert counted.positions.tolist() == [1, 1], "the second token of each"
    assert (counted.seen[1] == 1).all()


def test_contexts_are_told_apart_by_all_their_tokens() -> None:
    ids = [np.array(each, np.int64) for each in ([5, 6, 7], [5, 6, 8, 7], [6, 5, 7])]
    (batch,) = ProbeSet(("",) * 3, tuple(ids), (1, 1, 1)).batches(3)
    contexts = pairs._contexts(batch)
    seen: dict[int, set[tuple[int, ...]]] = {}
    for row, document in enumerate(batch.documents):
        for place in range(len(ids[document])):
            prefix = tuple(ids[document][: place + 1].tolist())
            seen.setdefault(int(contexts[row, place]), set()).add(prefix)
    assert all(len(prefixes) == 1 for prefixes in seen.values())
    assert len(seen) == 8, "two prefixes stand in two documents"


def test_blocks_within_one_document_are_compared_with_an_earlier_one() -> None:
    """A large vocabulary leaves room for a part of a document; most blocks have only one."""
    base, tuned = _random(9, 0), _random(9, 1)
    counter = shifts.ShiftCounter(2, 100)
    blocks = (([0, 0, 0], 0), ([0], 3), ([1, 1, 1, 1], 4), ([1], 8))
    for documents, start in blocks:
        if documents == [1, 1, 1, 1]:
            counter.see(_pair([2], _random(1, 2), _random(1, 3)))
            counter.begin()  # the batch is interrupted, and starts anew
        rows = slice(start, start + len(documents))
        counter.see(_pair(documents, tuned[rows], base[rows]))
        counter.commit()
    counted = counter.counted(by_chance=True)
    assert counted is not None
    assert counted.positions.tolist() == [0, 5], "the first document has none before it"
    wanted = np.zeros(200)
    for position in range(4, 9):
        change = (base[position] - base[3]).double().numpy()
        wanted[np.argsort(change - change.mean())[-4:]] += 1
    assert counted.promoted.sum(0).tolist() == wanted.tolist()
    measured = counter.counted(by_chance=False)
    assert measured is not None
    assert measured.positions.tolist() == [4, 5]


def test_a_single_document_has_no_token_beyond_chance(tmp_path: Path) -> None:
    family(tmp_path, "llama")
    (tmp_path / "one.txt").write_text(TEXTS[0])
    probe = study.Probe(file=str(tmp_path / "one.txt"))
    sink = MemorySink()
    runner.run(study_of(tmp_path, "tuned0", probe=probe), sink, ["token_shift"])
    arrays = _arrays(sink, "tuned0")
    assert arrays["promoted"].any()
    assert np.isnan(arrays["promoted_chance"]).all()

    def read(name: str, *, model: str = "", **_: Any) -> Any:
        return arrays if model == "tuned0" else None

    def table(order: str) -> Any:
        choice = Choice(measure="promoted_share", model="tuned0", order=order)
        return shift_tables.tokens(
            Tabulation(choice=choice, catalogue=Catalogue(), rows=(), arrays=read)
        )

    assert table("promoted beyond chance").rows == ()
    most = table("promoted most")
    column = [c.name for c in most.columns].index("by chance")
    assert most.rows
    assert {row[column] for row in most.rows} == {None}


def test_a_constant_added_to_all_logits_and_a_forgotten_batch_change_nothing() -> None:
    tuned, base = _random(4, 1), _random(4, 0)
    plain, moved = shifts.ShiftCounter(4, 100), shifts.ShiftCounter(4, 100)
    plain.see(_pair([0, 1, 2, 3], tuned, base))
    moved.see(_pair([0, 1, 2, 3], base, tuned))
    moved.begin()
    moved.see(_pair([0, 1, 2, 3], tuned + 5, base - 3))
    for counter in (plain, moved):
        counter.commit()
    first, second = plain.counted(by_chance=False), moved.counted(by_chance=False)
    assert first is not None
    assert second is not None
    assert (first.promoted == second.promoted).all()
    assert first.total == pytest.approx(second.total, abs=1e-4)


def test_one_token_promoted_everywhere_is_found_and_noise_is_not() -> None:
    """The tokens are chosen in other documents than those in which they are counted."""
    counter = shifts.ShiftCounter(8, 100)
    for document in range(8):
        base = _random(40, document)
        tuned = base + 0.1 * _random(40, 100 + document)
        tuned[:, 7] += 9
        counter.see(_pair([document] * 40, tuned, base))
    counter.commit()
    counted = counter.counted(by_chance=False)
    assert counted is not None
    share, low, high = counted.bounds(counted.promoted, np.array([7]))[0]
    assert (share, low, high) == (1, 1, 1)
    top = counted.top_share(100)
    assert top is not None
    noise = 3 / 199  # three further tokens of four, at random
    assert top.value == pytest.approx((1 + 3 * noise) / 4, rel=0.15)
    assert top.low is not None
    assert top.high is not None
    assert top.low < (1 + 3 * noise) / 4 < top.high


def test_the_share_is_1_where_every_position_promotes_the_same_tokens() -> None:
    """Also where a small vocabulary lets a position promote fewer tokens than are ranked."""
    counter = shifts.ShiftCounter(4, 100)
    base = _random(12, 0, vocabulary=500)
    tuned = base.clone()
    tuned[:, 20:30] += 9
    counter.see(_pair([0, 1, 2, 3] * 3, tuned, base))
    counter.commit()
    counted = counter.counted(by_chance=False)
    assert counted is not None
    top = counted.top_share(100)
    assert top is not None
    assert top.value == 1


def test_an_interval_of_a_share_ends_at_0_and_1() -> None:
    """Two documents of three positions and one: Student's interval alone leaves the range."""
    counts = np.array([[3, 0], [0, 1]])
    counted = shifts.Counted(counts, counts, np.array([3, 1]), np.zeros(2))
    assert counted.bounds(counts, np.array([0]))[0].tolist() == [0.75, 0, 1]


def _prompted(folder: Path) -> tuple[list[torch.Tensor], int]:
    """A probe file of documents with a prompt; their ids, and the first of an answer."""
    given = [("one more ", text) for text in TEXTS]
    lines = (json.dumps({"prompt": prompt, "text": text}) for prompt, text in given)
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    tokenizer = loading.tokenizer(folder / "base")
    pairs = [encoding.pair(tokenizer, *each) for each in given]
    return [torch.tensor([*prompt, *answer]) for prompt, answer in pairs], len(pairs[0][0])


def test_shares_by_position_equal_brute_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, from the models' own logits; each document is its own group here."""
    monkeypatch.setattr(shifts, "SPARING", 8)
    base, tuned = family(tmp_path, "llama")
    documents, start = _prompted(tmp_path)
    probe = study.Probe(file=str(tmp_path / "prompts.jsonl"))
    sink = MemorySink()
    runner.run(study_of(tmp_path, "tuned0", "same", probe=probe), sink, ["token_shift"])
    both = [log_probabilities(module, documents) for module in (tuned, base)]
    promoted = []
    for tuned_log, base_log in zip(*both, strict=True):
        shift = (tuned_log - base_log)[start - 1 :].numpy()
        promoted.append(np.argsort(shift - shift.mean(1, keepdims=True), 1)[:, -5:])
    shares: dict[str, list[float]] = {}
    for index, tokens in enumerate(promoted):
        others = np.concatenate([each for i, each in enumerate(promoted) if i % 2 != index % 2])
        top = np.argsort(-np.bincount(others.ravel(), minlength=40), kind="stable")[:5]
        hits = np.isin(tokens, top).mean(1)
        for name, first, last in (("1", 0, 1), ("2", 1, 2), ("3-4", 2, 4), ("5-8", 4, 8)):
            if len(hits) > first:
                shares.setdefault(name, []).append(hits[first:last].mean())
    for name, values in shares.items():
        row = sink.value("share_at_position", model="tuned0", setting=name)
        assert row.value == pytest.approx(np.mean(values), abs=1e-9)
        assert row.n == len(values)
        half = scipy.stats.t.ppf(0.975, row.n - 1) * scipy.stats.sem(values)
        assert row.low == pytest.approx(max(0, np.mean(values) - half), abs=1e-9)
        assert row.chance is not None
        assert sink.value("share_at_position", model="same", setting=name).value == 0
    assert len(shares["5-8"]) < len(TEXTS), "short answers end before"


def test_shares_by_position_cost_no_finished_unit_its_key(tmp_path: Path) -> None:
    """The rows came later than the counts: these are found again under their key."""
    family(tmp_path, "llama")
    subject = open_subject(study_of(tmp_path, "tuned0"), ["texts"])
    subject.planned["representation"] = states = representation.plan(
        subject, representation.RepresentationParameters()
    )
    parameters = token_shift.TokenShiftParameters()
    counts, positions = token_shift.plan(subject, parameters)
    assert counts.key == subject.key(
        "token_shift", 3, parameters, ["base", "tuned0"], of=[states[0].key]
    )
    assert positions.key != counts.key
