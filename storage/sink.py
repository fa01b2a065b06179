"""The results of one run on their way into a database: the engine's ResultSink.

Owns what a run writes while it is worked on. It writes under the number of its attempt: a worker
that lost its run to another can neither speak for it nor go on, since what it keeps is refused with
Cancelled, and what it says of its progress is not heard.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import sqlite

from core.engine.measurement import (
    OVERALL,
    TYPES,
    Artifact,
    Measurement,
    Progress,
    Unit,
    UnitPart,
    UnitResult,
)
from core.errors import BusyError, Cancelled, StorageError
from core.models.identity import Stamp
from storage import artifacts as files
from storage import beats, history, parts
from storage.artifacts import StoredFile
from storage.database import Database
from storage.identities import Remembered
from storage.patience import say_nothing
from storage.results import StoredArtifact, artifacts_of, read_rows, selected
from storage.rows import ColumnMisfitError, told
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

_BRIEF = 1.0  # seconds for which a heartbeat waits for the database
_OFTEN = 0.25  # seconds between two writings of progress, and two looks for a wish to cancel
_CHUNK = 5000  # keys in one question; SQLite takes some 32,000


class _Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of a file, read at the first look."""

    def __init__(self, folder: Path, artifact: StoredArtifact) -> None:
        self._folder, self._artifact = folder, artifact

    @cached_property
    def _read(self) -> dict[str, NDArray[Any]]:
        return files.read(self._folder, self._artifact.stored, self._artifact.name)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


class RunSink:
    """The results of one attempt at one run. `stop` set means: cancelled from this process."""

    def __init__(
        self, db: Database, run_id: str, attempt: int, *, stop: threading.Event | None = None
    ) -> None:
        self._db = db
        self._run = run_id
        self._attempt = attempt
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._identities = Remembered(db)
        self._pending: Progress | None = None
        self._beats_beside = False
        self._expected: float | None = None
        self._clock = 0.0
        """What the clock said when it was `_expected`, at the start of the monotonic one."""
        self._said = self._looked = -math.inf
        with db.reading() as connection:
            self._fresh = bool(connection.scalar(select(RunRow.fresh).where(RunRow.id == run_id)))

    def finished(self, keys: Collection[str]) -> set[str]:
        """Those of `keys` that are in the database; for a fresh run, those of its own.

        The run refers to them from now on: what nothing refers to may be collected at any time,
        so also between this answer and `adopt`.
        """
        found: dict[str, int] = {}
        with self._writing() as connection:
            for chunk in _chunks(keys):
                wanted = select(UnitRow.key, UnitRow.id).where(UnitRow.key.in_(chunk))
                if self._fresh:
                    wanted = wanted.join(RunUnitRow).where(RunUnitRow.run_id == self._run)
                found.update((key, unit) for key, unit in connection.execute(wanted))
            self._refer(connection, found.values())
        return set(found)

    def adopt(self, keys: Collection[str]) -> None:
        """Make exactly these finished units part of the run."""
        with self._writing() as connection:
            connection.execute(delete(RunUnitRow).where(RunUnitRow.run_id == self._run))
            for chunk in _chunks(keys):
                wanted = select(UnitRow.id).where(UnitRow.key.in_(chunk))
                self._refer(connection, connection.scalars(wanted).all())

    def load(self, key: str) -> UnitResult:
        """The results of a finished unit; its arrays are read when they are looked at."""
        with self._reading() as connection:
            state = connection.execute(select(UnitRow.state).where(UnitRow.key == key)).first()
            if state is None:
                raise StorageError(f"The unit {key} is not in {self._db.path}.")
            if not isinstance(state[0], dict):
                raise ColumnMisfitError(f"it holds {told(state[0])} as state of a unit")
            rows = read_rows(connection.execute(selected(key)))
            kept = artifacts_of(connection, key)
        folder = self._db.folder("artifacts")
        return UnitResult(
            measurements=rows,
            artifacts=[
                Artifact(
                    name=a.name, arrays=_Arrays(folder, a), model=a.model,
                    reference=a.reference, layer=a.layer, task=a.task,
                )
                for a in kept
            ],
            state=state[0],
        )  # fmt: skip

    def save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        """Keep a unit's results in one transaction; those of a unit that exists are replaced."""
        stored = self._stored(result)
        with self._writing() as connection:
            self._keep(connection, unit, result, stored, seconds)

    def save_slice(self, units: Sequence[tuple[Unit, UnitResult, float]]) -> None:
        """Keep the results of a slice's units in one transaction, in which its parts go."""
        stored = [self._stored(result) for _, result, _ in units]
        with self._writing() as connection:
            for (unit, result, seconds), files_of in zip(units, stored, strict=True):
                self._keep(connection, unit, result, files_of, seconds)
            parts.forget(connection, self._run)

    def parts(self, slice: str) -> tuple[dict[str, UnitPart], float]:
        """What an attempt that was killed had found of a slice, and the seconds that it took."""
        with self._reading() as connection:
            return parts.get(connection, self._run, slice)

    def lay_by(self, slice: str, found: Mapping[str, UnitPart], seconds: float) -> None:
        """Keep parts of a slice, in one transaction."""
        with self._writing() as connection:
            parts.put(connection, self._run, slice, found, seconds)

    def pace(self, analysis: str, parameters: int, device: str) -> float | None:
        """The mean seconds of like units, in any run of the database."""
        return history.pace(self._db, analysis, parameters, device)

    def recall(self, stamp: Stamp) -> str | None:
        """What identifies a file, from any run of the database."""
        return self._identities.recall(stamp)

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Remember what identifies a file, for all runs of the database."""
        self._identities.remember(stamp, identity)

    def progress(self, progress: Progress) -> None:
        """Say how far the run has come: some times a second at most, the last one always."""
        with self._lock:
            self._pending = progress
            self._expected, self._clock = progress.expected, _clock()
            last = progress.total > 0 and progress.done >= progress.total
            if not last and time.monotonic() - self._said < _OFTEN:
                return
        self.beat()

    def beat(self, *, patience: float = _BRIEF) -> None:
        """Show that the worker lives, and what it last said of its progress.

        While another process writes to the database for longer than `patience`, the heart beats
        beside it.
        """
        with self._lock:
            said = self._pending
            self._said = time.monotonic()
            expected = self._expected
            if expected is not None:  # the clock may have been set since that was said
                expected += round(_clock() - self._clock)
            values: dict[str, Any] = {
                "heartbeat": time.time(), "ticked": time.monotonic(), "took": passed(),
                "expected": expected,
            }  # fmt: skip
            if said is not None:
                values |= {
                    "done": said.done, "total": said.total, "reused": said.reused,
                    "label": said.label, "rough": said.rough,
                }  # fmt: skip
            waiting = self._wait if patience > _BRIEF else say_nothing
            try:
                with self._db.writing(patience=patience, waiting=waiting) as connection:
                    connection.execute(update(RunRow).where(*self._mine).values(**values))
            except BusyError:
                beats.leave(self._db, self._run)
                self._beats_beside = True
                return
            self._pending = None
            if self._beats_beside:
                beats.forget(self._db, self._run)
                self._beats_beside = False

    def warn(self, subject: str, message: str) -> None:
        """Keep a warning with the run, once."""
        warning = sqlite.insert(WarningRow).values(
            run_id=self._run, subject=subject, message=message, created=time.time()
        )
        with self._writing() as connection:
            connection.execute(warning.on_conflict_do_nothing())

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to what is kept of the run's origin; a name that is there already is replaced."""
        with self._db.writing(waiting=self._wait) as connection:
            known = connection.scalar(select(RunRow.provenance).where(*self._mine))
            merged = {**(known or {}), **provenance}
            connection.execute(update(RunRow).where(*self._mine).values(provenance=merged))

    def cancelled(self) -> bool:
        """Has somebody asked for the run to stop, or has another worker taken it over?"""
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
            # An old file with the same content may have been collected since it was found
            # there. Files are collected under the lock that we hold now: this one stays.
            if not files.is_whole(self._db.folder("artifacts"), file):
                self._put(artifact)
        self._refer(connection, [unit_id])

    def _put(self, artifact: Artifact) -> StoredFile:
        return files.write(self._db.folder("artifacts"), artifact.arrays, self._db.access)

    def _wait(self, seconds: float) -> None:
        """Called while the database is locked. Raises Cancelled where somebody wants the end."""
        if self._stop.is_set():
            raise Cancelled("The run was cancelled while it waited for the database.")
        self._db.waiting(seconds)

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._db.reading(waiting=self._wait)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction on the run. Raises Cancelled where it is no longer this attempt's."""
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
    """How far the time of day is ahead of the clock that nobody sets."""
    return time.time() - time.monotonic()


def _put_unit(connection: Connection, unit: Unit, state: Mapping[str, Any], seconds: float) -> int:
    """The unit's row, without rows of an earlier time; it keeps its id, and so its runs."""
    told = {
        "analysis": unit.analysis, "label": unit.label, "model": unit.model,
        "reference": unit.reference, "layer": unit.layer, "seconds": seconds,
        "state": dict(state), "created": time.time(),
    }  # fmt: skip
    put = sqlite.insert(UnitRow).values(key=unit.key, **told)
    put = put.on_conflict_do_update(index_elements=["key"], set_=told)
    unit_id: int = connection.execute(put.returning(UnitRow.id)).scalar_one()
    for table in (MeasurementRow, ArtifactRow):
        connection.execute(delete(table).where(table.unit_id == unit_id))
    return unit_id


def _row(unit_id: int, m: Measurement) -> dict[str, Any]:
    return {"unit_id": unit_id, **{name: _value(name, getattr(m, name)) for name in TYPES}}


def _value(name: str, value: Any) -> str | int | float | None:
    """How a field of a measurement is stored."""
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
