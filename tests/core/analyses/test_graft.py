"""Grafts from a study to its rows, against mixed state dicts of a family that was really tuned."""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from torch.nn import functional

from core.analyses import graft
from core.engine import registry, runner
from core.engine.subject import open_subject
from core.errors import Cancelled, StudyError
from core.figures import graft_findings
from core.figures.choices import default_choice
from core.figures.layout import figure
from core.figures.views import Catalogue
from core.statistics import intervals
from core.study import study
from tests.conftest import MemorySink
from tests.core import zoo

TEXTS = (
    "the first of them is this", "a", "neurons at work in the rain", "one more of the first",
    "it is a long one this time", "the rain is at work",
)  # fmt: skip
LAYERS = 3
GIVEN = {"controls": 3, "keep": 0.9, "ranks": [1, 4, 64]}


def _ids() -> list[Any]:
    return [torch.tensor([[1, *(3 + zoo.LETTERS.index(c) for c in text)]]) for text in TEXTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A base, a model tuned from it on the texts, one with random updates, and a copy."""
    root: Path = tmp_path_factory.mktemp("family")
    torch.manual_seed(0)
    config = hf.LlamaConfig(**{**zoo._COMMON, "num_hidden_layers": LAYERS})
    model: Any = hf.LlamaForCausalLM(config)
    zoo._randomise(model, 0.1)
    model.save_pretrained(root / "base")
    zoo.write_tokenizer(root / "base")
    shutil.copytree(root / "base", root / "copy")
    made = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(6):
        made.zero_grad()
        sum(model(input_ids=ids, labels=ids).loss for ids in _ids()).backward()
        made.step()
    model.save_pretrained(root / "tuned")
    noisy = hf.LlamaForCausalLM.from_pretrained(root / "base")
    zoo._randomise(noisy, 0.3)
    noisy.save_pretrained(root / "noisy")
    (root / "probe.txt").write_text("\n".join(TEXTS))
    return root


def _study(folder: Path, *tuned: str, probes: Any = None, **given: Any) -> study.Study:
    return study.Study.model_validate(
        {
            "name": "s",
            "models": {
                "base": str(folder / "base"), "tuned": {n: str(folder / n) for n in tuned},
            },
            "probe": {"file": str(folder / "probe.txt"), "documents": len(TEXTS)},
            "probes": probes or {},
            "analyses": {"graft": {**GIVEN, **given}},
            "run": {"device": "cpu", "batch_size": 4},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def sink(folder: Path) -> MemorySink:
    results = MemorySink()
    runner.run(_study(folder, "tuned", "noisy", "copy"), results, ["graft"])
    return results


def _number(sink: MemorySink, metric: str, **coordinates: Any) -> float:
    value = sink.value(metric, **coordinates).value
    assert value is not None
    return value


class _Oracle:
    """Losses of models with mixed state dicts, in float64."""

    def __init__(self, folder: Path) -> None:
        self.base, self.tuned = (
            hf.LlamaForCausalLM.from_pretrained(folder / name).double().state_dict()
            for name in ("base", "tuned")
        )
        self.model: Any = hf.LlamaForCausalLM.from_pretrained(folder / "base").double()

    def of(self, weights: Any) -> Any:
        self.model.load_state_dict(weights)
        with torch.no_grad():
            return np.array(
                [
                    functional.cross_entropy(self.model(input_ids=x).logits[0, :-1], x[0, 1:])
                    for x in _ids()
                ]
            )

    def mixed(self, *words: str) -> Any:
        """The losses with the tuned tensors that have one of these words in their names."""
        return self.of(
            {n: (self.tuned if any(w in n for w in words) else self.base)[n] for n in self.base}
        )

    def share(self, losses: Any, documents: slice = slice(None)) -> float:
        base, whole = (self.of(each)[documents].mean() for each in (self.base, self.tuned))
        return float((base - losses[documents].mean()) / (base - whole))

    def layers(self, *numbers: int, documents: slice = slice(None)) -> float:
        return self.share(self.mixed(*(f"layers.{n}." for n in numbers)), documents)


@pytest.fixture(scope="module")
def oracle(folder: Path) -> _Oracle:
    return _Oracle(folder)


def test_single_parts_equal_mixed_models(sink: MemorySink, oracle: _Oracle) -> None:
    base = oracle.of(oracle.base)
    parts: dict[tuple[int | None, str], Any] = {
        (None, "blocks"): ("layers.",), (None, "attention"): ("self_attn",),
        (None, "mlp"): ("mlp",), (None, "q"): ("q_proj",),
        (None, "down"): ("down_proj",), (None, "norm"): ("norm",),
        (None, "embedding"): ("embed_tokens",), (None, "unembedding"): ("lm_head",),
    }  # fmt: skip
    for n in range(LAYERS):
        parts |= {(n, "blocks"): (f"layers.{n}.",), (n, "mlp"): (f"layers.{n}.mlp",)}
        parts[n, "attention"] = (f"layers.{n}.self_attn",)
    for (layer, module), words in parts.items():
        coordinates = {
            "model": "tuned",
            "reference": "base",
            "layer": layer,
            "module": module,
            "setting": "",
        }
        losses = oracle.mixed(*words)
        gain, share = sink.value("gain", **coordinates), sink.value("regained", **coordinates)
        assert gain.value == pytest.approx((base - losses).mean(), abs=1e-5)
        assert share.value == pytest.approx(oracle.share(losses), abs=1e-4)
        assert share.n == gain.n == len(TEXTS)
        assert share.low is not None
        assert share.high is not None
        assert share.low <= oracle.share(losses) <= share.high
        assert _number(sink, "q_value", **coordinates) > 0
    whole = sink.value("gain", model="tuned", module="all", setting="")
    assert whole.value == pytest.approx((base - oracle.of(oracle.tuned)).mean(), abs=1e-5)
    assert whole.low is not None
    assert whole.low > 0


def test_the_greedy_set_adds_the_layer_that_helps_most(sink: MemorySink, oracle: _Oracle) -> None:
    """Chosen on every second document, and measured on the others."""
    choosing = functools.partial(oracle.layers, documents=slice(0, None, 2))
    measured = functools.partial(oracle.layers, documents=slice(1, None, 2))
    whole, left = choosing(*range(LAYERS)), set(range(LAYERS))
    order: list[int] = []
    while not order or choosing(*order) < 0.9 * whole:
        order.append(max(left, key=lambda n: choosing(*order, n)))
        left.discard(order[-1])
    assert len(order) > 1
    for size in range(1, len(order) + 1):
        row = sink.value("regained", model="tuned", setting=f"layers-{size}")
        assert row.value == pytest.approx(measured(*order[:size]), abs=1e-4)
        assert row.n == len(TEXTS) // 2
        if size < LAYERS:  # so few layers that the draws are all of the sets
            others = [measured(*layers) for layers in combinations(range(LAYERS), size)]
            assert row.chance == pytest.approx(np.mean(others), abs=1e-4)
            assert row.chance_sd == pytest.approx(intervals.of_draws(others), abs=1e-4)
        else:
            assert row.chance is None
    for place, layer in enumerate(order, 1):
        assert sink.value("place", model="tuned", layer=layer).value == place
    assert len(sink.rows("place", model="tuned")) == len(order)
    assert sink.value("layers_needed", model="tuned").value == len(order)


@pytest.mark.parametrize("rank", [1, 4, None])
def test_cut_changes_equal_singular_values(
    sink: MemorySink, oracle: _Oracle, rank: int | None
) -> None:
    weights = dict(oracle.base)
    for name, before in oracle.base.items():
        if before.ndim == 2:
            u, s, v = torch.linalg.svd(oracle.tuned[name] - before, full_matrices=False)
            weights[name] = before + (u[:, :rank] * s[:rank]) @ v[:rank]
    setting = f"rank-{rank or 'full'}"
    row = sink.value("regained", model="tuned", setting=setting)
    assert row.value == pytest.approx(oracle.share(oracle.of(weights)), abs=1e-4)
    shares = {r: _number(sink, "regained", model="tuned", setting=f"rank-{r}") for r in (1, 4)}
    assert not sink.rows("regained", model="tuned", setting="rank-64")  # no matrix is so large
    enough = [r for r, share in shares.items() if share >= 0.9]
    assert sink.value("rank_needed", model="tuned").value == min(enough, default=None)


@pytest.mark.parametrize("model", ["noisy", "copy"])
def test_a_model_without_a_gain_regains_nothing(sink: MemorySink, model: str) -> None:
    assert {row.value for row in sink.rows("regained", model=model)} == {None}
    assert not [row for row in sink.rows("regained", model=model) if row.setting]
    for metric in ("layers_needed", "rank_needed"):
        assert sink.value(metric, model=model).value is None
    whole = _number(sink, "gain", model=model, module="all")
    assert whole == 0 if model == "copy" else whole < 0
    if model == "copy":
        assert {row.value for row in sink.rows("gain", model=model)} == {0.0}
        assert {row.value for row in sink.rows("q_value", model=model)} == {None}
    for view in registry.get("graft").views:
        if view.key in ("layers", "modules"):
            assert "gain" in _said(sink, view.key, model)


def _said(sink: MemorySink, key: str, *models: str) -> str:
    """The finding of a view over these models."""
    analysis = registry.get("graft")
    view = next(view for view in analysis.views if view.key == key)
    rows = [
        row
        for _, result in sink.units.values()
        for row in result.measurements
        if row.model in models and _takes(view, row)
    ]
    ranges: Any = {"model": models, "layer": tuple(range(LAYERS)), "metric": view.measures}
    catalogue = Catalogue(ranges=ranges, models=("base", *models))
    choice = default_choice(view, catalogue)
    spec = analysis.metric(choice.measure)
    return view.finding(figure(view, choice, rows, catalogue, spec))


def _takes(view: Any, row: Any) -> bool:
    fixed = {"setting": "", **view.fixed} if "setting" not in view.only else view.fixed
    return (
        row.metric in {*view.measures, *view.tested.values()}
        and all(getattr(row, c) == value for c, value in fixed.items())
        and all(takes(getattr(row, c)) for c, takes in view.only.items())
        and (view.panelled != "module" or not view.panels or row.module in view.panels)
        and ("layer" in view.fixed or row.layer is not None)
    )


def test_findings_say_what_the_rows_say(sink: MemorySink, oracle: _Oracle) -> None:
    best = max(range(LAYERS), key=lambda n: oracle.layers(n))
    assert f"most by itself: tuned {best} (" in _said(sink, "layers", "tuned", "noisy")
    assert "alone regains most" in _said(sink, "parts", "tuned")
    assert "of tuned regains most" in _said(sink, "modules", "tuned")
    needed = sink.value("layers_needed", model="tuned").value
    assert f"the greedy set of {needed:.0f} layers regains" in _said(sink, "sets", "tuned")
    first = next(row.layer for row in sink.rows("place", model="tuned") if row.value == 1)
    assert f"tuned {first}" in _said(sink, "order", "tuned")
    assert "keep 90% of the gain: tuned" in _said(sink, "ranks", "tuned")
    assert graft.GraftParameters().keep == graft_findings.ENOUGH


def test_a_stopped_run_goes_on_where_it_was(folder: Path, sink: MemorySink) -> None:
    stopped = MemorySink(stop_after=2)
    with pytest.raises(Cancelled):
        runner.run(_study(folder, "tuned"), stopped, ["graft"])
    before = list(stopped.saved)
    stopped.stop_after = None
    runner.run(_study(folder, "tuned"), stopped, ["graft"])
    assert stopped.saved[: len(before)] == before
    assert len(stopped.saved) == len(set(stopped.saved)) == 6
    for key, (_, result) in stopped.units.items():
        assert result.measurements == sink.load(key).measurements


def test_the_probe_set_of_a_models_name_is_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("another text\nand one more")
    probes = {"copy": {"file": str(tmp_path / "other.txt")}}
    subject = open_subject(_study(folder, "tuned", "copy", probes=probes), ["texts"])
    planned = graft.plan(subject, graft.GraftParameters())
    assert {(u.model, u.options["probe"]) for u in planned} == {
        ("tuned", "probe"),
        ("copy", "copy"),
    }
    with pytest.raises(StudyError, match="no probe set 'coppy'") as caught:
        graft.plan(subject, graft.GraftParameters(probe="coppy"))
    assert "copy" in caught.value.hint


def test_the_workload_is_about_what_is_computed(folder: Path, sink: MemorySink) -> None:
    of = _study(folder, "tuned")
    subject, given = open_subject(of, ["texts"]), graft.GraftParameters.model_validate(GIVEN)
    for unit in graft.plan(subject, given):
        work = graft.workload(unit, given, subject).forward / subject.probed.tokens
        if unit.options.get("step") in ("modules", "layers", "ranks"):
            passes = sink.load(unit.key).state["passes"]
            assert passes == pytest.approx(work, rel=0.35)
            assert passes > 0
        elif not unit.loads:
            assert work == 0


def test_without_texts_nothing_is_planned(folder: Path) -> None:
    subject = replace(open_subject(_study(folder, "tuned"), ["texts"]), probes={})
    assert graft.plan(subject, graft.GraftParameters()) == []


def test_an_offloaded_base_has_no_grafts_and_the_run_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft, "is_offloaded", lambda session: True)
    sink = MemorySink()
    runner.run(_study(folder, "tuned"), sink, ["graft"])
    assert not [row for _, result in sink.units.values() for row in result.measurements]
    assert [about for about, words in sink.warnings if "offloaded" in words] == ["tuned"]
