"""What was made before is not made again, until what it was made of is another."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from app.tui import collector
from app.tui.cache import AnswerCache
from app.tui.collector import Collector
from tests.patience import PATIENCE


def test_an_answer_is_made_once_for_an_edition() -> None:
    cache = AnswerCache(10)
    made: list[int] = []

    def make() -> list[int]:
        made.append(len(made))
        return list(made)

    first = cache.get("key", 1, make)
    assert cache.get("key", 1, make) is first
    assert cache.get("key", 2, make) == [0, 1]
    assert cache.get("key", 1, make) == [0, 1, 2], "an older edition is not kept beside a newer one"
    cache.put("other", 1, "put")
    assert cache.get("other", 1, str) == "put"


def test_what_was_wanted_last_is_kept() -> None:
    cache = AnswerCache(2)
    for key in "abac":
        cache.get(key, 1, lambda: "old")
    assert [cache.get(key, 1, lambda: "new") for key in "acb"] == ["old", "old", "new"]


def test_an_answer_that_fails_is_not_kept() -> None:
    cache = AnswerCache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get("key", 1, lambda: 1 // 0)
    assert cache.get("key", 1, lambda: 7) == 7


def test_who_asks_meanwhile_waits_and_gets_the_same() -> None:
    cache, begun, go_on = AnswerCache(2), threading.Event(), threading.Event()
    answers: list[object] = []

    def slowly() -> object:
        begun.set()
        assert go_on.wait(PATIENCE)
        return object()

    def ask() -> None:
        answers.append(cache.get("key", 1, slowly))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    threads[0].start()
    assert begun.wait(PATIENCE)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(answers) == 2
    assert answers[0] is answers[1]


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    before, clock = gc.get_threshold(), Clock()
    monkeypatch.setattr(collector, "time", clock)
    yield clock
    gc.set_threshold(*before)


def test_garbage_is_collected_at_rest(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[float] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(clock.now))
    young, middle, _ = gc.get_threshold()
    collector = Collector()
    collector.begin()
    assert gc.get_threshold()[:2] == (young, middle)
    assert gc.get_threshold()[2] >= 1_000_000, "old objects are left alone"
    for now, typed in (
        (101, True), (101.5, False), (101.9, True), (102.5, False), (103, False), (104, False),
        (162, False), (164, False), (165, False),
    ):  # fmt: skip
        clock.now = now
        if typed:
            collector.typed()
        collector.look()
    assert collected == [103, 164], "a second after the last key, and a minute later"
