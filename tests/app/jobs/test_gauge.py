"""How busy a host is: what is measured, with and without GPUs, and when the measuring ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs import gauge
from app.jobs.environment import child_environment
from app.jobs.gauge import Card, Gauge, Usage, measure, parse
from tests.patience import PATIENCE, eventually

COMMAND = [sys.executable, "-P", "-m", "app.jobs.gauge"]


class _Nvml:
    """NVML of four cards: a plain one, one that is cut up, one that is lost, one like the first."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802 - the library's own names
        """It has a driver."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 4

    def nvmlDeviceGetHandleByIndex(self, place: int) -> int:  # noqa: N802
        return place

    def nvmlDeviceGetName(self, card: int) -> str:  # noqa: N802
        return f"card {card}"

    def nvmlDeviceGetUUID(self, card: int) -> str:  # noqa: N802
        return f"GPU-{card}e1f"

    def nvmlDeviceGetMemoryInfo(self, card: int) -> Any:  # noqa: N802
        if card == 2:
            raise self.NVMLError("GPU is lost")
        return SimpleNamespace(total=80 * 2**30, used=(card + 1) * 2**30, free=0)

    def nvmlDeviceGetUtilizationRates(self, card: int) -> Any:  # noqa: N802
        if card == 1:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=40 + card, memory=3)


def test_the_memory_of_a_host_without_gpus() -> None:
    usage = measure()
    assert usage.total == psutil.virtual_memory().total
    assert 0 < usage.used < usage.total
    assert usage.cards == ()


def test_cards_that_do_not_answer_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert measure(_Nvml()).cards == (
        Card("card 0", 1 * 2**30, 80 * 2**30, 40),
        Card("card 1", 2 * 2**30, 80 * 2**30, None),
        Card("card 3", 4 * 2**30, 80 * 2**30, 43),
    )


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        ("3,0", ["card 3", "card 0"]),
        ("1", ["card 1"]),
        ("GPU-3e, GPU-0e1f", ["card 3", "card 0"]),
        ("0,9,1", ["card 0"]),  # CUDA shows those before the first unknown one
        ("-1", []),
        ("", []),
    ],
)
def test_cards_that_cuda_hides_are_left_out(
    visible: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [card.name for card in measure(_Nvml()).cards] == shown


def test_no_package_and_no_driver_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gauge.open_nvml() is None
    library = _Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert gauge.open_nvml() is library

    def fail() -> None:
        raise _Nvml.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(library, "nvmlInit", fail)
    assert gauge.open_nvml() is None


_CARDS = st.builds(Card, st.text(), st.integers(0), st.integers(1), st.none() | st.integers(0, 100))
_READINGS = st.builds(Usage, st.integers(0), st.integers(1), st.lists(_CARDS).map(tuple))


@given(_READINGS)
def test_a_reading_comes_through_a_line(reading: Usage) -> None:
    line = json.dumps(asdict(reading))
    assert "\n" not in line
    assert parse(line.encode()) == reading


@pytest.mark.parametrize(
    "line", ["", "no", "3", "[]", "{}", '{"used": 1, "total": 2, "cards": [{"odd": 1}]}', b"\xff"]
)
def test_what_is_no_reading_is_none(line: str | bytes) -> None:
    assert parse(line) is None


def test_it_prints_readings_and_ends_with_its_stdin() -> None:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        reading = parse(process.stdout.readline())
        assert reading is not None
        assert reading.total == psutil.virtual_memory().total
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=PATIENCE) == 0


_PARENT = """
import time
from app.jobs.gauge import Gauge
gauge = Gauge()
gauge.start()
while gauge.reading is None:
    time.sleep(0.01)
print(gauge._process.pid, flush=True)
time.sleep(600)
"""


def test_it_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True, env=child_environment()
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_gauge_starts_once_and_stops() -> None:
    measured = Gauge()
    measured.stop()
    measured.start()
    process = measured._process
    assert process is not None
    measured.start()
    assert measured._process is process
    assert eventually(lambda: measured.reading)
    measured.stop()
    assert measured.reading is None
    assert eventually(lambda: process.returncode is not None)
    assert process.returncode == -signal.SIGKILL
    assert measured.reading is None


def test_one_that_can_not_be_started_or_dies_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    measured = Gauge()
    measured.start()
    assert measured.reading is None
    monkeypatch.setattr(sys, "executable", "/bin/false")
    measured.start()
    process = measured._process
    assert process is not None
    assert eventually(lambda: process.returncode is not None)
    measured.stop()


def test_it_imports_no_screen_no_database_and_no_torch() -> None:
    code = "import sys, app.jobs.gauge; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **child_environment()},
    ).stdout.split()
    assert not {"torch", "textual", "sqlalchemy", "numpy", "pydantic"} & set(loaded)
