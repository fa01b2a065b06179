"""What a command says of its progress."""

from __future__ import annotations

import time

import pytest

from app.cli.running import _percent
from app.console.narration import Narrator
from core.engine.measurement import Progress


def said(capsys: pytest.CaptureFixture[str], done: int, percent: int | None) -> str:
    with Narrator() as narrator:
        narrator.show(done, 200, "ETA 4 min", "at work", percent)
    return capsys.readouterr().err.strip()


def test_the_percentage_is_of_the_time_where_an_end_is_foreseen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said(capsys, 90, 8) == "8 % 90/200  ETA 4 min  at work"
    assert said(capsys, 90, None).startswith("45 % 90/200")
    assert said(capsys, 199, 100).startswith("99 % "), "the end is not reached"
    assert said(capsys, 200, 97).startswith("100 % "), "and here it is"


def test_the_share_of_the_time_that_has_passed() -> None:
    foreseen = Progress(90, 200, expected=time.time() + 300)
    assert _percent(foreseen, 100) in (25, 26)  # 100 s of 400 s
    assert _percent(Progress(90, 200), 100) is None
    overdue = Progress(90, 200, expected=time.time() - 10)
    assert _percent(overdue, 100) == 100
