"""The tests of cards pass on two pretended ones, and `make gpu` needs a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.devices.__main__ import TESTS

ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST_XDIST")}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("g++") is None, reason="the pretended cards need g++")
def test_every_analysis_runs_on_pretended_cards() -> None:
    plugins = ("-p", "tests.devices.pretended", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = _run("pytest", *plugins, "--tb=short", *map(str, TESTS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_make_gpu_without_a_card_says_so_in_one_line(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    done = _run("tests.devices", "--write", str(page))
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["make gpu: torch finds no CUDA card on this machine."]
    assert not done.stdout
    assert not page.exists()
