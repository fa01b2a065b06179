"""What directions say in tokens, against full decompositions of live models in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.engine import registry, runner
from core.figures.layout import figure
from core.figures.views import Catalogue, Choice, Tabulation
from core.study import intake
from core.weights import linalg
from core.weights.views import MatrixView, UpdateView
from tests.conftest import MemorySink, tiny_config, tiny_tensors, write_model
from tests.core import oracle, zoo

WRITES = ("o", "down", "fc_out")
TOP = 3


def _run(base: Path, *tuned: Path, top: int = TOP, **parameters: Any) -> MemorySink:
    study = intake.of_models(str(base), [str(path) for path in tuned])
    given = {"directions": {"top": top, "tokens": 4, **parameters}}
    sink = MemorySink()
    runner.run(study.model_copy(update={"analyses": given}), sink, ("directions",))
    return sink


def _arrays(sink: MemorySink, name: str, model: str, layer: int | None) -> Any:
    artifacts = [a for _, result in sink.units.values() for a in result.artifacts]
    return next(
        (a.arrays for a in artifacts if (a.name, a.model, a.layer) == (name, model, layer)), {}
    )


def _kurtosis(values: Any) -> Any:
    centred = values - values.mean(0)
    return (centred**4).mean(0) / (centred**2).mean(0) ** 2


def _normed(model: Any, states: Any) -> Any:
    """The final norm of states [n, d] of mean square 1, less that of zeros."""
    kind = model.config.model_type
    body = getattr(model, "model", None) or getattr(model, "transformer", None) or model.gpt_neox
    body = getattr(body, "decoder", body)
    names = ("norm", "ln_f", "final_layer_norm")
    norm = next(getattr(body, name) for name in names if hasattr(body, name))
    gain = norm.weight.detach().double().numpy() + kind.startswith("gemma")
    if kind in ("gpt2", "gpt_neox", "opt"):
        centred = states - states.mean(1, keepdims=True)
        return gain * centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    return gain * states / np.sqrt((states**2).mean(1, keepdims=True) + eps)


def _told(model: Any, module: str, directions: Any) -> Any:
    """The products [tokens, n] of directions [n, d]."""
    if module in WRITES:
        head = model.get_output_embeddings().weight.detach().double().numpy()
        return head @ _normed(model, directions * np.sqrt(directions.shape[1])).T
    rows = model.get_input_embeddings().weight.detach().double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) @ directions.T


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "phi3", "gpt_neox", "opt",
                                  "qwen2_moe"])  # fmt: skip
def test_directions_and_tokens_equal_brute_force(name: str, tmp_path: Path) -> None:
    base, tuned = zoo.build(name, tmp_path)
    sink = _run(tmp_path / "base", tmp_path / "tuned0")
    before, after = oracle.modules(base), oracle.modules(tuned)
    checked = set()
    for (layer, module, expert), parts in before.items():
        if parts[0].ndim != 2 or module == "norm":
            continue
        W = parts[0]
        for model, matrix in (("tuned0", after[layer, module, expert][0] - W), ("base", W)):
            u, s, v = np.linalg.svd(matrix, full_matrices=False)
            products = _told(base, module, u.T[:TOP] if module in WRITES else v[:TOP])
            arrays = _arrays(sink, "directions", model, layer)
            key = module if expert is None else f"{module}.{expert}"
            tolerance: Any = {"rtol": 2e-3, "atol": 1e-6}  # the update is a difference in float32
            share = s[:TOP] ** 2 / (s**2).sum()
            np.testing.assert_allclose(arrays[f"{key}.share"], share, **tolerance)
            expected = _kurtosis(products)
            np.testing.assert_allclose(arrays[f"{key}.kurtosis"], expected, **tolerance)
            row = sink.value("concentration", model=model, layer=layer, module=module,
                             expert=expert)  # fmt: skip
            assert row.value == pytest.approx(expected.mean(), rel=2e-3)
            words = arrays["vocabulary"][arrays[f"{key}.tokens"]]
            for j, column in enumerate(products.T):
                first = int(words[j, 0, 0].removeprefix("#"))
                signed = column if abs(column.max() - column[first]) < 1e-5 else -column
                ends = np.stack([np.sort(signed)[::-1][:4], np.sort(signed)[:4]])
                np.testing.assert_allclose(arrays[f"{key}.products"][j], ends, rtol=1e-2, atol=1e-3)
                ids = [[int(word.removeprefix("#")) for word in end] for end in words[j]]
                np.testing.assert_allclose(signed[ids], ends, rtol=1e-2, atol=1e-3)
        checked.add(module)
    assert len(checked) >= 6
    rows = sink.rows("concentration", model="tuned0", layer=0)
    assert {row.module for row in rows if row.expert is None} == checked
    if name == "qwen2_moe":
        down_rows = [row for row in rows if row.module == "down"]
        experts = [row.value or 0.0 for row in down_rows if row.expert is not None]
        (whole,) = (row for row in down_rows if row.expert is None)
        assert len(experts) == 4
        assert whole.value == pytest.approx(np.mean(experts))
        assert whole.n == 4 * TOP


def test_chance_is_that_of_random_directions(tmp_path: Path) -> None:
    base, _ = zoo.build("llama", tmp_path)
    sink = _run(tmp_path / "base", tmp_path / "tuned0", random=400)
    rng = np.random.default_rng(5)
    drawn = rng.standard_normal((4000, 32))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    for module in ("down", "q"):
        values = _kurtosis(_told(base, module, drawn))
        row = sink.value("concentration", model="tuned0", layer=1, module=module)
        assert row.n == TOP
        assert row.chance == pytest.approx(values.mean(), abs=4 * values.std() / 20)
        assert row.chance_sd == pytest.approx(values.std() / TOP**0.5, rel=0.3)


def test_a_planted_token_is_found(tmp_path: Path) -> None:
    """An update that writes one token's logit: that token, far beyond chance, and beyond W's."""
    vocabulary, token = 200, 77
    config = tiny_config(vocab_size=vocabulary)
    tensors = tiny_tensors(vocab=vocabulary)
    head = tensors["lm_head.weight"]
    head[token] = torch.linalg.qr(torch.randn(16, 16)).Q[0] * 3
    base = write_model(tmp_path / "base", config, tensors)
    name = "model.layers.1.mlp.down_proj.weight"
    direction = head[token] / tensors["model.norm.weight"]
    planted = {**tensors, name: tensors[name] + 0.1 * torch.outer(direction, torch.ones(24))}
    tuned = write_model(tmp_path / "tuned", config, planted)
    same = write_model(tmp_path / "same", config, tensors)
    sink = _run(base, tuned, same)
    row = sink.value("concentration", model="tuned", layer=1, module="down")
    assert row.n == 1  # of rank one
    assert row.value is not None
    assert row.chance is not None
    assert row.chance_sd is not None
    base_value = sink.value("concentration", model="base", layer=1, module="down").value
    assert row.value > row.chance + 2 * row.chance_sd
    assert base_value is not None
    assert row.value > base_value
    arrays = _arrays(sink, "directions", "tuned", 1)
    ends = arrays["vocabulary"][arrays["down.tokens"]][0]
    assert f"#{token}" in (ends[0, 0], ends[1, 0])
    # Where nothing changed nothing is said.
    for model, module in (("tuned", "q"), ("same", "down")):
        empty = sink.value("concentration", model=model, layer=1, module=module)
        assert (empty.value, empty.chance, empty.n) == (None, None, None)
    assert sink.value("embedding_move", model="same", module="embedding").value == 0
    assert not _arrays(sink, "moved", "same", None)


@pytest.mark.parametrize("tied", [True, False])
def test_moved_tokens_and_their_neighbours(tied: bool, tmp_path: Path) -> None:
    """Of the rows that both have; a row of zeros has no relative move."""
    config = tiny_config(vocab_size=30, tie_word_embeddings=tied)
    tensors = tiny_tensors(vocab=30)
    other = tiny_tensors(seed=4, vocab=33)
    names = {"embedding": "model.embed_tokens.weight"}
    names |= {} if tied else {"unembedding": "lm_head.weight"}
    for name in names.values():
        tensors[name][5] = 0
        other[name][:30] = tensors[name] + 0.3 * other[name][:30]
    if tied:
        tensors.pop("lm_head.weight"), other.pop("lm_head.weight")
    base = write_model(tmp_path / "base", config, tensors)
    tuned = write_model(tmp_path / "tuned", {**config, "vocab_size": 33}, other)
    sink = _run(base, tuned, moved=7)
    arrays = _arrays(sink, "moved", "tuned", None)
    assert {n.split(".")[0] for n in arrays} == {*names, "vocabulary"}
    for module, name in names.items():
        e, f = (each[name][:30].double().numpy() for each in (tensors, other))
        keep = np.arange(30) != 5
        moves = np.linalg.norm(f - e, axis=1)[keep] / np.linalg.norm(e, axis=1)[keep]
        row = sink.value("embedding_move", model="tuned", module=module)
        assert row.value == pytest.approx(moves.mean())
        assert row.n == 29
        order = np.arange(30)[keep][np.argsort(-moves)][:7]

        def ids(key: str, module: str = module) -> Any:
            words = arrays["vocabulary"][arrays[f"{module}.{key}"]]
            return np.vectorize(lambda word: int(word.removeprefix("#")))(words)

        assert ids("tokens").tolist() == order.tolist()
        np.testing.assert_allclose(arrays[f"{module}.moves"], np.sort(moves)[::-1][:7], rtol=1e-5)
        for key, rows in (("before", e), ("after", f)):
            unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            cosines = unit[order] @ unit.T
            cosines[np.arange(7), order] = -np.inf
            assert ids(key).tolist() == np.argsort(-cosines, axis=1)[:, :5].tolist()


def test_blocks_of_rows_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.build("llama", tmp_path)
    arrays = []
    for size in (1 << 22, 200):
        monkeypatch.setattr("core.weights.vocabulary.BLOCK", size)
        sink = _run(tmp_path / "base", tmp_path / "tuned0")
        arrays.append((_arrays(sink, "directions", "tuned0", 0), _arrays(sink, "moved", "tuned0",
                                                                        None)))  # fmt: skip
    for one, other in zip(*arrays, strict=True):
        assert one.keys() == other.keys() != set()
        for name, array in one.items():
            if array.dtype.kind == "U" or array.dtype.kind == "i":
                assert array.tolist() == other[name].tolist(), name
            else:
                np.testing.assert_allclose(array, other[name], rtol=1e-4, atol=1e-5)


def test_a_tokenizer_gives_tokens_their_texts_and_ends_the_vocabulary(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path)
    without = _run(tmp_path / "base", tmp_path / "tuned0")
    zoo.write_tokenizer(tmp_path / "base")
    sink = _run(tmp_path / "base", tmp_path / "tuned0")
    assert not set(sink.units) & set(without.units)  # other tokens, other results
    known = len(zoo.LETTERS) + 3
    words = _arrays(sink, "directions", "tuned0", 0)["vocabulary"]
    assert {word.strip() for word in words} <= {"<pad>", "<s>", "</s>", *zoo.LETTERS, ""}
    (row,) = sink.rows("embedding_move", module="embedding")
    assert row.n == known < 40


def test_the_pass_hands_over_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an update once for all ranks; of W from the basis that alignment made."""
    matrix = torch.randn(20, 12)
    update = UpdateView("tuned", matrix)
    many = update.directions(6)
    view = MatrixView(None, matrix)  # type: ignore[arg-type]
    view.basis(0.9, None)
    monkeypatch.setattr(linalg, "directions", None)
    few, viewed = update.directions(4), view.directions(4)
    u, _, v = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    assert torch.equal(few.left, many.left[..., :4])
    for top in (few, viewed):
        for vectors, expected in ((top.left[0], u[:, :4]), (top.right[0], v[:4].T)):
            cosines = np.abs((vectors.double().numpy() * expected).sum(0))
            np.testing.assert_allclose(cosines, 1, atol=1e-6)
        assert bool(top.real.all())


def _tabulated(sink: MemorySink, key: str, **coordinates: Any) -> Any:
    analysis = registry.get("directions")
    view = next(view for view in analysis.views if view.key == key)
    choice = Choice(measure=view.measures[0], **coordinates)
    rows = tuple(
        sink.rows(view.measures[0], **{k: v for k, v in coordinates.items() if v is not None})
    )

    def arrays(name: str, *, model: str = "", layer: Any = None, **_: Any) -> Any:
        return _arrays(sink, name, model, layer) or None

    asked = Tabulation(choice=choice, catalogue=Catalogue(), rows=rows, arrays=arrays)
    assert view.tabulate is not None
    table: Any = view.tabulate(asked)
    return table, view.finding(table)


def test_the_tables_and_their_sentences(tmp_path: Path) -> None:
    zoo.build("qwen2_moe", tmp_path)
    zoo.write_tokenizer(tmp_path / "base")
    sink = _run(tmp_path / "base", tmp_path / "tuned0")
    table, finding = _tabulated(sink, "tokens", model="tuned0", layer=1, module="o")
    assert [row[0] for row in table.rows] == ["Δ"] * 3 + ["W"] * 3 + ["random"] * 3
    assert all(" · " in str(cell) for row in table.rows for cell in row[-2:])
    assert finding.startswith("tuned0, layer 1, o: ")
    table, _ = _tabulated(sink, "tokens", model="tuned0", layer=1, module="up")
    assert {row[0] for row in table.rows} > {"Δ of expert 0", "W of expert 3", "random"}
    table, finding = _tabulated(sink, "tokens", model="tuned0", layer=1, module="mixer")
    assert (table.rows, finding) == ((), "")
    assert table.note.startswith("Nothing changed here")
    table, finding = _tabulated(sink, "embeddings", model="tuned0", module="embedding")
    assert "moved most" in finding
    assert len(table.rows) == 30


def test_the_heat_map_counts_what_exceeds_chance(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path)
    sink = _run(tmp_path / "base", tmp_path / "tuned0")
    analysis = registry.get("directions")
    view = next(view for view in analysis.views if view.key == "heat")
    choice = Choice(measure="concentration", model="tuned0")
    rows = sink.rows("concentration", model="tuned0")
    made = figure(view, choice, rows, Catalogue(), analysis.metric("concentration"))
    above = [r for r in rows if r.value and r.value > (r.chance or 0) + 2 * (r.chance_sd or 0)]
    lie = "lies" if len(above) == 1 else "lie"
    assert f"; {len(above)} of 14 matrices {lie} 2 sd above" in view.finding(made)
    assert len({(row.chance, row.n) for row in rows if row.module == "q"}) == 1  # in all layers


def test_embeddings_narrower_than_the_stream_tell_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = zoo.CONFIGS["opt"]
    narrow = {**config().to_dict(), "word_embed_proj_dim": 16}
    monkeypatch.setitem(zoo.CONFIGS, "opt", lambda: type(config()).from_dict(narrow))
    zoo.build("opt", tmp_path)
    sink = _run(tmp_path / "base", tmp_path / "tuned0")
    assert sink.rows("concentration") == []
    assert len(sink.rows("embedding_move", module="embedding")) == 1
