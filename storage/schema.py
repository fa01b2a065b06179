"""The tables, typed. Owns their schema in this version; migrations bring a file to it.

Times are seconds since the epoch, in UTC. A unit's rows are stored once, for all runs that refer to
the unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, Table, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.engine.measurement import KEY_COLUMNS, TYPES
from storage.rows import SafeText

OVER_ALL = -1
"""The stored layer, expert and head of a measurement over all of them. NULLs are never equal, so
they would not keep keys unique."""


class Base(DeclarativeBase):
    """The base class of all tables: the column type of each Python type."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this attribute
        str: SafeText,
        float: Float,
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


class RunRow(Base):
    """One request to compute a study, and its progress."""

    __tablename__ = "runs"
    __table_args__ = (Index("runs_by_study_key", "study_key"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    study: Mapped[dict[str, Any]]
    study_key: Mapped[str]
    analyses: Mapped[list[str]]
    status: Mapped[str]
    fresh: Mapped[bool]
    created: Mapped[float]
    started: Mapped[float | None]
    finished: Mapped[float | None]
    heartbeat: Mapped[float | None]
    host: Mapped[str] = mapped_column(server_default="")
    pid: Mapped[int | None]
    done: Mapped[int] = mapped_column(server_default="0")
    total: Mapped[int] = mapped_column(server_default="0")
    reused: Mapped[int] = mapped_column(server_default="0")
    label: Mapped[str] = mapped_column(server_default="")
    cancel_requested: Mapped[bool] = mapped_column(server_default="0")
    error_title: Mapped[str] = mapped_column(server_default="")
    error_hint: Mapped[str] = mapped_column(server_default="")
    provenance: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    attempt: Mapped[int] = mapped_column(server_default="0")
    expected: Mapped[float | None]
    rough: Mapped[bool] = mapped_column(server_default="0")
    made: Mapped[int] = mapped_column(server_default="0")
    begun: Mapped[int] = mapped_column(server_default="0")
    ticked: Mapped[float | None]
    took: Mapped[float | None]


class UnitRow(Base):
    """One finished piece of work."""

    __tablename__ = "units"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    analysis: Mapped[str]
    label: Mapped[str]
    model: Mapped[str]
    reference: Mapped[str]
    layer: Mapped[int | None]
    seconds: Mapped[float]
    state: Mapped[dict[str, Any]]
    created: Mapped[float]


class RunUnitRow(Base):
    """A run refers to a unit."""

    __tablename__ = "run_units"
    __table_args__ = (Index("run_units_by_unit", "unit_id"), {"sqlite_with_rowid": False})

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    unit_id: Mapped[int] = mapped_column(
        ForeignKey("units.id", ondelete="CASCADE"), primary_key=True
    )


_SQL = {str: SafeText, int: Integer, float: Float}
_KEY = (
    "head", "expert", "setting", "metric", "module", "layer", "model", "reference", "task",
    "metric_of",
)  # fmt: skip
"""The coordinates in the order of figures' queries. Others follow in the measurement's order."""


def _measurements() -> Table:
    """A column for each field of a measurement: the key of its coordinates, then its numbers."""
    return Table(
        "measurements",
        Base.metadata,
        Column("unit_id", ForeignKey("units.id", ondelete="CASCADE"), primary_key=True),
        *(
            Column(name, _SQL[TYPES[name]], primary_key=name in KEY_COLUMNS)
            for name in dict.fromkeys((*_KEY, *TYPES))
        ),
        sqlite_with_rowid=False,
    )


class MeasurementRow(Base):
    """One number of a unit; its columns follow from the fields of a measurement."""

    __table__ = _measurements()

    if TYPE_CHECKING:  # the columns named in queries
        unit_id: Mapped[int]
        head: Mapped[int]
        expert: Mapped[int]
        setting: Mapped[str]
        metric: Mapped[str]
        module: Mapped[str]
        layer: Mapped[int]
        model: Mapped[str]
        reference: Mapped[str]
        metric_of: Mapped[str]


class ArtifactRow(Base):
    """Arrays of a unit, in a file beside the database."""

    __tablename__ = "artifacts"
    __table_args__ = (Index("artifacts_by_unit", "unit_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("units.id", ondelete="CASCADE"))
    name: Mapped[str]
    model: Mapped[str]
    reference: Mapped[str]
    layer: Mapped[int | None]
    task: Mapped[str]
    path: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int]


class WarningRow(Base):
    """A doubt of one attempt at a run that belongs to no unit."""

    __tablename__ = "warnings"
    __table_args__ = (UniqueConstraint("run_id", "subject", "message"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    subject: Mapped[str]
    message: Mapped[str]
    created: Mapped[float]


class UnitWarningRow(Base):
    """A doubt about a unit's results."""

    __tablename__ = "unit_warnings"
    __table_args__ = (UniqueConstraint("unit_id", "subject", "message"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("units.id", ondelete="CASCADE"))
    subject: Mapped[str]
    message: Mapped[str]


class IdentityRow(Base):
    """The hash of the tensors of a file on disk, valid while the file has this stamp."""

    __tablename__ = "identities"
    __table_args__ = ({"sqlite_with_rowid": False},)

    path: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(primary_key=True)
    stamp: Mapped[str]
    identity: Mapped[str]


class PartRow(Base):
    """A part of a slice of the weights with unfinished units."""

    __tablename__ = "parts"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    slice: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    seconds: Mapped[float]
    content: Mapped[bytes]


class TrialRow(Base):
    """What a user kept from the bench."""

    __tablename__ = "trials"
    __table_args__ = (Index("trials_by_run", "run_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    created: Mapped[float]
    content: Mapped[dict[str, Any]]


class WorkerRow(Base):
    """A process that computes units of a run."""

    __tablename__ = "workers"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    device: Mapped[str]
    model: Mapped[str]
    label: Mapped[str]
    memory: Mapped[int]
    done: Mapped[int]
    failures: Mapped[int]
    since: Mapped[float]


class FailureRow(Base):
    """A unit that a run has given up."""

    __tablename__ = "failures"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    analysis: Mapped[str]
    label: Mapped[str]
    cause: Mapped[str]
    attempts: Mapped[int]
