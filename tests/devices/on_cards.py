"""A whole study on cards finds the processor's numbers.

Run by test_on_cards.py on two pretended cards, in a process of its own, and by `make gpu`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from torch import nn
from transformers import PreTrainedTokenizerFast

from core.demo import checkpoints
from core.engine import preflight, registry, runner
from core.errors import RunError
from core.evaluation import language_model
from core.models import loading
from core.models.family import open_family
from core.models.pieces import Piece
from core.study import intake, series
from core.study.study import Study
from core.vectors import drops
from core.vectors.arithmetic import parse
from core.vectors.fused import Kernels
from core.vectors.sweep import Sweep, tensors_of
from core.weights.uploads import Uploads
from tests.conftest import WEIGHTS, MemorySink
from tests.core import harness_zoo, state_family, zoo
from tests.core.models.adapters import cases

PRETENDED: Any = sys.modules.get("tests.devices.pretended")
LAST = torch.cuda.device_count() - 1
PLACES = {"split": {"0": "30KB", "1": "1MB"}, "offloaded": {"0": "30KB", "cpu": "1MB"}}
"""Memory of each device; the card 0 has room for the embeddings, the layers go elsewhere."""

NUMBERS = 1e-6 if PRETENDED else 1e-4
"""Differences from the processor; a card adds float32 in another order."""
AMPLIFIED = ("drop_percent", "difference", "regained", "p_value", "q_value")
"""Differences of nearly equal scores, and their tests, which magnify the models' own rounding."""

STEPS = (1, 2, 3)
ADAPTED: dict[str, dict[str, Any]] = {
    "llama": {"target_modules": ["q_proj", "down_proj"]},
    "gpt2": {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Everything that a study can ask for, of small models."""
    folder = tmp_path_factory.mktemp("study")
    base = harness_zoo.write_language_model(folder / "base")
    for step in STEPS:
        folder.joinpath("maths").mkdir(exist_ok=True)
        tuned = folder / f"maths/checkpoint-{step}"
        harness_zoo.write_tuned(base, tuned, seed=step, size=0.04 * step)
    points = [f"{way}:maths@1=0.7,maths@3=0.5" for way in ("della", "sce", "iso_c")]
    parsed = Study.model_validate(
        {
            "name": "whole",
            "models": {
                "base": str(base),
                "tuned": {"maths": {"path": str(folder / "maths"), "checkpoints": "checkpoint-*"}},
            },
            "probe": {"builtin": "medical", "documents": 3, "max_tokens": 12},
            "evaluation": {
                "include": str(harness_zoo.write_tasks(folder / "tasks")),
                "limit": 4,
                "bootstrap": 20,
                "tasks": {
                    "maths@3": ["tiny_choice"],
                    "general": ["tiny_text"],
                    "other": ["tiny_generation"],
                },
            },
            "analyses": {
                "activation": {"criteria": ["gate", "product", "magnitude", "attribution"]},
                "ablation": {"controls": 2, "selections": ["top-5%-active"]},
                "arithmetic": {"vectors": ["maths@3"], "coefficients": [0.5], "points": points},
                "graft": {"documents": 3, "controls": 2, "ranks": [1, 4]},
            },
            "run": {"device": "cpu", "batch_size": 4, "attention": "eager"},
        }
    )
    return series.expanded(parsed)


def measured(study: Study, analyses: Any, **place: Any) -> MemorySink:
    sink = MemorySink()
    asked = study.run.model_copy(update={"device": "auto", **place})
    runner.run(study.model_copy(update={"run": asked}), sink, analyses)
    return sink


@pytest.fixture(scope="module")
def reference(study: Study) -> MemorySink:
    return measured(study, registry.names(), device="cpu")


@pytest.fixture(scope="module")
def on_one_card(study: Study) -> tuple[MemorySink, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.weights.stream.UNSETTLED", math.inf)
        patch.setattr("core.weights.batches.ONE_BY_ONE", True)  # as before torch 2.12
        patch.setattr("core.weights.batches.LEAST", 0)  # these heads are small
        return watched(study, registry.names(), device=f"cuda:{LAST}")


def test_every_analysis_finds_the_processors_numbers_on_a_card(
    on_one_card: tuple[MemorySink, Any], reference: MemorySink
) -> None:
    sink = on_one_card[0]
    assert {unit.analysis for unit, _ in sink.units.values()} == set(registry.names())
    assert differing(sink, reference) == []
    assert all(list(devices) == [f"cuda:{LAST}"] for devices in placed(sink))
    assert on_one_card[1] is None or on_one_card[1].contexts == {LAST}


@pytest.mark.parametrize("place", PLACES)
def test_models_over_several_devices_have_the_same_numbers(
    place: str, study: Study, reference: MemorySink
) -> None:
    if place == "split" and not LAST:
        pytest.skip("there is one card")
    # These write into weights, which offloaded ones do not allow.
    apart = WEIGHTS if place == "split" else (*WEIGHTS, "arithmetic", "graft")
    analyses = [name for name in registry.names() if name not in apart]
    sink, ledger = watched(study, analyses, max_memory=PLACES[place])
    assert {unit.analysis for unit, _ in sink.units.values()} >= set(analyses)
    assert differing(sink, reference) == []
    assert all(len(devices) == 2 for devices in placed(sink))
    assert ledger is None or set(+ledger.peak) == ({0, 1} if place == "split" else {0})


@pytest.mark.skipif(not PRETENDED, reason="a real card rounds float16 in another order")
def test_half_precision_has_the_same_numbers_on_a_card(study: Study) -> None:
    analyses, half = ("divergence", "evaluation"), {"dtype": "float16"}
    expected = measured(study, analyses, device="cpu", **half)
    sink, _ = watched(study, analyses, device=f"cuda:{LAST}", **half)
    assert differing(sink, expected) == []


@pytest.mark.skipif(not PRETENDED, reason="a real card keeps no ledger")
def test_weights_come_from_pinned_memory_and_results_go_down_once_a_layer(
    on_one_card: tuple[MemorySink, Any],
) -> None:
    ledger = on_one_card[1]
    assert not [where for where in ledger.pageable if where.startswith("weights/")]
    assert ledger.by_function("up")["weights/uploads.py _part"]
    waits = ledger.by_function("waits")
    layers, matrices, by_head = 2, 7, 4
    # The host solves the heads of q and o, which have several: W, each change, each tuned matrix.
    assert waits.pop("weights/batches.py eigh") == layers * 2 * (1 + 2 * len(STEPS))
    # W's rank is asked for once, right behind its decomposition, for which torch waits itself.
    assert waits.pop("weights/linalg.py basis_of") == layers * (matrices + by_head)
    assert waits.pop("weights/regime.py of") == layers * matrices
    assert waits.pop("weights/stream.py settle") == layers + 1
    assert not [where for where in waits if where.partition(" ")[2] == "measure"]
    # Afterwards, the tokens of all directions of a layer, and of embeddings, are read out.
    files = {where.partition(" ")[0] for where in waits if where.startswith("weights/")}
    assert files <= {"weights/vocabulary.py", "weights/embeddings.py"}


def test_all_slices_of_the_weights_go_up_on_one_stream() -> None:
    """Memory that one stream has freed is not given to another."""
    card = torch.device("cuda", LAST)
    with ThreadPoolExecutor(1) as pool:
        first, second = (Uploads(card, pool, 1) for _ in range(2))
    with first._copying():
        stream = torch.cuda.current_stream(card)
    with second._copying():
        assert torch.cuda.current_stream(card) == stream


@pytest.mark.skipif(not PRETENDED, reason="a real card keeps no ledger")
@pytest.mark.parametrize("late", [False, True])
def test_an_event_is_waited_for_with_the_copies_before_it_alone(late: bool) -> None:
    with PRETENDED.cards() as ledger:
        stream, memory = torch.cuda.current_stream(), torch.ones(4).pin_memory()
        event = stream.record_event() if late else None
        memory.to("cuda", non_blocking=True)
        (event or stream.record_event()).synchronize()
        memory.zero_()
    assert bool(ledger.flights.changed) is late


@pytest.mark.skipif(not PRETENDED, reason="a real card keeps no ledger")
def test_what_batches_send_up_is_pinned_and_counts_come_down_once_a_batch(
    study: Study, on_one_card: tuple[MemorySink, Any]
) -> None:
    ledger = on_one_card[1]
    once = {  # a model's load, and the harness's own inputs
        "vectors/sweep.py <dictcomp>", "states/head.py _filled",
        "evaluation/language_model.py <lambda>",
    }  # fmt: skip
    # Places given to a model as a list, and numbers, are sent up by torch itself.
    sent = {n: c for n, c in ledger.by_function("pageable").items() if not n.startswith("/")}
    assert sum(count for name, count in sent.items() if name not in once) < 10_000
    waits = ledger.by_function("waits")
    models, batches = len(STEPS) + 1, 2  # of 3 documents, 2 at once
    assert waits["neurons/activity.py commit"] >= models * batches
    assert not {
        "neurons/activity.py add", "neurons/activity.py _drive", "neurons/attribution.py add",
        "neurons/attribution.py text_loss", "neurons/contexts.py _taken",
        "models/replay.py advance", "vectors/grafting.py stage",
    } & waits.keys()  # fmt: skip


def test_generated_text_is_batched_by_its_keys_and_values(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = checkpoints.read(Path(study.models.base.path)).to(f"cuda:{LAST}").eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(study.models.base.path)
    prompt, settings = "what is red and blue", {"max_gen_toks": 6, "until": ["."]}
    longest = len(tokenizer(prompt).input_ids) + 6
    logits = language_model.bytes_of_logits(model)
    cache = language_model.cache_of(model, model.device)
    assert cache is not None
    seen: list[int] = []
    monkeypatch.setattr(HFLM, "generate_until", lambda self, *_, **__: seen.append(self.batch_size))
    for rows in (1, 3, 10):
        budget = rows * (cache.nbytes(longest) + logits)
        monkeypatch.setattr(language_model, "_ELSEWHERE", (64, budget))
        asked = language_model.LanguageModel(model, tokenizer, "auto")
        asked.generate_until([SimpleNamespace(args=(prompt, settings), doc_id=0)])
    assert seen == [1, 3, 10]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft and transformers
@pytest.mark.parametrize("base", ADAPTED)
def test_an_adapter_has_the_same_numbers_on_a_card(base: str, tmp_path: Path) -> None:
    cases.trained(base, "LORA", ADAPTED[base], tmp_path / "adapter").save_pretrained(tmp_path / "b")
    asked = intake.of_models(str(tmp_path / "b"), [str(tmp_path / "adapter")])
    expected = measured(asked, ("tuning_vectors", "alignment"), device="cpu")
    sink, ledger = watched(asked, ("tuning_vectors", "alignment"), device=f"cuda:{LAST}")
    assert differing(sink, expected) == []
    assert ledger is None or ledger.pageable.total() == 0


def test_experts_have_the_same_numbers_on_a_card(tmp_path: Path) -> None:
    state_family.write_family(tmp_path, "mixtral")
    asked = state_family.study_of(tmp_path, "tuned0")
    criteria = ["gate", "product", "magnitude", "attribution"]
    asked = asked.model_copy(update={"analyses": {"activation": {"criteria": criteria}}})
    expected = measured(asked, ("activation", "tuning_vectors"), device="cpu")
    sink, ledger = watched(asked, ("activation", "tuning_vectors"), device=f"cuda:{LAST}")
    assert differing(sink, expected) == []
    if ledger is not None:
        waits = ledger.by_function("waits")
        assert not {"neurons/activity.py _routed", "neurons/attribution.py _add"} & waits.keys()


def test_values_that_are_not_finite_are_named(study: Study, tmp_path: Path) -> None:
    base = Path(study.models.base.path)
    broken = harness_zoo.write_tuned(base, tmp_path / "broken", seed=1, size=math.nan)
    asked = intake.of_models(str(base), [str(broken)])
    with pytest.raises(RunError, match=r"'broken' .* values that are not finite"):
        watched(asked, WEIGHTS, device=f"cuda:{LAST}")


@pytest.mark.skipif(not PRETENDED, reason="a real card keeps no ledger")
@pytest.mark.parametrize("share", [0.5, 0])
def test_a_sweep_keeps_its_copies_on_a_card_that_has_room(
    share: float, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.vectors.sweep._SPARE", share)
    names = [study.models.base.path, study.models.tuned["maths@3"].path]
    texts = ("dare(density=0.5,seed=3):a=0.7", "della(density=0.4,epsilon=0.2):a=0.7",
             "della(density=0.4,epsilon=0.2):a=-1.5", "a=0.5")  # fmt: skip
    drawn: list[str] = []
    numbers = drops.numbers
    monkeypatch.setattr(drops, "numbers", lambda *of: drawn.append(of[0]) or numbers(*of))

    def swept(device: str) -> list[dict[str, torch.Tensor]]:
        base, tuned = (checkpoints.read(Path(name)).requires_grad_(False) for name in names)
        pieces, vector = zoo.anatomy_in(base).pieces, tensors_of(tuned)
        with Sweep(base.to(device), {"a": vector}, pieces, near=True) as sweep:
            points = []
            for text in texts:
                sweep.set(parse(text, ("a",)))
                tensors = tensors_of(base).items()
                points.append({name: tensor.cpu().clone() for name, tensor in tensors})
            return points

    expected = swept("cpu")
    assert not drawn  # by numpy
    with PRETENDED.cards() as ledger:
        on_card = swept(f"cuda:{LAST}")
    for one, other, text in zip(on_card, expected, texts, strict=True):
        for name, tensor in other.items():
            assert torch.equal(one[name], tensor), (text, name)
    # The third point differs from the second in its coefficient alone.
    assert len(drawn) == len(set(drawn))
    assert {each.partition("|")[0] for each in drawn} == {"3", "0"}
    assert not [where for where in ledger.up if where.startswith("vectors/drops.py")]
    sent = [where for where in ledger.up if where.startswith("vectors/combination.py")]
    assert bool(sent) == (not share)
    assert not ledger.by_function("pageable")["vectors/combination.py _run"]


@pytest.mark.parametrize("text", ["a=0.5,b=1", "ties(density=0.3):a=1,b=0.5"])
def test_a_mix_of_vectors_on_the_host_is_written_as_it_is_measured(text: str) -> None:
    shape = 64, 32
    pieces = [Piece(tensor="w", module="up", layer=0, shape=shape, rows=((0, 64),))]
    with PRETENDED.cards() if PRETENDED else nullcontext():
        model = nn.ParameterDict({"w": torch.randn(shape).bfloat16()}).requires_grad_(False)
        model.to(f"cuda:{LAST}")
        vectors = {name: {"w": torch.randn(shape).bfloat16()} for name in "ab"}
        with Sweep(model, vectors, pieces, kernels=Kernels()) as sweep:
            sweep.set(parse(text, ("a", "b")))
            measured = model["w"].detach().cpu().clone()
            sweep.set(parse(text, ("a", "b")), measured=False)
            assert torch.equal(model["w"].detach().cpu(), measured)


def test_a_model_is_gone_before_the_next_is_loaded(study: Study) -> None:
    family = open_family(study.models)
    member = family.tuned["maths@1"]
    with PRETENDED.cards() if PRETENDED else nullcontext() as ledger:
        run = study.run.model_copy(update={"device": f"cuda:{LAST}"})
        for _ in range(2):
            with loading.loaded(member, run) as model:
                size = sum(parameter.nbytes for parameter in model.module.parameters())
            del model
    assert ledger is None or size <= ledger.peak[LAST] < 2 * size


def test_an_operation_without_a_kernel_is_refused() -> None:
    with PRETENDED.cards() if PRETENDED else nullcontext():
        values = torch.ones(3, device=f"cuda:{LAST}")
        assert float(values.add(1).sum()) == 6
        with pytest.raises(NotImplementedError, match="aten::histogram"):
            torch.histogram(values, 2)


@pytest.mark.skipif(not PRETENDED, reason="a machine may have several cards")
def test_a_plan_names_the_only_card_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models lie on 'cuda:0', whatever the linear algebra calls it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    asked = study.model_copy(update={"run": study.run.model_copy(update={"device": "auto"})})
    with PRETENDED.cards():
        plan = preflight.look_ahead(
            asked, registry.names(), finished=lambda keys: set(), pace=lambda *_: None
        )
    assert plan.needed.keys() == {"cuda:0", "cpu"}


def placed(sink: MemorySink) -> list[Mapping[str, Any]]:
    """The modules on each device, of every model that was loaded."""
    placements: list[Mapping[str, Any]] = list(sink.provenance["placement"].values())
    assert placements
    return placements


def watched(study: Study, analyses: Any, **place: Any) -> tuple[MemorySink, Any]:
    """The results, and the ledger of pretended cards."""
    if not PRETENDED:
        return measured(study, analyses, **place), None
    with PRETENDED.cards() as ledger:
        sink = measured(study, analyses, **place)
    print(ledger.report())
    assert not ledger.flights.changed
    return sink, ledger


def differing(sink: MemorySink, reference: MemorySink) -> list[str]:
    assert sink.units.keys() <= reference.units.keys()
    lines = []
    for key, (unit, result) in sink.units.items():
        expected = reference.units[key][1]
        assert len(result.measurements) == len(expected.measurements), unit.label
        for row, other in zip(result.measurements, expected.measurements, strict=True):
            within = NUMBERS if PRETENDED or row.metric not in AMPLIFIED else 100 * NUMBERS
            if not close(row.value, other.value, within):
                lines.append(f"{unit.analysis}: {row.value} for {other}")
    print("\n".join(lines))
    return lines


def close(a: float | None, b: float | None, within: float) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=within, abs_tol=within)
