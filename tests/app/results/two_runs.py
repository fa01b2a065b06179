"""Two runs of the analysis that computes nothing, with results that differ."""

from __future__ import annotations

from dataclasses import replace

from core.engine.measurement import Measurement, Unit, UnitResult
from storage.database import Database
from storage.runs import claim, create_run, finish
from storage.sink import RunSink
from tests import pretend
from tests.app.tui.conftest import study


def keep(
    db: Database,
    name: str,
    rows: list[Measurement],
    adopted: tuple[str, ...] = (),
    besides: tuple[str, ...] = (),
) -> str:
    """A finished run of the analysis that computes nothing, with these rows, and with those of
    other runs of these names; it has other analyses besides, without results."""
    run_id = create_run(db, study(name), [pretend.NAME, *besides])
    attempt = claim(db, run_id)
    unit = Unit(key=name, analysis=pretend.NAME, label=name)
    sink = RunSink(db, run_id, attempt)
    sink.adopt(adopted)
    sink.save(unit, UnitResult(rows, pretend.arrays()), 1.0)
    finish(db, run_id, attempt, "done")
    return run_id


def other_rows() -> list[Measurement]:
    """Without medical and gsm8k; everything else is a half larger, and there is a deeper layer."""
    rows = [
        replace(row, value=None if row.value is None else row.value + 0.5)
        for row in pretend.rows()
        if "medical" not in (row.model, row.reference) and row.task != "gsm8k"
    ]
    deeper = [replace(row, layer=6) for row in rows if row.layer == 5]
    return [*rows, *deeper]
