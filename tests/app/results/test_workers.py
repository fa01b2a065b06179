"""Workers and failed units in words."""

from __future__ import annotations

from datetime import UTC, datetime

from app.results import workers
from core.engine.measurement import FailedUnit, WorkerState

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BEGAN = NOW.timestamp() - 75
BUSY = WorkerState("w1", "node-a", "cuda:0", "medical", "scores", 3 * 2**30, 41, 2, BEGAN)
IDLE = WorkerState("w2", "node-b", "cpu")


def test_a_row_has_every_fact_of_a_worker() -> None:
    busy, idle = workers.rows([BUSY, IDLE], NOW)
    assert dict(zip(workers.HEAD, busy, strict=True)) == {
        "worker": "w1", "host": "node-a", "card": "cuda:0", "model": "medical",
        "since": "75 s", "memory": "3.0 GiB", "done": "41", "failed": "2",
        "current unit": "scores",
    }  # fmt: skip
    assert idle == ("w2", "node-b", "cpu", "", "", "", "0", "", "waits")


def test_a_line_has_the_same() -> None:
    assert workers.line(BUSY, NOW) == (
        "w1 (node-a, cuda:0): scores, 75 s, holds medical, 3.0 GiB, 41 done, 2 failures"
    )
    assert workers.line(IDLE, NOW) == "w2 (node-b, cpu): waits, 0 done"


def test_workers_together_in_short() -> None:
    assert workers.together([BUSY]) == "1 worker on 1 host, 1 at work"
    assert workers.together([BUSY, IDLE]) == "2 workers on 2 hosts, 1 at work"


def test_a_failed_unit_has_its_cause() -> None:
    failed = FailedUnit("k", "ablation", "top-1% of medical", "out of memory", 3)
    assert workers.given_up(failed) == "ablation: top-1% of medical (tried 3 times): out of memory"
