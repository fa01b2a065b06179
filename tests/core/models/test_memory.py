"""The free memory of the host within the limits of control groups."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from core.models import memory

VERSIONS = {
    2: ("0::/job/task\n", "", ("memory.max", "memory.current"), "max", "inactive_file"),
    1: (
        "3:cpu:/x\n2:memory,blkio:/job/task\n", "memory",
        ("memory.limit_in_bytes", "memory.usage_in_bytes"), str(1 << 63), "total_inactive_file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_the_tightest_group_bounds_the_host_s_free_memory(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, room, names, unlimited, files = VERSIONS[version]
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_MOUNT", tmp_path / "fs")
    (tmp_path / "cgroup").write_text(f"unknown\n{lines}")
    host = psutil.virtual_memory().available
    assert abs(memory.of_host() - host) < 0.2 * host  # no group's files are there

    def limit(folder: str, most: str, use: int, cached: int) -> None:
        group = tmp_path / "fs" / room / folder
        group.mkdir(parents=True, exist_ok=True)
        for name, value in zip(names, (most, str(use)), strict=True):
            (group / name).write_text(f"{value}\n")
        (group / "memory.stat").write_text(f"anon 7\n{files} {cached}\n")

    limit("job/task", unlimited, 900, 100)
    assert memory.of_host() > 1 << 20
    limit("job", "4000", 1500, 300)
    assert memory.of_host() == 4000 - 1500 + 300
    limit("", "1000", 1500, 300)  # beyond its limit
    assert memory.free(torch.device("cpu")) == 0
    assert memory.free(torch.device("meta")) == 0
