"""Signals to a run that does not look whether it should stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.jobs.stopping import STOPPED
from tests.patience import PATIENCE

_DEAF = {
    "a loop that swallows every error": """
while True:
    try:
        print("in hand", flush=True)
        while True:
            pass
    except BaseException:
        continue
""",
    "one long call of C code": """
import hashlib
print("in hand", flush=True)
hashlib.pbkdf2_hmac("sha512", b"", b"", 10**9)
""",
}
_WORK = """
import threading
from app.jobs.stopping import stopping_on_signals
stop = threading.Event()
with stopping_on_signals(stop, lambda: print("asked", flush=True)):
"""


@contextmanager
def _deaf(code: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own that hears nothing."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", f"{_WORK}{body}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in hand\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("code", _DEAF.values(), ids=_DEAF)
def test_a_second_signal_ends_a_run_that_is_deaf(code: str) -> None:
    with _deaf(code) as process:
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)  # the first one only asks
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == STOPPED


_STOPPED = """
import signal, threading, time
from app.jobs.stopping import stopping_on_signals
stop = threading.Event()
with stopping_on_signals(stop, None):
    print("in hand", flush=True)
    stop.wait()
print("recording", flush=True)
time.sleep(60)
"""


def test_a_signal_after_a_run_has_stopped_ends_it_as_stopped() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STOPPED], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "in hand\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == "recording\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=PATIENCE) == STOPPED
        finally:
            process.kill()
