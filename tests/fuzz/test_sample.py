"""A fixed sample of the fuzz suite, and the suite's own rules."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import ground, mutation, trial
from tests.fuzz.kinds import KINDS
from tests.fuzz.pool import SECONDS

HEAVY = ("tasks", "tokenisers", "probes")
"""Kinds whose cases read the evaluation harness or a tokeniser: with `make fuzz` alone."""

SAMPLE = [(kind, number) for kind in KINDS if kind not in HEAVY for number in range(2)]


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ground.write(tmp_path_factory.mktemp("fuzz") / "valid")


@pytest.fixture
def watchdog() -> Iterator[None]:
    signal.alarm(4 * int(SECONDS))  # ends the process: nothing less ends a blocked call
    yield
    signal.alarm(0)


@pytest.mark.parametrize(("kind", "number"), SAMPLE)
@pytest.mark.usefixtures("watchdog")
def test_a_case_ends_in_a_right_result_or_one_clear_error(
    valid: Path, kind: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAUSCOPE_DB", "")  # set back at the end
    monkeypatch.delenv("TAUSCOPE_DEBUG", raising=False)
    right = ground.relative_norm(valid / "base", valid / "tuned")
    wrong, codes = trial.attempt(valid, kind, number, right)
    assert not wrong
    assert codes


def test_a_case_is_the_same_each_time() -> None:
    content = json.dumps({"a": [1, 2, {"b": "x"}], "c": None}).encode()
    for number in range(50):
        first, second = (mutation.of_json(content, Random(number)) for _ in range(2))
        assert first == second
    assert len({mutation.of_json(content, Random(n)) for n in range(50)}) > 30


def test_what_is_wrong_with_an_end_is_seen() -> None:
    assert not trial.wrong(0, "warning: x")
    assert not trial.wrong(3, "error: x is damaged.\n  Copy it again.")
    fault = "error: KeyError: 'x'\n  This is a bug in tauscope"
    trace = "Traceback (most recent call last)\nerror: x"
    for code, err in (
        (0, "error: x"), (3, ""), (1, "error: a\nerror: b"), (1, fault), (1, trace),
        (-1, "error: x"), (2, f"error: {'x' * 5000}"),
    ):  # fmt: skip
        assert trial.wrong(code, err)


def test_a_library_that_prints_past_the_program_is_seen() -> None:
    with trial.printed() as lines:
        os.write(2, b"a library's words")
    assert lines == ["a library's words"]
