"""Groups of models as CSV: `groups.csv` has their means, `group_tests.csv` every two compared.

The columns are the columns of measurements, with the group as model. Tests of one analysis
and metric are corrected together.
"""

from __future__ import annotations

from pathlib import Path

from app.render.data.cells import Rows
from app.results.figures import analyses_of
from core.engine.measurement import COLUMNS, KEY_COLUMNS, Measurement
from core.figures import groups
from core.files.partial import written
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

_TESTED = ("other", "mean", "other_mean", "difference", "low", "high", "n", "other_n", "p", "q")


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """Write the files and return them; none for a run without groups."""
    ranges = {a.name: runs.catalogue(db, run.id, a.name) for a in analyses_of(run)}
    if not any(each.groups for each in ranges.values()):
        return []
    files = [folder / "groups.csv", folder / "group_tests.csv"]
    with written(files[0]) as means, written(files[1]) as tests:
        mean_rows, test_rows = Rows(means), Rows(tests)
        mean_rows.write((*COLUMNS, "sd"))
        test_rows.write((*KEY_COLUMNS, *_TESTED))
        for name, catalogue in ranges.items():
            members = tuple(model for group in catalogue.groups.values() for model in group)
            for metric in catalogue.values("metric") if members else ():
                rows = runs.measurements(db, run.id, name, {"metric": (metric,), "model": members})
                spreads = list(groups.spreads(rows, catalogue.groups))
                for spread in spreads:
                    coordinates = (getattr(spread.mean, column) for column in COLUMNS[1:])
                    mean_rows.write((name, *coordinates, spread.sd))
                for test in groups.comparisons(spreads):
                    test_rows.write((name, *_key(test.first.mean), *_facts(test)))
    return files


def _key(row: Measurement) -> tuple[object, ...]:
    return tuple(getattr(row, column) for column in KEY_COLUMNS[1:])


def _facts(test: groups.Comparison) -> tuple[object, ...]:
    first, second, difference = test.first.mean, test.second.mean, test.difference
    return (
        second.model, first.value, second.value, difference.value, difference.low, difference.high,
        first.n, second.n, difference.p, test.q,
    )  # fmt: skip
