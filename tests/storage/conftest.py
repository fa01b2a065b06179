"""A database in a temporary folder, a study, and a run that was taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from core.engine.measurement import Measurement, Unit, UnitResult
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.sink import RunSink

VERSION_1 = Path(__file__).with_name("version_1.sql")
"""A database of the first version, with a run."""
STUDY = Study.model_validate(
    {
        "name": "domains",
        "models": {
            "base": "base",
            "tuned": {"medical": "m", "maths": "n", "again": {"path": "a", "role": "control"}},
        },
    }
)


@pytest.fixture
def study() -> Study:
    return STUDY


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "runs.db"), patience=5)
    yield opened
    opened.close()


@pytest.fixture
def begin(db: Database, study: Study) -> Callable[..., RunSink]:
    """A sink of a new run, or of the run with this id."""

    def start(run_id: str | None = None, *, fresh: bool = False) -> RunSink:
        run_id = run_id or runs.create_run(db, study, ["alignment"], fresh=fresh)
        return RunSink(db, run_id, runs.claim(db, run_id))

    return start


def unit(key: str, analysis: str = "alignment") -> Unit:
    return Unit(key=key, analysis=analysis, label=f"unit {key}", model="medical", layer=0)


def result(*rows: Measurement) -> UnitResult:
    return UnitResult(measurements=list(rows), state={"sums": [1, 2.5]})


def numbered(values: Sequence[float]) -> UnitResult:
    """A row a layer, with these values."""
    return result(
        *(
            Measurement(metric="write", value=v, model="medical", layer=i, module="q")
            for i, v in enumerate(values)
        )
    )
