"""The number of threads of a worker, and the versions that a run is stored with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.jobs import environment

ROOT = Path(__file__).parents[3]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 16 cores without a load and without a quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr("psutil.cpu_count", lambda logical=True: 16)
    for name in ("_QUOTA", "_LOAD"):
        monkeypatch.setattr(environment, name, tmp_path / name)
    (tmp_path / "_LOAD").write_text("9.00 9.00 9.00 1/300 77\n")
    (tmp_path / "_QUOTA").write_text("max 100000\n")
    return tmp_path


@pytest.mark.parametrize(
    ("running", "quota", "threads"),
    [
        (1, "max", None),  # the libraries' own choice
        (4, "max", 13),
        (17, "max", 8),  # at least half of the cores
        (1, "350000", 4),
        (14, "400000", 3),
        (17, "10000", 1),
        (1, "6400000", None),
    ],
)
def test_threads_fit_the_load_and_the_quota(
    machine: Path, running: int, quota: str, threads: int | None
) -> None:
    (machine / "_LOAD").write_text(f"0.00 0.00 0.00 {running}/300 77\n")
    (machine / "_QUOTA").write_text(f"{quota} 100000\n")
    assert environment.free_threads() == threads


def test_a_machine_that_says_nothing_has_the_libraries_choice(machine: Path) -> None:
    for name in ("_LOAD", "_QUOTA"):
        (machine / name).unlink()
    assert environment.free_threads() is None


def test_a_worker_uses_these_threads_unless_the_user_chose() -> None:
    code = (
        "import os; from app.jobs import environment; environment.free_threads = lambda: {free};"
        "environment.tune(); import torch;"
        "print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'])"
    )
    given = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
    for free, chosen in ((1, {}), (2, {"OMP_NUM_THREADS": "1"})):
        command = [sys.executable, "-c", code.format(free=free)]
        done = subprocess.run(
            command, env=given | chosen, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "1 PASSIVE"


def test_every_extra_that_computes_has_its_version_in_a_run() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = {re.split(r"[<>=]", extras[name][0])[0] for name in ("cluster", "fast", "gguf")}
    assert names <= set(environment.PACKAGES)
