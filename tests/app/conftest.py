"""Commands as a user or a script gives them, on a database of the test's own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.cli.main import run_command


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """What this process does at a signal is the same after a test: a stopped run changes it.

    Meanwhile an interrupt is one, also where a shell has started the tests in its background.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    if before[signal.SIGINT] is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _no_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings, which stay unread and unchanged."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "settings"))


@pytest.fixture
def tauscope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run a command on a database of this test."""
    monkeypatch.setenv("TAUSCOPE_DB", str(tmp_path / "db" / "x.db"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("TAUSCOPE_DEBUG", raising=False)

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        code = run_command([str(a) for a in arguments])
        return Said(code, *capsys.readouterr())

    return call
