"""The build end to end with the tiny recipe: files, resume, claims on the folder."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import yaml

from core.demo import claim, family
from core.demo.corpora import DOMAINS
from core.demo.recipe import FULL
from core.errors import FamilyError
from core.files import partial
from tests import forked
from tests.core.demo.tiny import TINY

MODELS = ("base", *DOMAINS)


class StoppedError(Exception):
    """What a caller raises to cancel."""


@pytest.fixture(scope="module")
def calls() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, int, int]]
) -> family.DemoFamily:
    folder = tmp_path_factory.mktemp("demo") / "family"
    return family.build(folder, recipe=TINY, progress=lambda *call: calls.append(call))


def weights(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "models" / name / "model.safetensors").read_bytes() for name in MODELS}


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if partial.MARK in path.name]


def test_models_load_and_tokeniser_is_lossless(built: family.DemoFamily) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    text = "The drug velorin treats dustlung.\n  Ünknown wörds, 12345 → spelt in bytes!"
    for folder in (built.base, *built.tuned.values()):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert tokenizer.is_fast
        assert tokenizer.decode(tokenizer(text).input_ids) == text
        assert len(tokenizer) == model.config.vocab_size
        assert len(tokenizer(" velorin").input_ids) == 1
        assert model.lm_head.weight is model.model.embed_tokens.weight
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_tuned_models_differ_from_base_and_from_one_another(built: family.DemoFamily) -> None:
    assert len(set(weights(built.folder).values())) == len(MODELS)


def test_progress_is_monotone_over_a_fixed_total(
    built: family.DemoFamily, calls: list[tuple[str, int, int]]
) -> None:
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert {call[2] for call in calls} == {TINY.steps}
    assert calls[-1] == ("ready", TINY.steps, TINY.steps)
    assert {f"training {name}" for name in MODELS} <= {call[0] for call in calls}


def test_study_file_points_to_what_exists(built: family.DemoFamily) -> None:
    study = tomllib.loads(built.study.read_text(encoding="utf-8"))
    assert study["name"] == "demo"
    models = study["models"]
    for path in (models["base"], *models["tuned"].values(), study["probe"]["file"]):
        assert (built.folder / path).exists()
    assert list(models["tuned"]) == list(DOMAINS)
    assert set(study["analyses"]["arithmetic"]["vectors"]) <= set(models["tuned"])
    tasks = {yaml.safe_load(path.read_text())["task"] for path in built.folder.glob("tasks/*.yaml")}
    assert {task for names in study["evaluation"]["tasks"].values() for task in names} == tasks


def test_task_files_fit_their_data(built: family.DemoFamily) -> None:
    for path in built.folder.glob("tasks/*.yaml"):
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
        data = path.parent / task["dataset_kwargs"]["data_files"][task["test_split"]]
        rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
        if task["output_type"] == "multiple_choice":
            assert task["doc_to_choice"] == "{{choices}}"
            assert all(len(row["choices"]) == 4 and row["answer"] in range(4) for row in rows)
            assert not any(row["prompt"].endswith(" ") for row in rows)
        else:
            assert task["doc_to_target"] == "{{text}}"
            assert len(rows) >= 100
            assert all(row["text"] for row in rows)
    for name in ("general", *DOMAINS):
        lines = (built.folder / "probe" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) >= 100


def test_report_holds_what_was_measured(built: family.DemoFamily) -> None:
    report = json.loads((built.folder / "family.json").read_text(encoding="utf-8"))
    assert report == built.measured
    assert report["seed"] == 0
    assert set(report["versions"]) == {"python", "torch", "transformers", "tokenizers"}
    for domain in DOMAINS:
        loss = report["learnt"][domain]["held_out_loss"]
        assert loss["tuned"] < loss["base"]
        assert 0 <= report["learnt"][domain]["accuracy"]["tuned"] <= 1
        assert report["models"][domain]["steps"] == TINY.tuned[domain].steps


def test_finished_family_returns_at_once(built: family.DemoFamily) -> None:
    def never(*_: object) -> None:
        raise AssertionError("nothing is left to do")

    assert family.build(built.folder, recipe=TINY, progress=never) == built


def test_stopped_build_resumes_to_the_same_bytes(built: family.DemoFamily, tmp_path: Path) -> None:
    def stop_in_maths(stage: str, done: int, total: int) -> None:
        if stage == "training maths":
            raise StoppedError

    with pytest.raises(StoppedError):
        family.build(tmp_path, recipe=TINY, progress=stop_in_maths)
    assert not leftovers(tmp_path)
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names == {"base", "instruct", "medical"}
    times = {name: (tmp_path / "models" / name).stat().st_mtime_ns for name in names}
    again: list[str] = []
    family.build(tmp_path, recipe=TINY, progress=lambda stage, *_: again.append(stage))
    assert "training maths" in again
    assert "training medical" not in again
    assert {name: (tmp_path / "models" / name).stat().st_mtime_ns for name in names} == times
    assert weights(tmp_path) == weights(built.folder)


def test_killed_build_leaves_nothing_that_hinders_the_next(
    built: family.DemoFamily, tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from core.files import partial\n"
        "from core.demo import claim, family\n"
        "from tests.core.demo.tiny import TINY\n"
        "write = claim.write_text\n"
        "def kill_inside(target, text):\n"
        "    if partial.MARK in str(target):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write(target, text)\n"
        "claim.write_text = kill_inside\n"
        "family.build(Path(sys.argv[1]), recipe=TINY)\n"
    )
    log = tmp_path.with_suffix(".log")
    assert forked.run([sys.executable, "-c", script, str(tmp_path)], log) == -9, log.read_text()
    assert leftovers(tmp_path)
    family.build(tmp_path, recipe=TINY)
    assert not leftovers(tmp_path)
    assert weights(tmp_path) == weights(built.folder)


def test_second_builder_waits_for_the_first(built: family.DemoFamily, tmp_path: Path) -> None:
    waited = threading.Event()

    def second(stage: str, done: int, total: int) -> None:
        if stage == "waiting":
            waited.set()
            raise StoppedError

    claim.claim(tmp_path, {**TINY.as_data(), "seed": 0})
    with claim.locked(tmp_path, waiting=lambda: None) as alone:
        assert alone
        with pytest.raises(StoppedError):
            family.build(tmp_path, recipe=TINY, progress=second)
    assert waited.is_set()


def test_strangers_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FamilyError, match=r"thesis\.tex"):
        family.build(tmp_path, recipe=TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_other_seed_or_recipe_in_the_folder_is_refused(built: family.DemoFamily) -> None:
    with pytest.raises(FamilyError, match="another recipe"):
        family.build(built.folder, recipe=TINY, seed=1)
    with pytest.raises(FamilyError, match="another recipe"):
        family.build(built.folder, recipe=FULL)


def test_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(FamilyError, match="taken"):
        family.build(tmp_path / "taken", recipe=TINY)


def test_random_state_is_left_alone(tmp_path: Path) -> None:
    import torch

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(StoppedError):
        family.build(tmp_path, recipe=TINY, progress=_stop_in_instruct)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_importing_the_door_imports_no_torch() -> None:
    script = "import sys, core.demo.family; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def _stop_in_instruct(stage: str, done: int, total: int) -> None:
    if stage == "training instruct":
        raise StoppedError
