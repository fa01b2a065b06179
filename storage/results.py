"""Results of a run: measurements, their ranges of coordinates, and artifacts.

Owns the translation of a Query to SQL: no row that it did not ask for leaves the database. Writes
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from core.engine.measurement import ABSENT, OVERALL, TYPES, Measurement, ordered
from core.figures import groups
from core.figures.views import (
    COMBINED,
    Catalogue,
    Combination,
    Domain,
    Query,
    Value,
    by_name,
    natural,
)
from storage import artifacts as files
from storage import directions
from storage.artifacts import StoredArrays, StoredFile
from storage.database import Database
from storage.rows import checked, is_time, models_in
from storage.schema import OVER_ALL, ArtifactRow, MeasurementRow, RunRow, RunUnitRow, UnitRow


def _asked(name: str) -> ColumnElement[Any]:
    column: Any = getattr(MeasurementRow, name)
    infinite = (math.inf, -math.inf) if TYPES[name] is float else ()
    absent = (OVER_ALL,) if name in OVERALL else infinite
    for each in absent:
        column = func.nullif(column, each, type_=column.type)
    asked: ColumnElement[Any] = column.label(name) if absent else column
    return asked


SELECTED = tuple(map(_asked, TYPES))
"""The fields of a measurement as a query selects them. An infinite number reads as undefined:
no metric of ours has one, but a database may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """Arrays of a run: their coordinates, and their file."""

    analysis: str
    name: str
    model: str
    reference: str
    layer: int | None
    task: str
    stored: StoredFile


def measurements(
    db: Database,
    run_id: str,
    analysis: str,
    query: Query | None = None,
    *,
    also: str | None = None,
) -> list[Measurement]:
    """The measurements of one analysis of a run that match the query, in no order.

    `also`: only measurements of units that this other run refers to as well.
    """
    wanted = of_run(select(*SELECTED), run_id, analysis)
    if also is not None:
        wanted = wanted.where(MeasurementRow.unit_id.in_(_units_of(also)))
    if query is not None:
        wanted = wanted.where(*_conditions(query))
    with db.reading() as connection:
        return read_rows(connection.execute(wanted))


def catalogue(db: Database, run_id: str, analysis: str) -> Catalogue:
    """The values of an analysis's coordinates, except heads and experts.

    Models and tasks have the study's order; other values have the order of measuring, settings the
    order of their numbers.
    """
    row = MeasurementRow
    columns = [getattr(row, name) for name in COMBINED]
    # Unit by unit first: within one the rows lie in order, and few are left to be grouped.
    each = of_run(select(row.unit_id, *columns), run_id, analysis).where(*_PLAIN).distinct()
    by_unit = each.subquery()
    named = [by_unit.c[name] for name in COMBINED]
    together = select(*named).group_by(*named).order_by(func.min(by_unit.c.unit_id), *named)
    places = of_run(select(row.layer, row.module), run_id, analysis).where(*_PLAIN).distinct()
    with db.reading() as connection:
        study = connection.scalar(select(RunRow.study).where(RunRow.id == run_id))
        rows = list(checked(connection.execute(together), columns))
        measured_at = list(checked(connection.execute(places), (row.layer, row.module)))
        better = directions.of_metrics(connection, run_id, analysis)
    combinations = [Combination(**dict(zip(COMBINED, values, strict=True))) for values in rows]
    tuned = models_in(study)
    tuned.pop("base", None)
    models = ("base", *tuned)
    layers = {layer for layer, _ in measured_at}
    domains = _domains(study, tuned)
    tasks = [*(task for domain in domains for task in domain.tasks), *(d.name for d in domains)]
    known = {"reference": models, "task": tasks}
    ranges = {
        name: _known_first(
            known.get(name, ()), (getattr(combination, name) for combination in combinations)
        )
        for name in COMBINED
    }
    in_groups = groups.of_models({name: model.get("group") or "" for name, model in tuned.items()})
    return groups.added(
        Catalogue(
            ranges={
                **ranges,
                "model": tuple(name for name in models if name in tuned or name in ranges["model"]),
                "layer": tuple(sorted(layers - {OVER_ALL})),
                "module": by_name({module for _, module in measured_at if module}),
                "setting": tuple(sorted(ranges["setting"], key=natural)),
            },
            overall=not layers or OVER_ALL in layers,
            controls=frozenset(n for n, model in tuned.items() if model["role"] == "control"),
            better=better,
            domains=domains,
            models=models,
            combinations=frozenset(combinations),
            places=frozenset(
                (None if layer == OVER_ALL else layer, module) for layer, module in measured_at
            ),
        ),
        in_groups,
    )


def edition(db: Database, run_id: str, analysis: str) -> tuple[object, ...]:
    """A quickly computed value that changes whenever the run's results of the analysis change."""
    unit = UnitRow
    # The sum of the times: clocks may be set back, so the newest time is not enough.
    counts = select(func.count(), func.sum(unit.id), func.sum(unit.created))
    wanted = counts.join(RunUnitRow, RunUnitRow.unit_id == unit.id).where(
        RunUnitRow.run_id == run_id, unit.analysis == analysis
    )
    with db.reading() as connection:
        return tuple(connection.execute(wanted).one())


def artifacts(
    db: Database, run_id: str, analysis: str | None = None, *, also: str | None = None
) -> list[StoredArtifact]:
    """The artifacts of a run, or of one of its analyses; `also` as of `measurements`."""
    row = ArtifactRow
    wanted = (
        _ARTIFACTS.join(RunUnitRow, RunUnitRow.unit_id == row.unit_id)
        .where(RunUnitRow.run_id == run_id)
        .order_by(UnitRow.analysis, row.name, row.model, row.reference, row.layer, row.task)
    )
    if analysis is not None:
        wanted = wanted.where(UnitRow.analysis == analysis)
    if also is not None:
        wanted = wanted.where(row.unit_id.in_(_units_of(also)))
    with db.reading() as connection:
        return [
            _artifact(stored_row)
            for stored_row in checked(connection.execute(wanted), _OF_ARTIFACTS)
        ]


def arrays(db: Database, artifact: StoredArtifact) -> StoredArrays:
    """The arrays of an artifact. Raises StorageError when its file is gone or was altered, or
    holds something else."""
    return files.read(db.folder("artifacts"), artifact.stored, artifact.name)


def durations(db: Database, run_id: str) -> dict[str, float]:
    """The seconds that each analysis of a run took, whichever run computed its units; an analysis
    without a valid time is left out."""
    columns = UnitRow.analysis, func.sum(UnitRow.seconds)
    wanted = (
        select(*columns)
        .join(RunUnitRow, RunUnitRow.unit_id == UnitRow.id)
        .where(RunUnitRow.run_id == run_id)
        .group_by(UnitRow.analysis)
    )
    with db.reading() as connection:
        rows = list(checked(connection.execute(wanted), columns))
    return {name: float(seconds) for name, seconds in rows if is_time(seconds)}


def artifacts_of(connection: Connection, unit_key: str) -> list[StoredArtifact]:
    """The artifacts of one unit."""
    rows = connection.execute(_ARTIFACTS.where(UnitRow.key == unit_key))
    return [_artifact(each) for each in checked(rows, _OF_ARTIFACTS)]


def selected(unit_key: str) -> Select[*tuple[Any, ...]]:
    """The selection of all rows of one unit."""
    return select(*SELECTED).join(UnitRow).where(UnitRow.key == unit_key)


def of_run(
    wanted: Select[*tuple[Any, ...]], run_id: str, analysis: str
) -> Select[*tuple[Any, ...]]:
    """A selection of measurements, restricted to one analysis of a run."""
    return (
        wanted.join(RunUnitRow, RunUnitRow.unit_id == MeasurementRow.unit_id)
        .join(UnitRow, UnitRow.id == MeasurementRow.unit_id)
        .where(RunUnitRow.run_id == run_id, UnitRow.analysis == analysis)
    )


def read_rows(rows: Iterable[Row[*tuple[Any, ...]]]) -> list[Measurement]:
    """Measurements from rows of SELECTED."""
    verified = checked(rows, SELECTED)
    return [Measurement(**dict(zip(TYPES, row, strict=True))) for row in verified]


_OF_ARTIFACTS = (
    UnitRow.analysis, ArtifactRow.name, ArtifactRow.model, ArtifactRow.reference,
    ArtifactRow.layer, ArtifactRow.task, ArtifactRow.path, ArtifactRow.sha256, ArtifactRow.bytes,
)  # fmt: skip
_ARTIFACTS = select(*_OF_ARTIFACTS).join(UnitRow, UnitRow.id == ArtifactRow.unit_id)
_PLAIN = (
    MeasurementRow.head == OVER_ALL,
    MeasurementRow.expert == OVER_ALL,
)


def _conditions(query: Query) -> Iterator[ColumnElement[bool]]:
    for name, wanted in query.items():
        column = getattr(MeasurementRow, name)
        if isinstance(wanted, tuple):
            yield column.in_([_stored(v) for v in wanted if v != OVER_ALL])
        elif wanted != "any":
            missing = _stored(ABSENT[name])
            yield column == missing if wanted == "absent" else column != missing


def _stored(value: Value) -> str | int:
    """A coordinate's value as stored in the table."""
    return OVER_ALL if value is None else value


def _domains(study: Any, tuned: Collection[str]) -> tuple[Domain, ...]:
    """The domains of a stored study, each with its own model as `Subject.own_model` says; none if
    it is damaged."""
    try:
        asked = study["evaluation"]
        named = asked.get("reference") or {}
        domains = [(name, tuple(map(str, tasks))) for name, tasks in asked["tasks"].items()]
        owner_of = {name: named.get(name, name) for name, _ in domains}
        return tuple(
            Domain(name, tasks, owner_of[name] if owner_of[name] in tuned else "")
            for name, tasks in domains
        )
    except (AttributeError, KeyError, TypeError):
        return ()


def _known_first(known: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    """The found values, with the known ones first; None is left out."""
    place = {name: index for index, name in enumerate(ordered(known))}
    values = [value for value in ordered(present) if value]
    return tuple(sorted(values, key=lambda value: place.get(value, len(place))))


def _units_of(run_id: str) -> Select[int]:
    return select(RunUnitRow.unit_id).where(RunUnitRow.run_id == run_id)


def _artifact(row: Row[*tuple[Any, ...]]) -> StoredArtifact:
    return StoredArtifact(
        analysis=row.analysis,
        name=row.name,
        model=row.model,
        reference=row.reference,
        layer=row.layer,
        task=row.task,
        stored=StoredFile(row.path, row.sha256, row.bytes),
    )
