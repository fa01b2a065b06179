"""What the tests of evaluation share: task files, and a model that answers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.core import harness_zoo

    return harness_zoo.write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.core import harness_zoo

    return harness_zoo.write_language_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def loaded(model_folder: Path) -> tuple[Any, Any]:
    """A model in memory and its tokeniser."""
    from transformers import PreTrainedTokenizerFast

    from core.demo import checkpoints

    model = checkpoints.read(model_folder).eval()
    return model, PreTrainedTokenizerFast.from_pretrained(str(model_folder))


@pytest.fixture
def no_standard_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the harness's own tasks, whose files take seconds to read."""
    monkeypatch.setattr("core.evaluation.tasks._standard", dict)


@pytest.fixture(scope="module")
def family_folders(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, two models tuned from it, and a copy of it."""
    from tests.core import harness_zoo

    folder = tmp_path_factory.mktemp("family")
    sizes = {"medical": 0.1, "maths": 0.2, "copy": 0.0}
    tuned = {
        name: harness_zoo.write_tuned(model_folder, folder / name, seed=seed, size=size)
        for seed, (name, size) in enumerate(sizes.items(), start=1)
    }
    return {"base": model_folder, **tuned}
