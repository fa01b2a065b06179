"""The free memory of devices: of a card for torch, and of the host for this process.

Owns the limits of control groups, by which containers and clusters bound a process below the host's
memory. Places nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version: the files of a group's limit and use, and the field of memory.stat that counts pages
of files, which the system takes back when it needs memory."""


def free(device: torch.device) -> int:
    """The free bytes of a card, including torch's unused cache there, or of the host; 0 for other
    devices, which report none."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(unused)
    return of_host() if device.type == "cpu" else 0


def of_host() -> int:
    """The free bytes of the host that this process may use."""
    return max(0, min([int(psutil.virtual_memory().available), *_of_groups()]))


def _of_groups() -> Iterator[int]:
    """The bytes that each limited group of this process leaves."""
    for version, group in _groups():
        limit, use, files = _FILES[version]
        try:
            most = (group / limit).read_text().strip()
            if most != "max":
                stat = dict(map(str.split, (group / "memory.stat").read_text().splitlines()))
                yield int(most) - int((group / use).read_text()) + int(stat.get(files, 0))
        except (OSError, ValueError):
            continue


def _groups() -> Iterator[tuple[int, Path]]:
    """The folders of this process's groups for memory, from its own to the outermost."""
    try:
        lines = _GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            version, root = 2, _MOUNT
        elif "memory" in controllers.split(","):
            version, root = 1, _MOUNT / "memory"
        else:
            continue
        # A container may show only its own group, at the root.
        own_folder = root / path.strip("/")
        while own_folder != root and root in own_folder.parents:
            yield version, own_folder
            own_folder = own_folder.parent
        yield version, root
