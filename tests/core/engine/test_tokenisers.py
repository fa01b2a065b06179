"""The keys of units hang on the tokeniser that models share: the base's, or one that the study
names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.engine.runner import planned_units
from core.engine.subject import open_subject
from tests.core import harness_zoo

ASKED = {
    "ablation": {"selections": ["top-20%"], "controls": 2},
    "arithmetic": {"points": ["medical=0.5"]},
}


@pytest.fixture
def base(family_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A base of one test's own, whose files may change."""
    return Path(shutil.copytree(family_folders["base"], tmp_path / "base"))


def _keys(folders: dict[str, Path], tasks: Path, analysis: str, tokenizer: Path | None) -> set[str]:
    probe = {"file": str(folders["base"].parent / "probe.txt"), "documents": 2}
    Path(probe["file"]).write_text("one two\nthree")  # type: ignore[arg-type]
    study = harness_zoo.study_of(
        folders["base"], {"medical": folders["medical"]}, tasks, probe=probe, analyses=ASKED
    )
    named = study.models.model_copy(update={"tokenizer": tokenizer and str(tokenizer)})
    subject = open_subject(study.model_copy(update={"models": named}), ["probe", "tasks"])
    return {unit.key for unit in planned_units(subject, [analysis])}


@pytest.mark.parametrize(
    "analysis", ["activation", "edit_distance", "ablation", "arithmetic", "evaluation"]
)
def test_another_tokeniser_is_another_unit_and_a_copy_of_the_base_s_is_none(
    family_folders: dict[str, Path], task_folder: Path, tmp_path: Path, analysis: str
) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    for folder in (same, other):
        folder.mkdir()
        for file in family_folders["base"].glob("*token*"):
            shutil.copy(file, folder)
    rules = json.loads((other / "tokenizer.json").read_text())
    rules["normalizer"] = {"type": "Prepend", "prepend": " one"}
    (other / "tokenizer.json").write_text(json.dumps(rules))
    plain = _keys(family_folders, task_folder, analysis, None)
    assert plain
    assert _keys(family_folders, task_folder, analysis, same) == plain
    assert not _keys(family_folders, task_folder, analysis, other) & plain


@pytest.mark.parametrize("analysis", ["ablation", "arithmetic", "evaluation"])
def test_a_changed_tokeniser_of_the_base_is_another_unit(
    family_folders: dict[str, Path], task_folder: Path, base: Path, analysis: str
) -> None:
    folders = {**family_folders, "base": base}
    plain = _keys(folders, task_folder, analysis, None)
    assert plain == _keys(folders, task_folder, analysis, None)
    for name, key, value in (
        ("tokenizer.json", "normalizer", {"type": "Prepend", "prepend": " one"}),
        ("tokenizer_config.json", "clean_up_tokenization_spaces", True),
    ):
        before = (base / name).read_text()
        (base / name).write_text(json.dumps({**json.loads(before), key: value}))
        assert not _keys(folders, task_folder, analysis, None) & plain
        (base / name).write_text(before)


@pytest.mark.parametrize("analysis", ["ablation", "arithmetic", "evaluation"])
def test_another_chat_template_is_another_unit_where_tasks_are_asked_as_chats(
    family_folders: dict[str, Path], task_folder: Path, base: Path, analysis: str
) -> None:
    file = base / "tokenizer_config.json"
    settings = json.loads(file.read_text())

    def keys(template: str, *, chat: bool) -> set[str]:
        file.write_text(json.dumps({**settings, "chat_template": template}))
        study = harness_zoo.study_of(
            base, {"medical": family_folders["medical"]}, task_folder, analyses=ASKED,
            chat_template=chat,
        )  # fmt: skip
        subject = open_subject(study, ["tasks"])
        return {unit.key for unit in planned_units(subject, [analysis])}

    one = "{% for m in messages %}{{ m.content }} {% endfor %}"
    other = f"one {one}"
    assert keys(one, chat=True) == keys(one, chat=True)
    assert not keys(one, chat=True) & keys(other, chat=True)
    assert keys(one, chat=False) == keys(other, chat=False)
