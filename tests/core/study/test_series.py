"""Series of checkpoints: which folders are members, their names and order, what a new one costs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.engine import runner
from core.errors import CheckpointError, StudyError
from core.models import steps
from core.models.family import open_family
from core.study import intake, series
from core.study.study import Study
from core.vectors import arithmetic
from tests.conftest import WEIGHTS, MemorySink, tiny_config, tiny_tensors, tuned_from, write_model

STUDY = """\
name = "trained"
[models]
base = "base"
[models.tuned]
other = "other"
sft = { path = "runs/sft", checkpoints = "checkpoint-*", role = "control" }
"""


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A study of a base, another model and a series of three checkpoints; its file."""
    base = tiny_tensors()
    write_model(tmp_path / "base", tiny_config(), base)
    write_model(tmp_path / "other", tiny_config(), tuned_from(base, 9))
    for step in (1000, 500, 20):
        checkpoint(tmp_path, step)
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return file


def checkpoint(root: Path, step: int) -> Path:
    """A checkpoint as a trainer saves it, with the state of its optimizer."""
    folder = root / "runs" / "sft" / f"checkpoint-{step}"
    write_model(folder, tiny_config(), tuned_from(tiny_tensors(), 3, 1e-5 * step))
    (folder / "optimizer.pt").write_bytes(b"no model")
    (folder / "trainer_state.json").write_text("{}")
    return folder


def test_members_stand_in_order_of_step_with_what_the_series_says(trained: Path) -> None:
    models = intake.read(trained).models
    assert list(models.tuned) == ["other", "sft@20", "sft@500", "sft@1000"]
    member = models.tuned["sft@500"]
    assert member.path == str(trained.parent / "runs" / "sft" / "checkpoint-500")
    assert {models.tuned[name].role for name in list(models.tuned)[1:]} == {"control"}
    assert models.pending == ()


def test_half_written_folders_are_passed_over_with_the_reason(trained: Path) -> None:
    folder = trained.parent / "runs" / "sft"
    (folder / "checkpoint-1500").mkdir()
    (folder / "checkpoint-1500" / "config.json").write_text("{}")
    cut = checkpoint(trained.parent, 2000) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-4])
    shutil.copytree(folder / "checkpoint-20", folder / "checkpoint-best")
    study = intake.read(trained)
    assert list(study.models.tuned) == ["other", "sft@20", "sft@500", "sft@1000"]
    notes = dict(words.split(" is skipped: ") for name, words in series.notes(study.models))
    assert set(notes) == {"checkpoint-1500", "checkpoint-2000", "checkpoint-best"}
    assert "not a complete safetensors file" in notes["checkpoint-2000"]
    assert notes["checkpoint-best"] == "its name has no step."


def test_two_folders_of_one_step_are_refused(trained: Path) -> None:
    folder = trained.parent / "runs" / "sft"
    shutil.copytree(folder / "checkpoint-20", folder / "checkpoint-020")
    with pytest.raises(StudyError, match="both checkpoints of step 20"):
        intake.read(trained)


def test_a_series_without_checkpoints_is_refused_where_it_is_opened(trained: Path) -> None:
    shutil.rmtree(trained.parent / "runs" / "sft")
    (trained.parent / "runs" / "sft" / "checkpoint-5").mkdir(parents=True)
    study = intake.read(trained)
    assert study.models.pending == ("sft",)
    with pytest.raises(CheckpointError, match=r"no complete checkpoint named checkpoint-\*"):
        open_family(study.models)
    shutil.rmtree(trained.parent / "runs" / "sft")
    with pytest.raises(CheckpointError, match="There is no directory"):
        open_family(study.models)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('x = { path = "other", parent = "sft" }', "a series of checkpoints: name one"),
        ('x = { path = "other", parent = "sft@7" }', "parent 'sft@7' of 'x' is not a tuned model"),
        ('x = { path = "other", checkpoints = "a/*" }', "must be the name of a folder"),
        ('x = { path = "other", group = "sft" }', "is the name of a model"),
        ('"x@07" = "other"', "can't be called 'x@07'"),
        ('"base@7" = "other"', "can't be called 'base@7'"),
    ],
)
def test_wrong_names_are_refused(trained: Path, line: str, wrong: str) -> None:
    trained.write_text(STUDY + line + "\n")
    with pytest.raises(StudyError, match=wrong):
        intake.read(trained)


def test_a_member_may_be_a_parent_a_reference_and_a_vector(trained: Path) -> None:
    more = 'late = { path = "other", parent = "sft@500" }\n'
    more += '[evaluation]\nreference = { maths = "sft@1000" }\ntasks = { maths = ["gsm8k"] }\n'
    trained.write_text(STUDY + more)
    study = intake.read(trained)
    assert study.models.tuned["late"].parent == "sft@500"
    point = arithmetic.parse("sft@500=0.5", tuple(study.models.tuned))
    assert point.coefficients == (("sft@500", 0.5),)
    trained.write_text(STUDY + more.replace("sft@1000", "sft@7"))
    with pytest.raises(StudyError, match="'sft@7' is not a tuned model"):
        intake.read(trained)


def test_revisions_of_a_hub_may_be_named_as_members(trained: Path) -> None:
    line = '"pythia@1000" = { path = "org/pythia", revision = "step1000" }\n'
    trained.write_text(STUDY + line)
    names = intake.read(trained).models.tuned
    assert steps.series_in(names)["pythia"] == (("pythia", 1000),)


def test_a_new_checkpoint_costs_only_itself(
    trained: Path, memory_sink: Callable[[], MemorySink]
) -> None:
    sink = memory_sink()
    first = intake.read(trained)
    runner.run(first, sink, WEIGHTS)
    before = set(sink.units)
    checkpoint(trained.parent, 1500)
    second = intake.read(trained)
    assert second.key(WEIGHTS) == first.key(WEIGHTS)
    runner.run(second, sink, WEIGHTS)
    new = [unit for key, (unit, _) in sink.units.items() if key not in before]
    assert new
    assert all("sft@1500" in (u.model, u.reference) for u in new)
    assert sink.last.reused == len(before)


def test_what_a_trainer_deleted_stays_in_the_study_and_is_not_opened(trained: Path) -> None:
    stored = intake.read(trained)
    shutil.rmtree(trained.parent / "runs" / "sft" / "checkpoint-20")
    checkpoint(trained.parent, 1500)
    study = series.reopened(Study.model_validate(stored.model_dump(mode="json")))
    assert list(study.models.tuned) == ["other", "sft@20", "sft@500", "sft@1000", "sft@1500"]
    assert series.absent(study.models) == {"sft@20"}
    assert list(series.present(study).models.tuned) == ["other", "sft@500", "sft@1000", "sft@1500"]
    assert study.key([]) == stored.key([])


def test_bare_folders_of_checkpoints_are_series(trained: Path) -> None:
    root = trained.parent
    study = intake.of_models(str(root / "base"), [str(root / "runs" / "sft"), str(root / "other")])
    assert list(study.models.tuned) == ["sft@20", "sft@500", "sft@1000", "other"]


def test_studies_without_series_keep_their_key() -> None:
    models = {"base": "b", "tuned": {"one": "1"}}
    study = Study.model_validate({"name": "x", "models": models})
    known = "fcfc4ccabf90b02fcb41eed1eed5451cb676ae7bff4ead232cdc10a5b9550ce0"
    assert study.key(["alignment"]) == known
