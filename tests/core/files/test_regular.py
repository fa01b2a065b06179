"""Pipes, devices, loops and endless nesting where a file is meant."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError, safe_open

from app import config
from core.errors import CheckpointError, StudyError, TaskError
from core.evaluation.tasks import open_tasks
from core.files import regular
from core.models import checkpoint, headers
from core.models.adapters.checkpoint import Adapter
from core.study import intake
from core.study.study import Evaluation
from tests.conftest import tiny_config, tiny_tensors, write_model

STAND_INS: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a device without a beginning": lambda path: path.symlink_to("/dev/null"),
    "a loop": lambda path: path.symlink_to(path.name),
    "a folder": Path.mkdir,
}


@pytest.fixture(params=list(STAND_INS.values()), ids=list(STAND_INS))
def put(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    writer: Callable[[Path], None] = request.param
    return writer


def test_only_regular_files_are_read(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "x")
    with pytest.raises(OSError):  # noqa: PT011 - of many kinds
        regular.content(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"abc")
    assert regular.content(tmp_path / "y") == b"abc"
    with pytest.raises(OSError, match="too large"):
        regular.content(tmp_path / "y", longest=2)


def test_a_study_and_settings_that_are_no_files(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "x.toml")
    for read in (intake.read, config.read):
        with pytest.raises(StudyError, match=r"x\.toml can't be read"):
            read(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [("seed = " + "9" * 5000, "4300 digits"), ("a = " + "[" * 10**5, "nested too deeply"),
     ("a = " + "{a = " * 10**5, "nested too deeply"), ("a = 1\na = 2", "not valid TOML"),
     ("<!DOCTYPE html>", "not valid TOML"), ("name = 3", "name")],
)  # fmt: skip
def test_toml_that_says_too_much(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(StudyError, match=rf"x\.toml.*{words}"):
        intake.read(tmp_path / "x.toml")


@pytest.mark.parametrize("name", ["tokenizer.json", "generation_config.json", "README.md"])
def test_a_model_folder_with_a_pipe_is_not_opened(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "m", tiny_config(), tiny_tensors())
    assert checkpoint.locate(str(folder)) == folder
    os.mkfifo(folder / name)
    with pytest.raises(CheckpointError, match=rf"{name} is a pipe or a device"):
        checkpoint.locate(str(folder))


def test_a_task_folder_with_a_pipe_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    os.mkfifo(tmp_path / "below" / "x.yaml")
    with pytest.raises(TaskError, match=r"x\.yaml is a pipe"):
        open_tasks(Evaluation(tasks={"a": ("b",)}, include=str(tmp_path)), seed=0)


@pytest.mark.parametrize("spoil", ["gap", "rest"])
def test_a_header_that_leaves_bytes_over_is_refused_as_the_library_does(
    tmp_path: Path, spoil: str
) -> None:
    file = write_model(tmp_path / "m", tiny_config(), tiny_tensors()) / "model.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    if spoil == "gap":
        del header["model.norm.weight"]
    else:
        body += bytes(4)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        headers.read_header(file)
    with pytest.raises(SafetensorError), safe_open(file, "pt"):
        pass


def test_factors_that_the_library_refuses_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = checkpoint.open_directory(write_model(tmp_path / "m", tiny_config(), tiny_tensors()))
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    (folder / "adapter_model.safetensors").write_bytes(b"\x09" + bytes(7) + b'{"a": {}}')
    monkeypatch.setattr("core.models.adapters.checkpoint.read_header", lambda file: {})
    with pytest.raises(CheckpointError, match=r"adapter_model.safetensors can't be read"):
        Adapter(folder, base)
