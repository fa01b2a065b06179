"""The choice of jobs for workers, and what follows an error, over workers that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.jobs import crew
from app.jobs.crew import Crew, Ended, Lost
from core.engine.executor import Job
from core.engine.measurement import UnitPart, UnitResult
from core.engine.station import Done, Failed, Laid, Loaded, Message, Said
from core.errors import Cancelled, CheckpointError, ResultError, RunError
from tests.core.engine.made_up import MadeUpWork, made_up


class _Worker:
    host, device, memory = "here", "CPU", 7

    def __init__(self, name: str, pool: _Pool) -> None:
        self.name, self._pool = name, pool
        self.model = ""
        self.is_asked = self.is_killed = False

    def give(self, job: Job) -> None:
        self._pool.given.append((self.name, [unit.key for unit in job.units]))
        if "required" in {key for unit in job.units for key in unit.requires}:
            raise ResultError("The artifact is missing.")
        if self.model != job.loads:
            self.model = job.loads
            self._pool.tell(self, Loaded(job.loads, 1.0, {}))
        for unit in job.units:
            count = self._pool.begun[unit.key] = self._pool.begun.get(unit.key, 0) + 1
            fault, times = self._pool.faults.get(unit.key, ("", 0))
            if count <= times:
                if fault == "raises":
                    self._pool.tell(self, Failed(f"{unit.key} is wrong"))
                    self._pool.tell(self, Ended())
                elif fault == "lacks memory":
                    self._pool.tell(self, Failed("Out of memory.", loads=False))
                    self._pool.tell(self, Ended())
                elif fault == "dies":
                    self._pool.dead.append(self.name)
                    self._pool.tell(self, Laid({f"part of {unit.key}": UnitPart()}, 1.0))
                    self._pool.tell(self, Lost("killed"))
                else:
                    self._pool.tell(self, Said())  # it lives, and makes no progress
                return
            self._pool.tell(self, Done(unit.key, UnitResult(), 1.0))
        self._pool.tell(self, Ended())

    def stop(self) -> None:
        self.is_asked = True
        for key in [key for key, (fault, _) in self._pool.faults.items() if fault == "is slow"]:
            self._pool.tell(self, Done(key, UnitResult(), 1.0))
        self._pool.tell(self, Ended())

    def kill(self) -> None:
        self.is_killed = True
        if self.name not in self._pool.dead:
            self._pool.dead.append(self.name)


class _Pool:
    """`count` workers; a dead one is replaced if it `refills`."""

    def __init__(
        self, count: int, faults: dict[str, tuple[str, int]] | None = None, *, refills: bool = True
    ) -> None:
        self._count, self._refills, self.faults = count, refills, faults or {}
        self.all: list[_Worker] = []
        self.dead: list[str] = []
        self.begun: dict[str, int] = {}
        self.given: list[tuple[str, list[str]]] = []
        self._said: list[tuple[_Worker, Message | Ended | Lost]] = []

    def workers(self) -> list[_Worker]:
        living = [each for each in self.all if each.name not in self.dead]
        while len(living) < self._count and (self._refills or len(self.all) < self._count):
            self.all.append(_Worker(f"worker {len(self.all) + 1}", self))
            living.append(self.all[-1])
        return living

    def expects_more(self) -> bool:
        return False

    def tell(self, worker: _Worker, message: Message | Ended | Lost) -> None:
        self._said.append((worker, message))

    def listen(self, seconds: float) -> Sequence[tuple[_Worker, Message | Ended | Lost]]:
        heard, self._said = self._said, []
        return heard


def _compute(pool: _Pool, work: Any, **settings: Any) -> None:
    Crew(pool, work, **settings).compute()


def test_workers_stay_with_their_model_and_take_the_longest_unit_first() -> None:
    work = MadeUpWork(*(made_up(f"b{i}") for i in range(3)), made_up("long"), made_up("t", "tuned"))
    pool = _Pool(1)
    _compute(pool, work)
    assert [keys for _, keys in pool.given] == [["long"], ["b0"], ["b1"], ["b2"], ["t"]]
    assert work.loads == ["base", "tuned"]
    assert work.states == []


def test_slices_of_the_weights_go_before_the_model_in_memory() -> None:
    after = made_up("w1", "", "tuning_vectors", requires=("b0",))  # a slice that was tried before
    work = MadeUpWork(made_up("b0"), made_up("b1"), made_up("w0", "", "alignment"), after)
    pool = _Pool(1)
    _compute(pool, work)
    assert [keys[0] for _, keys in pool.given] == ["w0", "b0", "w1", "b1"]


def test_idle_workers_take_the_model_with_most_work_for_each_holder() -> None:
    work = MadeUpWork(
        *(made_up(f"b{i}") for i in range(4)), *(made_up(f"t{i}", "tuned") for i in range(3))
    )
    pool = _Pool(2)
    _compute(pool, work)
    assert [keys[0] for _, keys in pool.given[:2]] == ["b0", "t0"]
    assert sorted(key for keys in work.saved for key in keys) == sorted(u.key for u in work.units)


def test_units_with_a_common_preparation_come_in_shares() -> None:
    work = MadeUpWork(*(made_up(str(i), analysis="arithmetic") for i in range(8)))
    pool = _Pool(2)
    _compute(pool, work)
    assert [len(keys) for _, keys in pool.given] == [2, 2, 1, 1, 1, 1]
    assert [len(keys) for keys in work.saved] == [1] * 8  # each is stored at once


def test_a_slice_of_the_weights_is_given_and_stored_as_a_whole() -> None:
    work = MadeUpWork(*(made_up(str(i), "", "tuning_vectors") for i in range(3)))
    pool = _Pool(2, {"1": ("raises", 1)})
    _compute(pool, work)
    assert work.saved == [["0", "1", "2"]]
    assert pool.given[0][1] == ["0", "1", "2"]


def test_a_failed_pass_is_tried_again_by_analysis() -> None:
    units = [made_up("0", "", "tuning_vectors"), made_up("1", "", "alignment")]
    work = MadeUpWork(*units, together=True)
    pool = _Pool(1, {"1": ("raises", 9)})
    _compute(pool, work)
    assert [keys for _, keys in pool.given] == [["0", "1"], ["0"], ["1"], ["1"]]
    assert work.saved == [["0"]]
    assert work.failures == {"1": ("1 is wrong", 3)}


def test_a_slice_whose_worker_is_lost_goes_on_from_its_parts() -> None:
    units = [made_up("0", "", "tuning_vectors"), made_up("1", "", "alignment")]
    work = MadeUpWork(*units, together=True)
    pool = _Pool(1, {"1": ("dies", 1)})
    _compute(pool, work)
    assert [keys for _, keys in pool.given] == [["0", "1"], ["0", "1"]]  # as parts are stored
    assert work.known.keys() == {"part of 1"}
    assert work.saved == [["0", "1"]]


def test_units_that_would_fail_alike_are_left_out() -> None:
    bad = {f"b{i}": ("raises", 9) for i in range(9)}
    work = MadeUpWork(
        *(made_up(key) for key in bad), made_up("g", analysis="graft"), made_up("t", "tuned")
    )
    _compute(_Pool(1, bad), work)
    assert len(work.failures) == 3
    assert set(work.left_out) == bad.keys() - work.failures.keys()
    assert sorted(key for keys in work.saved for key in keys) == ["g", "t"]


def test_a_success_between_failures_keeps_the_others() -> None:
    bad = {f"b{i}": ("raises", 9) for i in range(0, 8, 2)}
    work = MadeUpWork(*(made_up(f"b{i}") for i in range(8)))
    _compute(_Pool(1, bad), work)
    assert work.failures.keys() == bad.keys()
    assert not work.left_out


def test_a_model_that_cannot_be_loaded_leaves_out_its_units() -> None:
    work = MadeUpWork(*(made_up(str(i)) for i in range(9)), made_up("t", "tuned"))
    _compute(_Pool(1, {"0": ("lacks memory", 9)}), work)
    assert work.failures == {"0": ("Out of memory.", 3)}
    assert work.left_out == list("12345678")
    assert work.saved == [["t"]]


@pytest.mark.parametrize("count", [1, 2])
def test_a_damaged_result_fails_the_units_that_require_it(count: int) -> None:
    bad = made_up("bad", analysis="graft", requires=("required",))
    work = MadeUpWork(made_up("required"), bad, made_up("0"), made_up("1", "tuned"))
    _compute(_Pool(count), work)
    assert work.failures == {"bad": ("The artifact is missing.", 3)}
    assert sorted(key for keys in work.saved for key in keys) == ["0", "1", "required"]


def test_only_the_unit_that_fails_counts_and_the_rest_of_its_share_goes_on() -> None:
    work = MadeUpWork(*(made_up(str(i), analysis="arithmetic") for i in range(4)))
    pool = _Pool(1, {"1": ("raises", 9)})
    _compute(pool, work)
    assert work.failures == {"1": ("1 is wrong", 3)}
    assert sorted(key for keys in work.saved for key in keys) == ["0", "2", "3"]
    assert pool.begun == {"0": 1, "1": 3, "2": 1, "3": 1}


def test_a_lost_worker_costs_its_unit_an_attempt() -> None:
    work = MadeUpWork(made_up("0"), made_up("1"))
    pool = _Pool(1, {"1": ("dies", 2)})
    _compute(pool, work)
    assert not work.failures
    assert work.warnings == [
        "worker 1 on here ended: killed", "worker 2 on here ended: killed"
    ]  # fmt: skip


def test_without_a_worker_the_run_ends_with_one_error() -> None:
    work = MadeUpWork(made_up("0"), made_up("1"))
    with pytest.raises(RunError, match=r"No worker is left. The last one ended: worker 1.*killed"):
        _compute(_Pool(1, {"1": ("dies", 9)}, refills=False), work)


def test_a_worker_that_cannot_start_is_named() -> None:
    work = MadeUpWork(made_up("0"))
    pool = _Pool(0)
    pool.tell(_Worker("worker 1", pool), Lost("Host b has another version."))
    pool.expects_more = lambda: bool(pool._said)  # type: ignore[method-assign]
    with pytest.raises(RunError, match=r"The last one ended: worker 1.*Host b has another"):
        _compute(pool, work)
    assert work.warnings == ["worker 1 on here ended: Host b has another version."]
    assert work.steps == ["starting workers"]


def test_a_worker_without_progress_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "LONG", 0.0)
    work = MadeUpWork(made_up("0"), made_up("1"))
    pool = _Pool(1, {"0": ("hangs", 9)})
    _compute(pool, work, hangs=0.0)
    assert work.failures["0"][1] == 3
    assert work.saved == [["1"]]
    assert "it showed no progress" in work.warnings[0]


def test_cancelling_asks_busy_workers_before_it_ends_them() -> None:
    work = MadeUpWork(made_up("0"), limit=2)
    pool = _Pool(2, {"0": ("hangs", 9)})
    with pytest.raises(Cancelled):
        _compute(pool, work)
    assert [(each.is_asked, each.is_killed) for each in pool.all] == [(True, True), (False, True)]


def test_units_that_are_finished_while_workers_end_are_stored() -> None:
    work = MadeUpWork(made_up("0"), limit=2)
    with pytest.raises(Cancelled):
        _compute(_Pool(1, {"0": ("is slow", 9)}), work)
    assert work.saved == [["0"]]


def test_a_cancelled_run_stays_cancelled_if_a_worker_cannot_open_meanwhile() -> None:
    class _Failing(_Pool):
        def listen(self, seconds: float) -> Any:
            if work.asked >= work.limit:
                raise CheckpointError("Host b has other models.")
            return super().listen(seconds)

    work = MadeUpWork(made_up("0"), limit=2)
    with pytest.raises(Cancelled):
        _compute(_Failing(1, {"0": ("hangs", 9)}), work)
