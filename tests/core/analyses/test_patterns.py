"""Activated neurons and the distance of patterns, from a study to rows, through the runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from core.engine import registry, runner
from core.errors import Cancelled
from core.neurons.activity import unpacked
from core.study import study
from core.study.models import Models
from tests.conftest import MemorySink, load_all
from tests.core import zoo

PROBED = ("activation", "edit_distance")
TEXT = "the cat sat on the mat. a dog ran to the park\nsome words\nthree more words here\nno end"
PERMUTED, SAME, TUNED = "permuted", "same", "tuned"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A base, a copy of it, one with other weights, and one whose neurons change places."""
    made: Path = tmp_path_factory.mktemp("patterns")
    zoo.build("llama", made, models=1)
    zoo.write_tokenizer(made / "base")
    (made / "probe.txt").write_text(TEXT)
    config = hf.AutoConfig.from_pretrained(made / "base")
    for name in (SAME, PERMUTED):
        model = hf.AutoModelForCausalLM.from_pretrained(made / "base")
        if name == PERMUTED:
            _permute(model, config.intermediate_size)
        model.save_pretrained(made / name)
    return made


def _permute(model: Any, width: int) -> None:
    """The same function with its neurons in another order."""
    order = torch.randperm(width, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for layer in model.model.layers:
            for part in (layer.mlp.gate_proj, layer.mlp.up_proj):
                part.weight.copy_(part.weight[order])
            layer.mlp.down_proj.weight.copy_(layer.mlp.down_proj.weight[:, order])


def _study(folder: Path, *tuned: str, **analyses: Any) -> study.Study:
    places = {TUNED: "tuned0"}
    return study.Study(
        name="patterns",
        models=Models(
            base=str(folder / "base"),
            tuned={name: str(folder / places.get(name, name)) for name in tuned},
        ),
        probe=study.Probe(file=str(folder / "probe.txt"), documents=4),
        analyses=analyses,
        run=study.Run(device="cpu"),
    )


@pytest.fixture(scope="module")
def measured(folder: Path) -> MemorySink:
    sink = MemorySink()
    criteria = {"criteria": ["gate", "product", "magnitude", "attribution"]}
    runner.run(_study(folder, SAME, PERMUTED, TUNED, activation=criteria), sink, PROBED)
    return sink


def test_a_model_lies_at_no_distance_from_itself(measured: MemorySink) -> None:
    for layer in (0, 1, None):
        coordinates = {"model": SAME, "layer": layer}
        assert measured.value("hamming", **coordinates).value == 0
        assert measured.value("ratio", **coordinates).value == 0
        assert measured.value("rate_change", **coordinates).value == 0
    assert measured.value("levenshtein", model=SAME, layer=0).value == 0


def test_neurons_in_another_order_are_as_far_as_unlike_documents_or_further(
    measured: MemorySink,
) -> None:
    for layer in (0, 1):
        moved = measured.value("hamming", model=PERMUTED, layer=layer)
        assert moved.value is not None
        assert moved.chance is not None
        assert moved.value > 0.7 * moved.chance > 0
        same = measured.value("activated_percent", model=PERMUTED, layer=layer)
        base = measured.value("activated_percent", model="base", layer=layer)
        assert same.value == pytest.approx(base.value)


def test_rows_are_those_of_the_patterns_that_are_kept(measured: MemorySink) -> None:
    """Distances once more, from the packed bits and by loops."""
    bits = {}
    for unit, result in measured.units.values():
        for artifact in result.artifacts:
            if artifact.name == "patterns" and artifact.layer == 1 and unit.analysis == PROBED[0]:
                width = int(artifact.arrays["neurons"])
                bits[artifact.model] = unpacked(artifact.arrays["patterns"], width)
    base, tuned = bits["base"], bits[TUNED]
    count = len(base)
    pairs = {
        (s, t): float(np.mean(base[s] != tuned[t])) for s in range(count) for t in range(count)
    }
    row = measured.value("hamming", model=TUNED, layer=1)
    assert row.value == pytest.approx(np.mean([pairs[s, s] for s in range(count)]))
    unlike = [value for (s, t), value in pairs.items() if s != t]
    assert row.chance == pytest.approx(np.mean(unlike))
    assert row.n == count
    change = np.abs(base.mean(0) - tuned.mean(0)).mean()
    assert measured.value("rate_change", model=TUNED, layer=1).value == pytest.approx(change)


def test_every_metric_is_declared_and_every_declared_one_measured(measured: MemorySink) -> None:
    for name in PROBED:
        names = {
            row.metric
            for unit, result in measured.units.values()
            if unit.analysis == name
            for row in result.measurements
        }
        assert names == {spec.name for spec in registry.get(name).metrics}


def test_other_criteria_stand_under_their_setting(measured: MemorySink) -> None:
    settings = {row.setting for row in measured.rows("activated_percent", model=TUNED)}
    assert settings == {"", "product", "magnitude", "attribution"}
    assert {r.setting for r in measured.rows("hamming", model=TUNED)} == settings


def test_patterns_alone_ask_for_no_scores(folder: Path) -> None:
    sink = MemorySink()
    runner.run(_study(folder, TUNED), sink, ["edit_distance"])
    labels = [unit.label for unit, _ in sink.units.values()]
    assert any(label.startswith("activations of") for label in labels)
    assert not [label for label in labels if "scores" in label]


def test_a_run_goes_on_and_another_model_costs_its_own_work_alone(folder: Path) -> None:
    sink = MemorySink(stop_after=2)
    with pytest.raises(Cancelled):
        runner.run(_study(folder, TUNED), sink, PROBED)
    finished = set(sink.saved)
    sink.stop_after = None
    runner.run(_study(folder, TUNED), sink, PROBED)
    assert len(sink.saved) == len(set(sink.saved))
    assert finished < set(sink.saved)
    before = set(sink.saved)
    runner.run(_study(folder, TUNED, SAME), sink, PROBED)
    new = [sink.units[key][0] for key in sink.saved if key not in before]
    whose = {unit.reference if unit.model == "base" else unit.model for unit in new}
    assert whose == {SAME}, "the base is only asked about the new model's neurons"


def test_the_table_of_neurons_names_the_document_that_drives_them(folder: Path) -> None:
    from core.figures.tables import neurons
    from core.figures.views import Catalogue, Choice, Tabulation

    sink = MemorySink()
    runner.run(_study(folder, TUNED), sink, ["activation"])
    artifacts = [a for _, result in sink.units.values() for a in result.artifacts]

    def arrays(name: str, *, model: str = "", layer: int | None = None, **_: Any) -> Any:
        return next(
            (a.arrays for a in artifacts if (a.name, a.model, a.layer) == (name, model, layer)),
            None,
        )

    asked = Tabulation(
        choice=Choice(measure="", model=TUNED, layer=1, order="switched on most"),
        catalogue=Catalogue(ranges={"model": ("base", TUNED), "layer": (0, 1)}),
        rows=(),
        arrays=arrays,
    )
    table = neurons(asked)
    names = [column.name for column in table.columns]
    changes = [float(row[names.index("change")] or 0) for row in table.rows]
    tuned = arrays("neurons", model=TUNED, layer=1)
    base = arrays("neurons", model="base", layer=1)
    assert changes == sorted(changes, reverse=True)
    assert changes[0] == pytest.approx(float((tuned["rate"] - base["rate"]).max()))
    first = int(table.rows[0][names.index("neuron")])  # type: ignore[arg-type]
    driver = int(tuned["drivers"][0, first])
    if driver >= 0:
        cell = str(table.rows[0][names.index("fires most in")])
        assert TEXT.splitlines()[driver][:20] in cell


def test_load_all_reads_what_the_copies_hold(folder: Path) -> None:
    """The copy that distances of 0 rest on is one."""
    base, same = load_all(folder / "base"), load_all(folder / SAME)
    assert all(torch.equal(base[name], same[name]) for name in base)
