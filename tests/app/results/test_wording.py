"""Paces, sizes and loads in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from app.jobs.gauge import Card, Usage
from app.results import wording
from storage.runs import RunSummary

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class _Paced:
    """A run that computes so many units a second."""

    def __init__(self, throughput: float | None) -> None:
        self.found = throughput

    def throughput(self, now: datetime) -> float | None:
        return self.found


@pytest.mark.parametrize(
    ("throughput", "words"),
    [
        (None, ""),
        (20.0, "1200 units/min"),
        (0.2, "12 units/min"),
        (0.025, "2 units/min"),
        (1 / 41, "41 s/unit"),
        (1 / 720, "12 min/unit"),
        (1 / 10_000, "2 h 47/unit"),
    ],
)
def test_a_pace_is_a_number_above_one(throughput: float | None, words: str) -> None:
    assert wording.pace(cast(RunSummary, _Paced(throughput)), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "rough", "words"),
    [
        (None, False, ""),
        (41.0, False, "ETA 41 s"),
        (41.0, True, "ETA ~41 s"),
        (-1.0, False, "ETA 0 s"),
        (-3.0, True, "ETA passed"),
    ],
)
def test_the_time_left_says_when_it_is_rough_or_over(
    seconds: float | None, rough: bool, words: str
) -> None:
    assert wording.left(seconds, rough=rough) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (1536 * 1024, "1.5 MiB"),
        (80 * 2**30, "80.0 GiB"),
        (3 * 2**40, "3.0 TiB"),
        (5000 * 2**40, "5000.0 TiB"),
    ],
)
def test_sizes_are_in_powers_of_1024(count: int, words: str) -> None:
    assert wording.size(count) == words


GIB = 2**30
HOST = Usage(12 * GIB, 24 * GIB)
CARD = Card("NVIDIA H100", 30 * GIB, 80 * GIB, 41)
CUT = Card("NVIDIA A100", 10 * GIB, 40 * GIB, None)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (None, ""),
        (HOST, "mem 12.0/24 GiB"),
        (replace(HOST, cards=(CARD,)), "mem 12.0/24 GiB  GPU 41 % 30.0/80 GiB"),
        (replace(HOST, cards=(CUT,)), "mem 12.0/24 GiB  GPU 10.0/40 GiB"),
        (
            replace(HOST, cards=(CARD, CUT, replace(CARD, busy=20))),
            "mem 12.0/24 GiB  3 GPUs 30 % 70.0/200 GiB",
        ),
    ],
)
def test_a_load_is_short(reading: Usage | None, words: str) -> None:
    assert wording.load(reading) == words


def test_each_part_of_a_load_has_its_name() -> None:
    assert wording.loads(replace(HOST, cards=(CARD, CUT))) == [
        ("memory", "12.0/24 GiB"),
        ("GPU 0", "41 % busy, 30.0/80 GiB, NVIDIA H100"),
        ("GPU 1", "10.0/40 GiB, NVIDIA A100"),
    ]


def test_little_memory_is_not_rounded_to_none() -> None:
    small = replace(HOST, used=30 * 2**20, total=500 * 2**20, cards=())
    assert wording.load(small) == "mem 30.0 MiB/500.0 MiB"
    assert wording.load(replace(HOST, used=30 * 2**20, cards=())) == "mem 30.0 MiB/24.0 GiB"


def test_counts_are_in_powers_of_1000() -> None:
    assert [wording.count(n) for n in (999, 999_999, 7_600_000_000)] == ["999", "1.0 M", "7.6 B"]
