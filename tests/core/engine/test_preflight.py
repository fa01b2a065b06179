"""What is foreseen is what then happens: bytes, loads, askings, tokens, places of layers."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.engine import preflight, registry, runner
from core.engine.subject import open_subject
from core.errors import StudyError
from core.evaluation import evaluator
from core.models import family, loading
from core.models.family import Member
from core.study import intake, study
from tests.conftest import MemorySink, tiny_config, tiny_tensors, tuned_from, write_model
from tests.core import harness_zoo

ALL = registry.names()
WEIGHTS = [name for name in ALL if registry.get(name).needs == "weights"]


def _never(*_: Any) -> None:
    return None


def _foresee(asked: study.Study, sink: MemorySink, analyses: Any = ALL) -> preflight.Preflight:
    return preflight.look_ahead(asked, analyses, finished=sink.finished, pace=_never)


@pytest.fixture
def whole(tmp_path: Path) -> study.Study:
    """A small study that has everything: texts, tasks, and two models with domains of theirs."""
    base = harness_zoo.write_language_model(tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    for seed, name in enumerate(("tiny", "other"), start=1):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text((base / "config.json").read_text())
        save_file(
            tuned_from(weights, seed), folder / "model.safetensors", metadata={"format": "pt"}
        )
    tasks = harness_zoo.write_tasks(tmp_path / "tasks")
    return study.Study.model_validate(
        {
            "name": "whole",
            "models": {
                "base": str(base),
                "tuned": {name: str(tmp_path / name) for name in ("tiny", "other")},
            },
            "probe": {"builtin": "medical", "documents": 3, "max_tokens": 20},
            "evaluation": {
                "include": str(tasks),
                "limit": 8,
                "bootstrap": 20,
                "tasks": {"tiny": ["tiny_choice"], "general": ["tiny_text"]},
            },
            "analyses": {
                "ablation": {"controls": 2, "selections": ["top-5%-active"]},
                "arithmetic": {"coefficients": [1.0], "negation": [], "removal": [1.0]},
            },
            "run": {"device": "cpu", "batch_size": 2},
        }
    )


class _Watch:
    """What a run really loads, asks and passes through."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.loaded: list[str] = []
        self.vectors: list[str] = []
        self.asked: Counter[tuple[str, int]] = Counter()
        self.placements: dict[str, Any] = {}
        loaded, weights = loading.loaded, Member.weights
        scored = evaluator.Evaluator._results

        @contextmanager
        def watched(member: Any, *given: Any, **named: Any) -> Any:
            self.loaded.append(member.name)
            with loaded(member, *given, **named) as model:
                self.placements[member.name] = model.placement.by_device()
                yield model

        def vector(member: Any) -> Any:
            self.vectors.append(member.name)
            return weights(member)

        def ask(instance: Any, task: Any, items: Any) -> Any:
            self.asked[task.name, task.items if items is None else len(items)] += 1
            return scored(instance, task, items)

        patch.setattr(loading, "loaded", watched)
        patch.setattr(Member, "weights", vector)
        patch.setattr(evaluator.Evaluator, "_results", ask)


@pytest.mark.usefixtures("no_standard_tasks")
def test_a_run_does_what_was_foreseen(whole: study.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = MemorySink()
    forecast = _foresee(whole, sink)
    assert sink.saved == []
    watch = _Watch(monkeypatch)
    runner.run(whole, sink, ALL)

    assert sum(share.units for share in forecast.shares) == len(sink.saved)
    assert all(share.finished == 0 and not share.measured for share in forecast.shares)
    counted = Counter(unit.analysis for unit, _ in sink.units.values())
    assert {share.analysis: share.units for share in forecast.shares} == counted

    assert {m.model: m.loads for m in forecast.models} == Counter(watch.loaded)
    assert {m.model for m in forecast.models if m.as_vector} == set(watch.vectors) == {"tiny"}
    base, tiny = (
        sum(n for *_, n in m.places) for m in forecast.models if m.model in ("base", "tiny")
    )
    assert forecast.needed["cpu"] >= 2 * base + tiny  # a sweep holds the base twice
    asked: Counter[tuple[str, int]] = Counter()
    for share in forecast.shares:
        for task, times, items in share.asked:
            asked[task, items] += times
    assert asked == watch.asked
    assert sum(share.items for share in forecast.shares) == sum(
        items * times for (_, items), times in watch.asked.items()
    )

    tokens = 3 * sink.provenance["probe"]["tokens"]  # three models
    by_name = {share.analysis: share for share in forecast.shares}
    in_context = 4 * tokens // 3  # the neurons of two models in context, in each and in the base
    work = by_name["activation"].forward, by_name["activation"].backward
    assert work == (tokens + in_context, tokens)
    rankings = [u for u, _ in sink.units.values() if u.options.get("step") == "ranking"]
    assert by_name["ablation"].ranked == 4 * len(rankings) > 0  # half of 8 items

    for model in forecast.models:
        places = {device: list(modules) for device, modules, _ in model.places}
        assert places == watch.placements[model.model]

    again = _foresee(whole, sink)
    assert all(s.finished == s.units and s.seconds == 0 and s.measured for s in again.shares)
    assert (again.seconds, again.needed, again.rough) == (0, {}, False)
    assert all((m.read, m.loads, m.as_vector, m.places) == (0, 0, 0, ()) for m in again.models)


def _weights_study(tmp_path: Path, count: int, vocab: int = 20) -> study.Study:
    base = write_model(tmp_path / "base", tiny_config(), tiny_tensors())
    tuned = []
    for i in range(count):
        tensors = tuned_from(tiny_tensors(vocab=vocab), i)
        config = tiny_config(vocab_size=vocab)
        tuned.append(str(write_model(tmp_path / f"tuned{i}", config, tensors)))
    return intake.of_models(str(base), tuned)


@pytest.mark.parametrize("stop_after", [None, 1, 9, 16])
@pytest.mark.parametrize("vocab", [20, 17])
def test_the_bytes_foreseen_are_those_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int | None, vocab: int
) -> None:
    """From the start, and after a run that stopped early."""
    asked, sink = _weights_study(tmp_path, 3, vocab), MemorySink(stop_after=stop_after)
    if stop_after is not None:
        with pytest.raises(Exception, match="cancelled"):
            runner.run(asked, sink, WEIGHTS)
        sink.stop_after = None
    forecast = _foresee(asked, sink, WEIGHTS)
    opened = []
    original = family.open_family

    def keep(*given: Any) -> Any:
        opened.append(original(*given))
        return opened[-1]

    monkeypatch.setattr(family, "open_family", keep)
    runner.run(asked, sink, WEIGHTS)
    members = {"base": opened[0].base, **opened[0].tuned}
    foreseen = {m.model: m.read for m in forecast.models}
    for name, member in members.items():
        # A matrix of the layer that was stopped in, and that is done with, is not read again.
        spared = foreseen[name] - member.checkpoint.bytes_read
        assert spared == 0 or (stop_after == 16 and 0 < spared <= 64), (name, spared)


def _write_adapter(folder: Path, over: Path) -> Path:
    """A LoRA adapter of rank 1 on one matrix."""
    settings = {
        "peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"],
        "base_model_name_or_path": str(over),
    }  # fmt: skip
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    prefix = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    factors = {f"{prefix}A.weight": torch.ones(1, 16), f"{prefix}B.weight": torch.ones(16, 1)}
    save_file(factors, folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_costs_what_lies_beneath_it(tmp_path: Path) -> None:
    """Over the base nothing is read for it, over a tuned model that one's weights are."""
    plain = _weights_study(tmp_path, 1)
    tuned = {
        "beside": {"path": str(_write_adapter(tmp_path / "beside", tmp_path / "base"))},
        "plain": {"path": str(tmp_path / "tuned0")},
        "above": {
            "path": str(_write_adapter(tmp_path / "above", tmp_path / "tuned0")), "parent": "plain",
        },
    }  # fmt: skip
    asked = study.Study.model_validate(
        {"name": "adapters", "models": {"base": plain.models.base, "tuned": tuned}}
    )
    read = {m.model: m.read for m in _foresee(asked, MemorySink(), WEIGHTS).models}
    tensors = tiny_tensors()
    again = sum(tensors[n].nbytes for n in ("model.embed_tokens.weight", "lm_head.weight"))
    whole = again + sum(tensor.nbytes for tensor in tensors.values())
    norm = tensors["model.norm.weight"].nbytes
    assert read == {"base": whole + norm, "beside": 0, "plain": whole, "above": whole}


def test_the_pass_holds_a_matrix_of_every_model_and_what_it_computes_with(tmp_path: Path) -> None:
    asked, matrix = _weights_study(tmp_path, 3), 4 * 24 * 16  # float32, of an MLP
    forecast = _foresee(asked, MemorySink(), ["vector_cosine"])
    assert forecast.needed == {"cpu": 4 * matrix}  # of four models
    assert forecast.loading_seconds == 0
    forecast = _foresee(asked, MemorySink(), ["vector_cosine", "alignment"])
    assert forecast.needed == {"cpu": (4 + preflight.COPIES) * matrix}
    forecast = _foresee(asked, MemorySink(), WEIGHTS)
    names = ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight")
    vocabulary = sum(tiny_tensors()[name].nbytes for name in names)  # in which tokens are told
    assert forecast.needed == {"cpu": (4 + preflight.COPIES) * matrix + vocabulary}


def test_the_memory_of_the_pass_is_of_its_device_wherever_models_lie() -> None:
    places = (("cuda:0", ("layers.0",), 70), ("disk", ("layers.1",), 30))
    base = preflight.ModelCost(
        model="base", parameters=1, read=1, loads=1, as_vector=0, stored=1, places=places
    )
    assert preflight._needed([base], "cuda:0", 90) == {"cuda:0": 90, "disk": 30}


def test_a_pace_that_was_measured_replaces_the_rough_rate(tmp_path: Path) -> None:
    asked, paces = _weights_study(tmp_path, 1), []

    def pace(analysis: str, parameters: int, device: str) -> float | None:
        paces.append((parameters, device))
        return 2.5 if analysis == "alignment" else None

    forecast = preflight.look_ahead(asked, WEIGHTS, finished=lambda _: set(), pace=pace)
    by_name = {share.analysis: share for share in forecast.shares}
    assert by_name["alignment"].measured
    assert by_name["alignment"].seconds == 2.5 * by_name["alignment"].units
    assert not by_name["tuning_vectors"].measured
    assert forecast.rough
    assert forecast.seconds == sum(share.seconds for share in forecast.shares)
    size = sum(t.numel() for t in tiny_tensors().values())
    assert set(paces) == {(size, "cpu" if not torch.cuda.is_available() else "cuda")}


def test_layers_are_foreseen_where_they_then_go(whole: study.Study) -> None:
    """With little memory on the CPU a part of the model waits on the disk."""
    base = family.open_family(whole.models).base
    run = whole.run.model_copy(update={"device": "auto", "max_memory": {"cpu": "30KB"}})
    places = loading.placement_of(base, run)
    with loading.loaded(base, run) as model:
        assert {p.device: list(p.modules) for p in places} == model.placement.by_device()
        sizes = {name: p.numel() * 4 for name, p in model.module.named_parameters()}
    assert {p.device for p in places} == {"cpu", "disk"}
    assert sum(p.nbytes for p in places) == sum(sizes.values())
    for place in places:
        assert place.nbytes == sum(
            size for name, size in sizes.items()
            if any(name.startswith(f"{module}.") for module in place.modules)
        )  # fmt: skip


@pytest.mark.usefixtures("no_standard_tasks")
def test_cards_share_all_that_is_left(whole: study.Study) -> None:
    estimate = _foresee(whole, MemorySink())
    assert [spread.cards for spread in estimate.spread] == [1, 2, 4, 8]
    times = [spread.seconds for spread in estimate.spread]
    assert times[0] == pytest.approx(estimate.seconds)
    assert times == sorted(times, key=lambda each: -(each or 0.0))
    subject = open_subject(whole, [registry.get(name).needs for name in ALL])
    of_models = sum(bool(unit.loads) for unit in runner.planned_units(subject, ALL))
    for spread in estimate.spread:
        assert len(spread.shares) == spread.cards
        assert sum(share.slices for share in spread.shares) == len(subject.family.layers)
        assert sum(n for share in spread.shares for _, n in share.units) == of_models
    asked = whole.model_copy(update={"run": whole.run.model_copy(update={"workers": 3})})
    estimate = _foresee(asked, MemorySink())
    assert (estimate.here, [spread.cards for spread in estimate.spread]) == (3, [1, 2, 3, 4, 8])
    # The largest model in memory: a sweep holds a copy of the base beside it.
    units = runner.planned_units(subject, ALL)
    base = load_file(subject.models["base"].folder / "model.safetensors").values()
    size = sum(tensor.nbytes for tensor in base)
    assert preflight.largest_bytes(subject, units) == 2 * size
    alone = [unit for unit in units if unit.analysis != "arithmetic"]
    assert preflight.largest_bytes(subject, alone) == size
    assert preflight.largest_bytes(subject, [u for u in units if not u.loads]) == 0


@pytest.mark.parametrize(
    ("card", "max_memory", "needed"),
    [(10, None, 2), (14, None, 2), (15, None, 1), (3, None, 5), (0, None, 1),
     (10, {"0": "9GB", "1": "9GB", "2": "9GB", "cpu": "9GB"}, 3)],
)  # fmt: skip
def test_a_worker_takes_the_cards_of_the_largest_model(
    card: int, max_memory: Any, needed: int
) -> None:
    """A model of 10 bytes: 0.7 of a card's bytes are for weights."""
    assert preflight.cards_needed(study.Run(max_memory=max_memory), 10, card) == needed


def test_half_precision_takes_half_the_memory(whole: study.Study) -> None:
    base = family.open_family(whole.models).base
    (full,) = loading.placement_of(base, whole.run)
    (half,) = loading.placement_of(base, whole.run.model_copy(update={"dtype": "bfloat16"}))
    assert (full.modules, full.nbytes) == (half.modules, 2 * half.nbytes)


def test_what_stops_a_run_stops_its_preflight(tmp_path: Path) -> None:
    asked = _weights_study(tmp_path, 1)
    with pytest.raises(StudyError, match=r"\[probe\]"):
        _foresee(asked, MemorySink(), ["activation"])
    nowhere = asked.model_copy(update={"run": study.Run(device="cuda:63")})
    with pytest.raises(StudyError, match="does not exist"):
        _foresee(nowhere, MemorySink(), WEIGHTS)
