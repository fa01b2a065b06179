"""The command by which the workstation has a merge written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.jobs import merging
from core.bench.columns import Mixed, parse
from core.errors import RunError
from core.study import intake
from core.study.study import Study

TUNED = ("medical", "maths")
STUDY = Study.model_validate(
    {"name": 'a "study"', "models": {"base": "/m/base", "tuned": {
        "medical": {"path": "/m/medical", "parent": "maths"}, "maths": "/m/maths"}}}
)  # fmt: skip


def _mix(text: str) -> Mixed:
    column = parse(text, TUNED)
    assert isinstance(column, Mixed)
    return column


def test_the_command_names_the_mix_and_the_same_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def ran(line: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(line)
        assert intake.read(Path(line[5])).models == STUDY.models
        return subprocess.CompletedProcess(line, 0, "", "")

    monkeypatch.setattr(subprocess, "run", ran)
    merging.merge(STUDY, _mix("medical=0.5,maths=1 @ mlp,0-3"), tmp_path / "merged")
    assert seen[0][0] == sys.executable
    assert seen[0][6:] == [
        "--coefficients", "medical=0.5,maths=1", "--restrict", "mlp,0-3",
        "--to", str(tmp_path / "merged"),
    ]  # fmt: skip


def test_what_the_command_said_last_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = subprocess.CompletedProcess([], 3, "", "reading\nerror: no such model")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(RunError) as error:
        merging.merge(STUDY, _mix("medical=0.5"), tmp_path / "merged")
    assert "no such model" in error.value.hint
