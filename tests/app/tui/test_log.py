"""The log of a run's worker: read from its end, followed and searched."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.jobs.launcher import log_of, numbered, tail
from app.tui.app import TauscopeApp
from app.tui.screens.log import LogLines, LogScreen, holding, rows
from storage.database import Database
from tests.app.tui.display import SMALL, assert_inside, opened, words
from tests.app.tui.rest import until


def test_lines_are_known_by_their_place_however_much_is_read(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_bytes(b"first\n\nsec\xffond\r\nthird")
    whole = numbered(log, 1000)
    assert [line for _, line in whole] == ["first", "sec\ufffdond", "third"]
    assert numbered(log, 6) == [(number, line) for number, line in whole if number > 17]
    assert tail(log) == [line for _, line in whole]
    assert numbered(tmp_path / "none.log", 10) == []


def test_every_typed_word_must_be_in_a_line() -> None:
    lines = [(1, "loading base"), (2, "Loading maths"), (3, "done")]
    assert holding(lines, "load MATHS") == [lines[1]]
    assert holding(lines, "") == lines


def test_a_long_line_is_shown_to_its_end() -> None:
    lines = [(26, "    raise RunError(title)"), (72, "warning: " + "ablation " * 4), (77, "done")]
    assert rows(lines, 28) == [
        lines[0], (71, "warning: ablation ablation"), (72, "  ablation ablation"), lines[2],
    ]  # fmt: skip
    assert rows(lines, 80) == [lines[0], (72, lines[1][1]), lines[2]]


def test_no_two_rows_of_a_log_share_a_number(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_bytes(
        b"ok\n" + b"warning: " + b"ablation " * 60 + b"\n\nok\n" + b"\x1b" * 40 + b"\nok"
    )
    numbers = [number for number, _ in rows(numbered(log, 1000), 9)]
    assert numbers == sorted(set(numbers))


async def test_a_log_that_can_not_be_read_says_why(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)

    def fail(_: str) -> list[tuple[int, str]]:
        raise PermissionError(13, "Permission denied", f"/logs/\x1b[2J{'x' * 99}.log")

    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot, app)
        await pilot.press("T")
        await until(pilot, lambda: "There is no log" in words(app))
        monkeypatch.setattr(app.source, "log", fail)
        shown = app.screen
        assert isinstance(shown, LogScreen)
        shown._poll()
        await until(pilot, lambda: "Permission denied: '/logs/" in words(app).replace("\n", " "))
        assert "x.log'" in words(app), "to its end"
        assert "\x1b" not in words(app)


async def test_a_log_that_takes_longer_than_a_poll_is_shown(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)

    def slowly(_: str) -> list[tuple[int, str]]:
        time.sleep(0.5)
        return [(0, "loading base")]

    monkeypatch.setattr("app.tui.screens.log.POLL", 0.1)
    monkeypatch.setattr(app.source, "log", slowly)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot, app)
        await pilot.press("T")
        await until(pilot, lambda: "loading base" in words(app))


async def test_the_log_is_followed_and_searched(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        log = log_of(filled, screen.run_id)
        await pilot.press("T")
        await until(pilot, lambda: isinstance(app.screen, LogScreen))
        await until(pilot, lambda: "There is no log" in words(app))
        log.parent.mkdir(exist_ok=True)
        log.write_text("".join(f"step {number}\x1b[31m\n" for number in range(60)))
        shown = app.screen
        assert isinstance(shown, LogScreen)
        lines = shown.query_one(LogLines)
        shown._poll()
        await until(pilot, lambda: "step 59" in words(app))
        assert "\x1b" not in words(app)
        assert_inside(shown)
        with log.open("a") as more:
            more.write("step 60\n")
        shown._poll()
        await until(pilot, lambda: "step 60" in words(app))
        await pilot.press("up")
        with log.open("a") as more:
            more.write("step 61\n")
        before = lines.selected
        shown._poll()
        await until(pilot, lambda: len(lines.keys) == 62)
        assert lines.selected == before, "who looks at an earlier line stays there"
        await pilot.press(*"61")
        await until(pilot, lambda: len(lines.keys) == 1)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
