"""What a command says of its progress."""

from __future__ import annotations

import time

import pytest
from rich.cells import cell_len

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


def test_a_wide_label_leaves_the_bar_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.console.narration.fits_a_bar", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    narrator = Narrator()
    assert narrator._bar is not None
    narrator.show(90, 200, "ETA 4 min", "宽" * 40, 8)
    with narrator._bar.console.capture() as capture:
        narrator._bar.console.print(narrator._bar.get_renderable())
    (line,) = capture.get().splitlines()
    assert cell_len(line) <= 60
    assert line.index("8 % 90/200  ETA 4 min") > 20, "after the whole bar"


def test_lines_below_the_bar_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.console.narration.fits_a_bar", lambda: True)
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "40")
    narrator = Narrator()
    assert narrator._bar is not None

    def shown(count: int) -> list[str]:
        narrator.below([f"w{i} \x1b[31m" + "x" * 60 for i in range(count)])
        with narrator._bar.console.capture() as capture:  # type: ignore[union-attr]
            narrator._bar.console.print(narrator._bar.get_renderable())  # type: ignore[union-attr]
        return capture.get().rstrip("\n").split("\n")[1:]

    lines = shown(7)
    assert [line.split()[0] for line in lines] == [f"w{i}" for i in range(7)]
    assert all(len(line) <= 40 for line in lines)
    assert "\x1b[31m" not in "".join(lines)
    assert [line.split()[0] for line in shown(9)] == [*(f"w{i}" for i in range(6)), "and"]
    assert shown(9)[-1].strip() == "and 3 more"
