"""Activated neurons and distances of patterns, from a study to its rows, against brute force."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import transformers as hf
from rapidfuzz.distance import Levenshtein
from safetensors.torch import save_file

from core.engine import runner
from core.engine.measurement import Progress
from core.errors import Cancelled, RunError
from core.figures import contexts, findings
from core.figures.passages import Passages
from core.figures.views import Catalogue, Choice, Tabulation
from core.neurons import attribution
from core.study import study
from core.study.models import Models
from core.texts.documents.source import read
from tests.conftest import MemorySink, load_all
from tests.core import oracle, zoo

BOTH = ("activation", "edit_distance")
TEXTS = ("the first of them", "a", "neurons at work", "one more", "it is a long one this time", "z")
LAYERS = (0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A base, a model tuned from it, and itself with its neurons in another order, which computes
    the same; and a probe file."""
    root: Path = tmp_path_factory.mktemp("family")
    zoo.build("llama", root, models=1)
    zoo.write_tokenizer(root / "base")
    shutil.copytree(root / "base", root / "permuted")
    tensors, rng = load_all(root / "base"), np.random.default_rng(0)
    for layer in LAYERS:
        order = torch.from_numpy(rng.permutation(48))
        mlp = f"model.layers.{layer}.mlp"
        for name in ("gate_proj", "up_proj"):
            tensors[f"{mlp}.{name}.weight"] = tensors[f"{mlp}.{name}.weight"][order].contiguous()
        down = f"{mlp}.down_proj.weight"
        tensors[down] = tensors[down][:, order].contiguous()
    save_file(tensors, root / "permuted" / "model.safetensors", metadata={"format": "pt"})
    (root / "probe.txt").write_text("\n".join(TEXTS))
    return root


def _study(folder: Path, *tuned: str, probe: Any = None, **analyses: Any) -> study.Study:
    return study.Study(
        name="s",
        models=Models(
            base=str(folder / "base"),
            tuned={name: str(folder / name) for name in tuned},
        ),
        probe=study.Probe(
            **{"file": str(folder / "probe.txt"), "documents": len(TEXTS), **(probe or {})}
        ),
        analyses=analyses,
        run=study.Run(device="cpu", batch_size=4),
    )


def _measured(of: study.Study, sink: MemorySink | None = None, only: Any = BOTH) -> MemorySink:
    sink = sink or MemorySink()
    runner.run(of, sink, only)
    return sink


def _flags(folder: Path, name: str, criterion: str = "gate") -> list[list[Any]]:
    """The flags [tokens, neurons] of each layer and document."""
    model = hf.AutoModelForCausalLM.from_pretrained(folder / name)
    by_layer: list[list[Any]] = [[] for _ in LAYERS]
    for text, _ in read(folder / "probe.txt"):
        ids = torch.tensor([[1, *(3 + zoo.LETTERS.index(letter) for letter in text)]])
        for layer, neurons in enumerate(oracle.neurons(model, ids, torch.ones_like(ids))):
            by_layer[layer].append((getattr(neurons, criterion)[0] > 0).numpy())
    return by_layer


def _patterns(flags: list[Any]) -> Any:
    return np.array([layer_flags.mean(0) > 0.5 for layer_flags in flags])


@pytest.fixture(scope="module")
def measured(folder: Path) -> MemorySink:
    return _measured(_study(folder, "tuned0", "permuted"))


@pytest.mark.parametrize("model", ["base", "tuned0"])
def test_shares_of_activated_neurons_equal_brute_force(
    folder: Path, measured: MemorySink, model: str
) -> None:
    flags = _flags(folder, model)
    whole = [np.concatenate(each, axis=1) for each in zip(*flags, strict=True)]
    for layer, layer_flags in [*enumerate(flags), (None, whole)]:
        row = measured.value("activated_percent", model=model, layer=layer)
        documents = 100 * np.array([each.mean() for each in layer_flags])
        assert row.value == pytest.approx(100 * np.concatenate(layer_flags).mean())
        assert row.n == len(TEXTS)
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.value < row.high  # type: ignore[operator]
        for name, share in (("lower_quartile", 25), ("median", 50), ("upper_quartile", 75)):
            percentile = measured.value(
                name, metric_of="activated_percent", model=model, layer=layer
            )
            assert percentile.value == pytest.approx(np.percentile(documents, share))


def test_rates_and_drivers_are_kept(folder: Path, measured: MemorySink) -> None:
    flags = _flags(folder, "tuned0")
    unit = next(u for u, r in measured.units.values() if r.artifacts and u.model == "tuned0")
    arrays = measured.load(unit.key).arrays("neurons", 1)
    np.testing.assert_allclose(arrays["rate"], np.concatenate(flags[1]).mean(0), rtol=1e-6)
    rates = np.array([document_flags.mean(0) for document_flags in flags[1]])
    np.testing.assert_allclose(arrays["driven"][0], rates.max(0), rtol=1e-6)
    documents = measured.load(unit.key).arrays("documents")
    assert documents["beginning"].tolist() == list(TEXTS)
    assert documents["tokens"].tolist() == [1 + len(text) for text in TEXTS]


def test_distances_of_patterns_equal_brute_force(folder: Path, measured: MemorySink) -> None:
    base, tuned = (_flags(folder, name) for name in ("base", "tuned0"))
    for layer in LAYERS:
        a, b = _patterns(base[layer]), _patterns(tuned[layer])
        apart = (a[:, None] != b[None]).mean(2)
        coordinates = {"model": "tuned0", "reference": "base", "layer": layer}
        row = measured.value("hamming", **coordinates)
        matched, unlike = np.diag(apart), apart[~np.eye(len(a), dtype=bool)].mean()
        low, high = scipy.stats.t.interval(
            0.95, len(a) - 1, matched.mean(), scipy.stats.sem(matched)
        )
        assert (row.value, row.low, row.high) == pytest.approx((matched.mean(), low, high))
        assert row.chance == pytest.approx(unlike)
        assert row.n == len(TEXTS)
        assert measured.value("ratio", **coordinates).value == pytest.approx(
            matched.mean() / unlike
        )
        rates = np.abs(a.mean(0) - b.mean(0)).mean()
        assert measured.value("rate_change", **coordinates).value == pytest.approx(rates)
        edits = [Levenshtein.distance(x.tolist(), y.tolist()) for x, y in zip(a, b, strict=True)]
        assert measured.value("levenshtein", **coordinates).value == pytest.approx(
            np.mean(edits) / 48
        )
        middle = measured.value("median", metric_of="hamming", **coordinates)
        assert middle.value == pytest.approx(np.median(matched))


def test_all_layers_are_one_long_pattern(folder: Path, measured: MemorySink) -> None:
    base, tuned = (
        np.concatenate([_patterns(layer_flags) for layer_flags in _flags(folder, name)], axis=1)
        for name in ("base", "tuned0")
    )
    apart = (base[:, None] != tuned[None]).mean(2)
    unlike = apart[~np.eye(len(base), dtype=bool)].mean()
    coordinates = {"model": "tuned0", "reference": "base", "layer": None}
    row = measured.value("hamming", **coordinates)
    assert (row.value, row.chance) == pytest.approx((np.diag(apart).mean(), unlike))
    assert measured.value("ratio", **coordinates).value == pytest.approx(
        np.diag(apart).mean() / unlike
    )
    rates = np.abs(base.mean(0) - tuned.mean(0)).mean()
    assert measured.value("rate_change", **coordinates).value == pytest.approx(rates)


def test_the_order_of_neurons_is_no_likeness(folder: Path, measured: MemorySink) -> None:
    """The same function with its neurons in another order: as many are on, and the patterns lie
    as far apart as those of unlike documents."""
    ids = torch.tensor([[1, 5, 9, 12]])
    logits = [
        hf.AutoModelForCausalLM.from_pretrained(folder / name)(ids).logits.detach()
        for name in ("base", "permuted")
    ]
    torch.testing.assert_close(*logits)
    for layer in (*LAYERS, None):
        shares = [
            measured.value("activated_percent", model=name, layer=layer).value
            for name in ("base", "permuted")
        ]
        assert shares[0] == pytest.approx(shares[1])
        coordinates = {"model": "permuted", "reference": "base", "layer": layer}
        row, tuned = (
            measured.value("hamming", **{**coordinates, "model": m}) for m in ("permuted", "tuned0")
        )
        assert row.value is not None
        assert row.value > 0.2 > 2 * (tuned.value or 0)
        assert measured.value("ratio", **coordinates).value == pytest.approx(1, abs=0.15)


def test_every_criterion_has_rows_of_its_own(folder: Path) -> None:
    criteria = ("gate", "product", "magnitude", "attribution")
    sink = _measured(_study(folder, "tuned0", activation={"criteria": [*criteria, "gate"]}))
    for metric in ("activated_percent", "hamming", "ratio", "levenshtein"):
        settings = {row.setting for row in sink.rows(metric, model="tuned0", layer=1)}
        assert settings == {"", *criteria[1:]}
    flags = _flags(folder, "tuned0", "product")
    row = sink.value("activated_percent", model="tuned0", layer=1, setting="product")
    assert row.value == pytest.approx(100 * np.concatenate(flags[1]).mean())


def test_patterns_of_the_last_token(folder: Path) -> None:
    sink = _measured(_study(folder, "tuned0", probe={"token": "last"}))
    base, tuned = (
        np.array([document_flags[-1] for document_flags in _flags(folder, name)[1]])
        for name in ("base", "tuned0")
    )
    coordinates = {"model": "tuned0", "reference": "base", "layer": 1}
    assert sink.value("hamming", **coordinates).value == pytest.approx((base != tuned).mean())


def test_the_edit_distance_may_be_left_out(folder: Path) -> None:
    sink = _measured(_study(folder, "tuned0", edit_distance={"levenshtein": False}))
    assert sink.rows("hamming")
    assert not sink.rows("levenshtein")


def test_a_single_document_has_neither_baseline_nor_interval(folder: Path) -> None:
    sink = _measured(_study(folder, "tuned0", probe={"documents": 1}))
    for layer in (*LAYERS, None):
        coordinates = {"model": "tuned0", "reference": "base", "layer": layer}
        row = sink.value("hamming", **coordinates)
        assert (row.low, row.chance, row.n) == (None, None, 1)
        assert row.value is not None
        assert sink.value("ratio", **coordinates).value is None


# -- the runner around them


def _results(sink: MemorySink) -> dict[str, Any]:
    return {
        key: (
            result.measurements,
            [
                (a.name, a.layer, {n: v.tobytes() for n, v in a.arrays.items()})
                for a in result.artifacts
            ],
        )
        for key, (_, result) in sink.units.items()
    }


def test_scores_are_kept_for_every_layer(folder: Path) -> None:
    sink = _measured(_study(folder, "tuned0"), only=["activation"])
    for model in ("base", "tuned0"):
        by_layer = {
            artifact.layer: artifact.arrays
            for _, result in sink.units.values()
            for artifact in result.artifacts
            if artifact.name == "scores" and artifact.model == model
        }
        assert set(by_layer) == set(LAYERS)
        for arrays in by_layer.values():
            assert set(arrays) == {"attribution", "effect", "magnitude", "mean"}
            assert (arrays["attribution"] > 0).any()
    without = _measured(_study(folder, "tuned0", activation={"scores": False}), only=["activation"])
    assert len(without.units) == 2


def test_neurons_in_context_are_read_beside_the_texts(folder: Path) -> None:
    """From a study to the figure: the snippets are of the texts, with the model's own values."""
    sink = _measured(_study(folder, "tuned0"), only=["activation"])
    artifacts = [a for _, result in sink.units.values() for a in result.artifacts]

    def arrays(
        name: str, *, model: str = "", reference: str = "", layer: int | None = None, **_: Any
    ) -> Any:
        place = name, model, reference, layer
        matching = (a for a in artifacts if (a.name, a.model, a.reference, a.layer) == place)
        return next((each.arrays for each in matching), None)

    def shown(item: str) -> Passages:
        choice = Choice(measure="activated_percent", model="tuned0", item=item)
        ranges = Catalogue(ranges={"layer": LAYERS, "model": ("base", "tuned0")})
        asked = Tabulation(choice=choice, catalogue=ranges, rows=(), arrays=arrays)
        return contexts.of_neuron(asked)

    items = shown("").items
    assert len(items) == len(set(items)) > 20
    assert {int(item.split()[1]) for item in items} == set(LAYERS)
    figure = shown("layer 1 neuron 999")
    assert (figure.items, figure.item) == (items, "")
    assert (
        figure.blocks[0]
        .passages[0]
        .text.startswith("Layer 1 neuron 999 has no stored contexts. Contexts are stored for")
    )

    layer, neuron = 1, int(items[-1].split()[-1])
    figure = shown(items[-1])
    assert figure.item == items[-1]
    assert [b.heading.rpartition(" ")[2] for b in figure.blocks] == ["tuned0"] * 2 + ["base"] * 2
    for name, block in (("tuned0", figure.blocks[1]), ("base", figure.blocks[3])):
        model = hf.AutoModelForCausalLM.from_pretrained(folder / name)
        for passage in block.passages:
            document = int(passage.label.split()[1].strip(","))
            spaced = ["<s>", *TEXTS[document]]  # as this tokeniser decodes letters
            assert [token.text for token in passage.tokens] == [f" {letter}" for letter in spaced]
            letters = (3 + zoo.LETTERS.index(letter) for letter in TEXTS[document])
            ids = torch.tensor([[1, *letters]])
            values = oracle.neurons(model, ids, torch.ones_like(ids))[layer].product[0, :, neuron]
            passage_values = [token.value for token in passage.tokens]
            assert passage_values == pytest.approx(values.tolist(), rel=1e-4, abs=1e-6)
    largest = {
        name: max(abs(t.value or 0) for p in figure.blocks[index].passages for t in p.tokens)
        for name, index in (("tuned0", 1), ("base", 3))
    }
    assert findings.of_context(figure) == (
        f"Layer 1 neuron {neuron} · tuned0: |h| reaches {largest['tuned0']:.3g} in tuned0, "
        f"{largest['base']:.3g} in base."
    )
    artifacts.clear()
    assert "Run the study again" in shown("").blocks[0].passages[0].text
    assert findings.of_context(shown("")) == ""


def test_counts_alone_equal_those_that_share_the_pass_of_scores(
    folder: Path, measured: MemorySink
) -> None:
    alone = _measured(_study(folder, "tuned0", activation={"scores": False}), only=["activation"])
    assert len(alone.saved) == 2
    together = _results(measured)
    for key, result in _results(alone).items():
        assert together[key] == result


def test_scores_that_fail_leave_the_counts(
    folder: Path, measured: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise RunError("Memory is too small for a single document.")

    sink = MemorySink()
    monkeypatch.setattr(attribution, "attribute", failing)
    with pytest.raises(RunError, match=r"^2 of \d+ units failed"):
        _measured(_study(folder, "tuned0"), sink)
    labels = {unit.label for unit, _ in sink.units.values() if unit.analysis == "activation"}
    assert labels == {"activations of base", "activations of tuned0"}
    assert any(unit.analysis == "edit_distance" for unit, _ in sink.units.values())
    together = _results(measured)
    for key, result in _results(sink).items():
        assert together[key] == result


@pytest.mark.parametrize("stop_after", [1, 2, 5])
def test_cancelled_and_resumed_equals_unbroken(folder: Path, stop_after: int) -> None:
    of = _study(folder, "tuned0")
    sink, unbroken = MemorySink(stop_after=stop_after), _measured(of)
    with pytest.raises(Cancelled):
        _measured(of, sink)
    assert stop_after <= len(sink.saved) < len(unbroken.saved)
    sink.stop_after = None
    _measured(of, sink)
    assert len(sink.saved) == len(set(sink.saved)) == len(unbroken.saved)
    assert _results(sink) == _results(unbroken)


def test_a_pass_over_the_probe_set_may_be_cancelled_between_batches(folder: Path) -> None:
    class Impatient(MemorySink):
        """Asks for an end once some documents of the first pass are done."""

        asked = False

        def progress(self, progress: Progress) -> None:
            super().progress(progress)
            self.asked = self.asked or "document 4 of 6" in progress.label

        def cancelled(self) -> bool:
            return self.asked

    sink = Impatient()
    with pytest.raises(Cancelled):
        _measured(_study(folder, "tuned0"), sink)
    assert sink.saved == []
    assert sink.last.label == "activations and neuron scores of base, document 4 of 6"


def test_what_is_known_of_texts_and_placement_is_kept(folder: Path) -> None:
    provenance = _measured(_study(folder, "tuned0")).provenance
    assert provenance["placement"] == {
        name: {"cpu": ["the whole model"]} for name in ("base", "tuned0")
    }
    assert provenance["probe"]["documents"] == len(TEXTS)
    assert provenance["probe"]["tokens"] == sum(1 + len(text) for text in TEXTS)
