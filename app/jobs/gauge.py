"""Load of this host and its GPUs, measured in a separate process.

`python -P -m app.jobs.gauge` prints a reading as a line of JSON every two seconds, and ends when
its stdin closes; Gauge reads them. So a hanging driver blocks nothing. GPUs are read through NVML,
if its package (the extra `gpu`) and a driver are installed. Shows nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from app.jobs.environment import child_environment

_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU: bytes of its memory, and its utilisation in per cent, if known."""

    name: str
    used: int
    total: int
    busy: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """A host at one moment: bytes of its memory, and its GPUs."""

    used: int
    total: int
    cards: tuple[Card, ...] = ()


class Gauge:
    """A measuring process. `reading` is its last reading."""

    def __init__(self) -> None:
        self.reading: Usage | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start measuring, unless it is already running."""
        if self._process is not None:
            return
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.jobs.gauge"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # ctrl+c in the terminal must not stop it
                env=child_environment(),
            )
        except OSError:
            return
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def stop(self) -> None:
        """Stop measuring."""
        process, self._process, self.reading = self._process, None, None
        if process is not None:
            process.kill()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Store each reading until the end of the process."""
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                reading = parse(line)
                if self._process is process and reading is not None:
                    self.reading = reading
        if self._process is process:
            self.reading = None


def parse(line: str | bytes) -> Usage | None:
    """The reading in a line; None when there is none in it."""
    try:
        data = json.loads(line)
        return Usage(data["used"], data["total"], tuple(Card(**card) for card in data["cards"]))
    except (ValueError, TypeError, KeyError):
        return None


def measure(nvml: Any = None) -> Usage:
    """The current load. `nvml` is the initialised module pynvml."""
    memory = psutil.virtual_memory()
    measured = [_card(nvml, handle) for handle in _visible(nvml)] if nvml is not None else []
    cards = tuple(card for card in measured if card is not None)
    return Usage(memory.total - memory.available, memory.total, cards)


def main() -> None:
    """Print readings until stdin closes, which happens at the parent's end."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    nvml = open_nvml()
    while True:
        print(json.dumps(asdict(measure(nvml))), flush=True)
        time.sleep(_PAUSE)


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    # Exits at once, even while a driver hangs.
    os._exit(0)


def open_nvml() -> Any:
    """The initialised module pynvml; None without the package or a driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _visible(nvml: Any) -> list[Any]:
    """Handles of the cards that CUDA shows to a process with this environment, in its order.

    CUDA_VISIBLE_DEVICES has indices or beginnings of UUIDs, up to the first unknown one. Indices
    follow the PCI bus if CUDA_DEVICE_ORDER says so, as here; by default CUDA sorts unlike cards by
    speed, which NVML does not know. A part of a card (MIG) is not measured.
    """
    places = range(nvml.nvmlDeviceGetCount())
    every = [_asked(nvml, "nvmlDeviceGetHandleByIndex", place) for place in places]
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return [handle for handle in every if handle is not None]
    handles: list[Any] = []
    for name in (part.strip() for part in wanted.split(",")):
        if name.isdigit():
            named = every[int(name) :][:1]
        else:
            known = [handle for handle in every if handle is not None]
            uuids = [(handle, _asked(nvml, "nvmlDeviceGetUUID", handle)) for handle in known]
            named = [handle for handle, uuid in uuids if name and str(uuid).startswith(name)][:1]
        if not named or named[0] in handles:
            break
        handles += named
    return [handle for handle in handles if handle is not None]


def _asked(nvml: Any, question: str, about: Any) -> Any:
    """An answer of NVML; None if it has none."""
    try:
        return getattr(nvml, question)(about)
    except nvml.NVMLError:
        return None


def _card(nvml: Any, card: Any) -> Card | None:
    try:
        memory, name = nvml.nvmlDeviceGetMemoryInfo(card), nvml.nvmlDeviceGetName(card)
    except nvml.NVMLError:
        return None
    try:
        busy = nvml.nvmlDeviceGetUtilizationRates(card).gpu
    except nvml.NVMLError:  # a card partitioned by MIG does not report it
        busy = None
    return Card(name, memory.used, memory.total, busy)


if __name__ == "__main__":
    main()
