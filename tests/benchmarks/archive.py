"""A database of two hundred runs with a million measurements, made through storage's own schema.

The numbers mean nothing; units, coordinates and arrays are those that real runs have. One run is
of a large model: eighty layers, eight analyses, single heads.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select, update

from core.engine import registry
from core.engine.measurement import Artifact, Measurement
from core.figures.views import GROUPS
from core.study.study import Study
from storage import artifacts as files
from storage.database import Database, open_database
from storage.runs import create_run
from storage.schema import ArtifactRow, MeasurementRow, RunRow, RunUnitRow, UnitRow, WarningRow
from storage.sink import _file, _row

RUNS = 200
MODULES = ("q", "k", "v", "o", "gate", "up", "down")
HEADS = 8
MODELS = ("instruct", "medical", "maths", "retrained")
TASKS = ("medqa", "pubmedqa", "gsm8k", "mbpp", "mmlu")
WIDTH, RANKS, DOCUMENTS = 18944, 3584, 500
WITH_ARRAYS = 2
"""The first layers, whose arrays are kept: a figure reads those of one layer."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Where it is, and its runs of most interest by id: the largest, and two of common size."""

    db: Database
    largest: str
    common: tuple[str, str]
    measurements: int


def build(folder: Path) -> Archive:
    """Make it anew in the folder; some twenty seconds."""
    db = open_database(str(folder / "archive.db"))
    ids = [_run(db, number) for number in range(RUNS - 1)]
    largest = _run(db, RUNS - 1, layers=80, everything=True)
    with db.reading() as connection:
        count = connection.scalar(select(func.count()).select_from(MeasurementRow)) or 0
    return Archive(db, largest, (ids[-1], ids[-2]), count)


def study(name: str, *, everything: bool = False) -> Study:
    """A study of four models, the last of them a control."""
    tuned = {m: {"path": f"/models/{m}"} for m in MODELS}
    tuned[MODELS[-1]]["role"] = "control"
    asked: dict[str, Any] = {
        "probe": {"builtin": "maths"},
        "evaluation": {"tasks": {"medical": TASKS[:2], "maths": TASKS[2:3], "general": TASKS[3:]}},
    }
    models = {"base": "/models/base", "tuned": tuned}
    return Study.model_validate({"name": name, "models": models, **(asked if everything else {})})


def _run(db: Database, number: int, *, layers: int = 4, everything: bool = False) -> str:
    wanted = [
        name for name in registry.names() if everything or registry.get(name).needs == "weights"
    ]
    run_id = create_run(db, study(f"domains-{number:03}", everything=everything), wanted)
    draw = random.Random(number)
    with db.writing() as connection:
        units = 0
        for name in wanted:
            for coordinates, rows in _units(name, layers, draw, heads=everything):
                _keep(connection, run_id, name, coordinates, rows)
                units += 1
        if everything:
            _keep_arrays(db, connection, run_id)
        _end(connection, run_id, units, number)
    return run_id


Unit = tuple[dict[str, Any], list[Measurement]]


def _units(name: str, layers: int, draw: random.Random, *, heads: bool) -> Iterator[Unit]:
    """The units of an analysis: what each is of, and its rows."""
    slices = (*range(layers), None)
    if name == "activation":
        for model in ("base", *MODELS):
            coordinates = {"model": model}
            yield (
                coordinates,
                [r for layer in slices for r in _spread(name, draw, layer=layer, **coordinates)],
            )
    elif name == "edit_distance":
        for model, layer in itertools.product(MODELS, slices):
            coordinates = {"model": model, "reference": "base", "layer": layer}
            yield coordinates, list(_spread(name, draw, **coordinates))
    elif name in ("evaluation", "ablation", "arithmetic"):
        yield from _SCORED[name](draw)
    else:
        paired = name in ("vector_cosine", "interference")
        pairs = [*itertools.combinations(MODELS, 2)] if paired else None
        for pair, layer in itertools.product(pairs or [(m, "") for m in MODELS], slices):
            coordinates = {"model": pair[0], "reference": pair[1], "layer": layer}
            yield (
                coordinates,
                list(_of_weights(name, draw, coordinates, heads=heads and layer is not None)),
            )


def _of_weights(
    name: str, draw: random.Random, coordinates: dict[str, Any], *, heads: bool
) -> Iterator[Measurement]:
    specs = registry.get(name).metrics
    places: list[tuple[str, int | None]] = [(module, None) for module in (*MODULES, *GROUPS)]
    if heads and name == "alignment":
        places += itertools.product(MODULES[:4], range(HEADS))
    sides = [coordinates]
    if coordinates["reference"]:
        sides.append(
            {**coordinates, "model": coordinates["reference"], "reference": coordinates["model"]}
        )
    for spec, (module, head), side in itertools.product(specs, places, sides):
        yield Measurement(
            metric=spec.name,
            value=_smooth(draw, side["model"], len(module), side["layer"]),
            module=module,
            head=head,
            n=4096,
            chance=0.25 if spec.has_chance else None,
            chance_sd=0.01 if spec.has_chance else None,
            **side,
        )


def _smooth(draw: random.Random, model: str, shift: int, layer: int | None) -> float:
    """A value that hardly changes from one layer to the next, as real ones do."""
    slow = math.sin((layer or 0) / 12 + shift) + 0.02 * draw.random()
    return 0.5 + 0.05 * (1 + len(model)) + 0.2 * slow


def _spread(name: str, draw: random.Random, **coordinates: Any) -> Iterator[Measurement]:
    first = "hamming" if name == "edit_distance" else "activated_percent"
    for spec in registry.get(name).metrics:
        of = first if spec.name in ("median", "lower_quartile", "upper_quartile") else ""
        value = _smooth(draw, coordinates["model"], 0, coordinates["layer"])
        yield Measurement(
            metric=spec.name, metric_of=of, value=value, low=value - 0.1, high=value + 0.1,
            n=DOCUMENTS, chance=0.5 if spec.has_chance else None, **coordinates,
        )  # fmt: skip


def _evaluated(draw: random.Random) -> Iterator[Unit]:
    for model, task in itertools.product(("base", *MODELS), TASKS):
        coordinates = {"model": model, "task": task}
        yield coordinates, [_score(draw, metric="acc", **coordinates)]
        if model != "base":
            coordinates = {**coordinates, "reference": "base", "metric_of": "acc"}
            yield (
                coordinates,
                [_score(draw, metric=m, **coordinates) for m in ("difference", "p_value")],
            )


def _ablated(draw: random.Random) -> Iterator[Unit]:
    settings = ("top-1%", "top-5%-active", "all-active")
    for model, source, task in itertools.product(MODELS, MODELS, TASKS):
        coordinates: dict[str, Any] = {"model": model, "reference": source, "task": task}
        rows = []
        for setting in settings:
            rows.append(Measurement(metric="neurons", value=800.0, setting=setting, **coordinates))
            for spec in registry.get("ablation").metrics:
                if spec.name != "neurons":
                    rows.append(
                        _score(
                            draw, metric=spec.name, metric_of="acc", setting=setting, **coordinates
                        )
                    )
        yield coordinates, rows


def _added(draw: random.Random) -> Iterator[Unit]:
    steps = ("0", "0.25", "0.5", "0.75", "1")
    for a, b in itertools.product(steps, steps):
        parts = [f"{m}={s}" for m, s in zip(MODELS[1:3], (a, b), strict=True) if s != "0"]
        setting = ",".join(parts) or "base"
        coordinates = {"reference": "base", "setting": setting}
        rows = [_score(draw, metric="acc", task=task, **coordinates) for task in TASKS]
        for metric in ("normalised", "regained"):
            rows += [
                _score(draw, metric=metric, metric_of="acc", task=task, **coordinates)
                for task in TASKS
            ]
            rows += [
                _score(draw, metric=metric, task=f"domain:{domain}", **coordinates)
                for domain in ("medical", "maths")
            ]
        yield {"reference": "base"}, rows


_SCORED = {"evaluation": _evaluated, "ablation": _ablated, "arithmetic": _added}


def _score(draw: random.Random, **coordinates: Any) -> Measurement:
    value = draw.random()
    return Measurement(
        value=value, low=value - 0.05, high=value + 0.05, n=200, chance=0.0, **coordinates
    )


def _keep(
    connection: Connection, run_id: str, analysis: str, coordinates: dict[str, Any],
    rows: Iterable[Measurement],
) -> int:  # fmt: skip
    """A unit with its rows, as `RunSink.save` keeps them."""
    columns = {"model": "", "reference": "", "layer": None} | coordinates
    unit = connection.execute(
        insert(UnitRow)
        .values(
            key=random.randbytes(16).hex(), analysis=analysis, label=f"{analysis} of {coordinates}",
            model=columns["model"], reference=columns["reference"], layer=columns["layer"],
            seconds=1.0, state={}, created=time.time(),
        )
        .returning(UnitRow.id)
    ).scalar_one()  # fmt: skip
    connection.execute(insert(RunUnitRow).values(run_id=run_id, unit_id=unit))
    if rows:
        connection.execute(insert(MeasurementRow), [_row(unit, row) for row in rows])
    return int(unit)


def _keep_arrays(db: Database, connection: Connection, run_id: str) -> None:
    """Arrays of the first layers of the largest run, of real widths."""
    folder, draw = db.folder("artifacts"), np.random.default_rng(0)
    for analysis, artifact in _arrays(draw):
        unit = _keep(connection, run_id, analysis, {"model": artifact.model}, [])
        stored = files.write(folder, artifact.arrays, db.access)
        connection.execute(insert(ArtifactRow), [_file(unit, artifact, stored)])


def _arrays(draw: np.random.Generator) -> Iterator[tuple[str, Artifact]]:
    falling = np.sort(draw.random(RANKS).astype(np.float32))
    texts = np.array([f"document {i} " + "word " * 16 for i in range(DOCUMENTS)], dtype=np.str_)
    for model, layer in itertools.product(("base", *MODELS), range(WITH_ARRAYS)):
        coordinates: dict[str, Any] = {"model": model, "layer": layer}
        rates: dict[str, np.ndarray] = {
            "rate": draw.random(WIDTH, dtype=np.float32),
            "drivers": draw.integers(0, DOCUMENTS, (3, WIDTH)),
            "driven": draw.random((3, WIDTH), dtype=np.float32),
        }
        scores: dict[str, np.ndarray] = {
            k: draw.random(WIDTH, dtype=np.float32) for k in ("attribution", "effect")
        }
        yield "activation", Artifact(name="neurons", arrays=rates, **coordinates)
        yield "activation", Artifact(name="scores", arrays=scores, **coordinates)
        if model == "base":
            continue
        spectra = dict.fromkeys(MODULES, falling[::-1])
        curves = {
            f"{module}.{kind}": falling[::-1] if kind == "singular_values" else falling
            for module in MODULES
            for kind in ("singular_values", "write", "read", "two_sided")
        }
        yield "tuning_vectors", Artifact(name="update_spectra", arrays=spectra, **coordinates)
        yield "alignment", Artifact(name="alignment_curves", arrays=curves, **coordinates)
    for model in ("base", *MODELS):
        documents = {"beginning": texts, "tokens": np.full(DOCUMENTS, 900)}
        yield "activation", Artifact(name="documents", arrays=documents, model=model)


def _end(connection: Connection, run_id: str, units: int, number: int) -> None:
    """The run as it stands once a worker has done it, some of them failed or cancelled."""
    status = "failed" if number % 17 == 5 else "cancelled" if number % 17 == 9 else "done"
    started = time.time() - 3600.0 * (RUNS - number)
    connection.execute(
        update(RunRow)
        .where(RunRow.id == run_id)
        .values(
            status=status, created=started, started=started, finished=started + 60 + number,
            done=units, total=units, heartbeat=started, attempt=1,
            provenance={"device": "cpu", "versions": {"torch": "2.13"}},
        )
    )  # fmt: skip
    for subject in MODELS[: number % 3]:
        connection.execute(
            insert(WarningRow).values(
                run_id=run_id, subject=subject, message="is hardly changed.", created=started
            )
        )
