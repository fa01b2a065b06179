"""The results of one run on their way into a database: the engine's ResultSink.

Owns the writes of a running run. It writes under the number of its attempt: results of a worker
that lost its run are refused with Cancelled, and its progress is ignored.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from core.engine.measurement import (
    OVERALL,
    TYPES,
    Artifact,
    FailedUnit,
    Measurement,
    Progress,
    Unit,
    UnitPart,
    UnitResult,
    WorkerState,
    slice_key,
)
from core.errors import BusyError, Cancelled, ResultError
from core.models.identity import Stamp
from storage import artifacts as files
from storage import bases, beats, doubts, history, parts, units
from storage import workers as crew
from storage.artifacts import StoredFile
from storage.database import Database
from storage.identities import Remembered
from storage.patience import say_nothing
from storage.schema import (
    OVER_ALL,
    ArtifactRow,
    MeasurementRow,
    RunRow,
    RunUnitRow,
    UnitRow,
    WarningRow,
)
from storage.summary import passed

_BRIEF = 1.0  # seconds that a heartbeat waits for the database
_OFTEN = 0.25  # seconds between two writings of progress, and two looks for a wish to cancel
_CHUNK = 5000  # keys in one question; SQLite takes some 32,000


class RunSink:
    """The results of one attempt at one run. Setting `stop` cancels it from this process."""

    def __init__(
        self, db: Database, run_id: str, attempt: int, *, stop: threading.Event | None = None
    ) -> None:
        self._db = db
        self._run = run_id
        self._attempt = attempt
        self._stop = stop or threading.Event()
        self.absent: frozenset[str] = frozenset()
        """Models whose files are gone: their finished units stay part of the run."""
        self._lock = threading.Lock()
        self._identities = Remembered(db)
        self._pending: Progress | None = None
        self._states: Sequence[WorkerState] | None = None
        self._beats_beside = False
        self._begun = time.time()
        self._expected: float | None = None
        self._clock = 0.0
        """What the clock said when it was `_expected`, at the start of the monotonic one."""
        self._said = self._looked = -math.inf
        with db.reading() as connection:
            self._fresh = bool(connection.scalar(select(RunRow.fresh).where(RunRow.id == run_id)))

    def finished(self, keys: Collection[str]) -> set[str]:
        """The finished units among `keys`; for a fresh run, only its own.

        The run refers to them from now on, since unreferred units may be collected before `adopt`.
        Failures of other units are forgotten: the run no longer plans them.
        """
        ids: dict[str, int] = {}
        with self._writing() as connection:
            for chunk in _chunks(keys):
                wanted = select(UnitRow.key, UnitRow.id).where(UnitRow.key.in_(chunk))
                if self._fresh:
                    wanted = wanted.join(RunUnitRow).where(RunUnitRow.run_id == self._run)
                ids.update((key, unit) for key, unit in connection.execute(wanted))
            self._refer(connection, ids.values())
            crew.forget_unplanned(connection, self._run, keys)
        return set(ids)

    def adopt(self, keys: Collection[str]) -> None:
        """Make exactly these finished units part of the run; units of absent models stay."""
        gone = or_(UnitRow.model.in_(self.absent), UnitRow.reference.in_(self.absent))
        stay = select(UnitRow.id).where(gone)
        with self._writing() as connection:
            connection.execute(
                delete(RunUnitRow).where(
                    RunUnitRow.run_id == self._run, RunUnitRow.unit_id.not_in(stay)
                )
            )
            for chunk in _chunks(keys):
                wanted = select(UnitRow.id).where(UnitRow.key.in_(chunk))
                self._refer(connection, connection.scalars(wanted).all())
            crew.forget_reused(connection, self._run)

    def load(self, key: str) -> UnitResult:
        """The results of a finished unit; its arrays are read on access."""
        with self._reading() as connection:
            result = units.load(connection, self._db.folder("artifacts"), key)
        if result is None:
            raise ResultError(f"The unit {key} is not in {self._db.path}.")
        return result

    def save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        """Store a unit's results in one transaction; replaces an existing unit's."""
        stored = self._stored(result)
        with self._writing() as connection:
            self._keep(connection, unit, result, stored, seconds)

    def save_slice(self, units: Sequence[tuple[Unit, UnitResult, float]]) -> None:
        """Store the results of a slice's units and delete its parts, in one transaction."""
        stored = [self._stored(result) for _, result, _ in units]
        with self._writing() as connection:
            for (unit, result, seconds), files_of in zip(units, stored, strict=True):
                self._keep(connection, unit, result, files_of, seconds)
            parts.forget(connection, self._run, slice_key(unit for unit, _, _ in units))

    def parts(self, slice: str) -> tuple[dict[str, UnitPart], float]:
        """The parts of a slice from a killed attempt, and their seconds."""
        with self._reading() as connection:
            return parts.get(connection, self._run, slice)

    def save_parts(self, slice: str, by_step: Mapping[str, UnitPart], seconds: float) -> None:
        """Store parts of a slice, in one transaction."""
        with self._writing() as connection:
            parts.put(connection, self._run, slice, by_step, seconds)

    def find_basis(self, key: str) -> Mapping[str, NDArray[Any]] | None:
        """A basis that an earlier run kept; none for a fresh run."""
        return None if self._fresh else bases.find(self._db.folder("bases"), key)

    def keep_basis(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a basis beside the database, if there is room."""
        bases.keep(self._db.folder("bases"), key, arrays, self._db.access, begun=self._begun)

    def pace(self, analysis: str, parameters: int, device: str) -> float | None:
        """The mean seconds of similar units, in any run of the database."""
        return history.pace(self._db, analysis, parameters, device)

    def recall(self, stamp: Stamp) -> str | None:
        """A file's hash, from any run of the database."""
        return self._identities.recall(stamp)

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Store a file's hash for all runs of the database."""
        self._identities.remember(stamp, identity)

    def progress(self, progress: Progress) -> None:
        """Store the run's progress: at most a few times a second, the last one always."""
        with self._lock:
            self._pending = progress
            self._expected, self._clock = progress.expected, _clock()
            last = progress.total > 0 and progress.done >= progress.total
            if not last and time.monotonic() - self._said < _OFTEN:
                return
        self.beat()

    def workers(self, states: Sequence[WorkerState]) -> None:
        """Store the run's workers: at most a few times a second, the last report always."""
        with self._lock:
            self._states = tuple(states)
            if states and time.monotonic() - self._said < _OFTEN:
                return  # the next progress or heartbeat writes it
        self.beat()

    def failed(self, unit: Unit, cause: str, attempts: int) -> None:
        """Store that the run has given up a unit."""
        failed = FailedUnit(unit.key, unit.analysis, unit.label, cause, attempts)
        with self._writing() as connection:
            crew.put_failed(connection, self._run, failed)

    def beat(self, *, patience: float = _BRIEF) -> None:
        """Write a heartbeat, the last progress, and the last states of the workers.

        If another process blocks the database for longer than `patience`, the heartbeat goes to a
        file.
        """
        with self._lock:
            progress, states = self._pending, self._states
            self._said = time.monotonic()
            expected = self._expected
            if expected is not None:  # the clock may have been set since
                expected += round(_clock() - self._clock)
            values: dict[str, Any] = {
                "heartbeat": time.time(), "ticked": time.monotonic(), "took": passed(),
                "expected": expected,
            }  # fmt: skip
            if progress is not None:
                values |= {
                    "done": progress.done, "total": progress.total, "reused": progress.reused,
                    "label": progress.label, "rough": progress.rough,
                }  # fmt: skip
            waiting = self._wait if patience > _BRIEF else say_nothing
            try:
                with self._db.writing(patience=patience, waiting=waiting) as connection:
                    written = update(RunRow).where(*self._mine).values(**values)
                    if connection.execute(written).rowcount and states is not None:
                        crew.put_workers(connection, self._run, states)
            except BusyError:
                beats.leave(self._db, self._run)
                self._beats_beside = True
                return
            self._pending = self._states = None
            if self._beats_beside:
                beats.forget(self._db, self._run)
                self._beats_beside = False

    def warn(self, subject: str, message: str) -> None:
        """Store a warning with this attempt at the run, once."""
        warning = sqlite.insert(WarningRow).values(
            run_id=self._run, subject=subject, message=message, created=time.time()
        )
        with self._writing() as connection:
            connection.execute(warning.on_conflict_do_nothing())

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to the run's provenance; an existing name is replaced."""
        with self._db.writing(waiting=self._wait) as connection:
            known = connection.scalar(select(RunRow.provenance).where(*self._mine))
            merged = {**(known or {}), **provenance}
            connection.execute(update(RunRow).where(*self._mine).values(provenance=merged))

    def cancelled(self) -> bool:
        """Has a user cancelled the run, or has another worker taken it over?"""
        if self._stop.is_set():
            return True
        if time.monotonic() - self._looked < _OFTEN:
            return False
        self._looked = time.monotonic()
        with self._reading() as connection:
            wished = connection.scalar(select(RunRow.cancel_requested).where(*self._mine))
        if wished is None or wished:
            self._stop.set()
        return self._stop.is_set()

    def _stored(self, result: UnitResult) -> list[tuple[Artifact, StoredFile]]:
        return [(artifact, self._put(artifact)) for artifact in result.artifacts]

    def _keep(
        self,
        connection: Connection,
        unit: Unit,
        result: UnitResult,
        stored: Sequence[tuple[Artifact, StoredFile]],
        seconds: float,
    ) -> None:
        unit_id = _put_unit(connection, unit, result.state, seconds)
        if result.measurements:
            rows = [_row(unit_id, m) for m in result.measurements]
            connection.execute(insert(MeasurementRow), rows)
        if stored:
            connection.execute(insert(ArtifactRow), [_file(unit_id, *each) for each in stored])
        for artifact, file in stored:
            # An old file with the same content may have been collected meanwhile. Files are
            # collected under the lock held here, so this one stays.
            if not files.is_whole(self._db.folder("artifacts"), file):
                self._put(artifact)
        doubts.put(connection, unit_id, result.warnings)
        self._refer(connection, [unit_id])
        crew.forget_failed(connection, self._run, [unit.key])

    def _put(self, artifact: Artifact) -> StoredFile:
        folder, dense = self._db.folder("artifacts"), artifact.dense
        return files.write(folder, artifact.arrays, self._db.access, dense=dense)

    def _wait(self, seconds: float) -> None:
        """Called while the database is locked. Raises Cancelled if the run is cancelled."""
        if self._stop.is_set():
            raise Cancelled("The run was cancelled while it waited for the database.")
        self._db.waiting(seconds)

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._db.reading(waiting=self._wait)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A write transaction on the run. Raises Cancelled if the run no longer belongs to this
        attempt."""
        with self._db.writing(waiting=self._wait) as connection:
            if connection.scalar(select(RunRow.id).where(*self._mine)) is None:
                self._stop.set()
                raise Cancelled(f"Run {self._run} was taken over by another worker, or deleted.")
            yield connection

    def _refer(self, connection: Connection, units: Iterable[int]) -> None:
        links = [{"run_id": self._run, "unit_id": unit} for unit in units]
        if links:
            connection.execute(sqlite.insert(RunUnitRow).on_conflict_do_nothing(), links)

    @property
    def _mine(self) -> tuple[Any, Any]:
        return RunRow.id == self._run, RunRow.attempt == self._attempt


def _clock() -> float:
    """The offset of the time of day from the monotonic clock, in seconds."""
    return time.time() - time.monotonic()


def _put_unit(connection: Connection, unit: Unit, state: Mapping[str, Any], seconds: float) -> int:
    """Write the unit's row and delete its earlier rows; the unit keeps its id, and so its runs."""
    values = {
        "analysis": unit.analysis, "label": unit.label, "model": unit.model,
        "reference": unit.reference, "layer": unit.layer, "seconds": seconds,
        "state": dict(state), "created": time.time(),
    }  # fmt: skip
    put = sqlite.insert(UnitRow).values(key=unit.key, **values)
    put = put.on_conflict_do_update(index_elements=["key"], set_=values)
    unit_id: int = connection.execute(put.returning(UnitRow.id)).scalar_one()
    for table in (MeasurementRow, ArtifactRow):
        connection.execute(delete(table).where(table.unit_id == unit_id))
    return unit_id


def _row(unit_id: int, m: Measurement) -> dict[str, Any]:
    return {"unit_id": unit_id, **{name: _value(name, getattr(m, name)) for name in TYPES}}


def _value(name: str, value: Any) -> str | int | float | None:
    """The stored form of a measurement's field."""
    if TYPES[name] is float:
        return _number(value)
    if value is None:
        return OVER_ALL if name in OVERALL else None
    return int(value) if TYPES[name] is int else str(value)


def _number(value: float | None) -> float | None:
    """A plain float; one that is infinite, or not a number, is undefined."""
    return float(value) if value is not None and math.isfinite(value) else None


def _file(unit_id: int, artifact: Artifact, stored: StoredFile) -> dict[str, Any]:
    return {
        "unit_id": unit_id,
        "name": artifact.name,
        "model": artifact.model,
        "reference": artifact.reference,
        "layer": artifact.layer,
        "task": artifact.task,
        "path": stored.path,
        "sha256": stored.sha256,
        "bytes": stored.bytes,
    }


def _chunks(keys: Collection[str]) -> Iterator[Sequence[str]]:
    listed = list(keys)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]
