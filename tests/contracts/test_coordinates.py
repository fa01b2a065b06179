"""A coordinate is declared once: columns, selection, filters and words follow from its field."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from app.render.data import columnar
from app.tui.keys import ACTIONS
from core.engine import registry
from core.engine.measurement import COLUMNS, KEY_COLUMNS, Measurement
from core.figures.choices import default_choice, query
from core.figures.filters import FIELDS
from core.figures.kinds.grids import Bars
from core.figures.views import COMBINED, SPOKEN, Catalogue, Choice
from storage.database import open_database
from storage.schema import MeasurementRow
from tests.contracts.guide import EXAMPLES, ROOT
from tests.selection import COUNTED

DECLARED = {
    "metric_of": "metric",
    "model": "model",
    "reference": "reference",
    "layer": "layer",
    "module": "module",
    "expert": "expert",
    "head": "head",
    "task": "task",
    "probe": "probe",
    "setting": "setting",
}
"""Every coordinate, and what people call it. Written out here, to hold the declaration against."""
INSIDE = {"layer", "module", "expert", "head"}
HEAD = "@dataclass(frozen=True, slots=True, kw_only=True)\n"
VIEW = Bars(key="v", title="", caption="", measures=("m",), finding=str)


@pytest.mark.parametrize(("name", "word"), DECLARED.items())
def test_whatever_selects_stores_or_exports_knows_a_coordinate(name: str, word: str) -> None:
    number = name in COUNTED
    assert name in {each.name for each in fields(Measurement)}
    assert getattr(Choice(measure=""), name) == (None if number else "")
    assert COLUMNS.index("metric") < COLUMNS.index(name) < COLUMNS.index("value")
    column = MeasurementRow.__table__.c[name]
    assert column.primary_key
    assert column.type.python_type is (int if number else str)
    assert str(columnar.SCHEMA.field(name).type) == ("int32" if number else "string")
    assert query(VIEW, default_choice(VIEW, Catalogue()), Catalogue())[name]
    assert name in SPOKEN
    assert (name in COMBINED) == (name not in INSIDE)
    assert VIEW.word(name) == word


def test_there_are_no_coordinates_but_these() -> None:
    assert set(KEY_COLUMNS) == {"analysis", "metric", *DECLARED}
    key = {column.name for column in MeasurementRow.__table__.primary_key}
    assert key == {"unit_id", "metric", *DECLARED}
    assert FIELDS == ("model", "layer", "module")
    assert set(SPOKEN) == {"against", "item", *DECLARED}


def test_views_name_coordinates_and_each_that_they_step_through_has_its_keys() -> None:
    keyed = {match[1] for a in ACTIONS if (match := re.match(r"select\('(\w+)', -1\)", a.name))}
    for analysis in map(registry.get, registry.names()):
        for view in analysis.views:
            named = {*view.fixed, *view.free, *view.only, *view.opens, *view.laid_out}
            assert named | {view.panelled or "model", *view.selectors} <= DECLARED.keys() | {
                "item"
            }, view.key
            assert set(view.steppers) <= keyed, view.key


SEEDED = """
import json, sys
from dataclasses import replace
from pathlib import Path
from app.render.data import columnar
from app.render.data.rows import write
from app.results.figures import drawn, names_in
from core.engine import registry
from core.engine.measurement import Measurement, Unit, UnitResult
from core.figures.choices import options
from core.figures.filters import read
from core.figures.kinds.grids import Bars
from core.study.study import Study
from storage import runs
from storage.database import open_database
from storage.sink import RunSink

db = open_database(sys.argv[1])
study = Study.model_validate({"name": "s", "models": {"base": "b", "tuned": {"medical": "m"}}})
run = runs.create_run(db, study, ["alignment"])
rows = [
    Measurement(metric="write", value=value, model="medical", module="q", seed=seed)
    for seed, value in (("1", 0.25), ("0", 0.75))
]
sink = RunSink(db, run, runs.claim(db, run))
sink.save(Unit(key="k", analysis="alignment", label=""), UnitResult(rows), 1.0)
view = Bars(key="v", title="", caption="", measures=("write",), selectors=("seed",),
            finding=lambda grid: "")
analysis, found = registry.get("alignment"), runs.find_run(db, run)
first = drawn(db, run, analysis, view)
second = drawn(db, run, analysis, view, replace(first.choice, seed="1"))
by = read("seed:1", names_in(db, found))
print(json.dumps({
    "options": options(view, "seed", first.choice, first.catalogue),
    "titles": [first.figure.title, second.figure.title],
    "values": [each.figure.cells[0][0].value for each in (first, second)],
    "filtered": drawn(db, run, analysis, view, by=by).choice.seed,
    "csv": write(db, found, Path(sys.argv[2]))[0].read_text().splitlines(),
    "parquet": columnar.SCHEMA.names,
}))
"""


def test_the_example_of_a_coordinate(tmp_path: Path) -> None:
    """Done as the guide says, in a copy: one field and one migration, and nothing else."""
    [field] = [code for file, code in EXAMPLES.items() if file == "core/engine/measurement.py"]
    tree = tmp_path / "tree"
    for room in ("core", "app", "storage"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / room, tree / room, ignore=ignored)
    declared = tree / "core/engine/measurement.py"
    before, following, rest = declared.read_text().partition(f"\n\n\n{HEAD}class Measurement(")
    declared.write_text(f"{before}\n{field}{following}{rest}")
    steps = sorted((tree / "storage/migrations").glob("*.sql"))
    (steps[-1].parent / f"{len(steps) + 1:04}_seed.sql").write_text(_migration())

    old = tmp_path / "runs.db"
    open_database(str(old)).close()
    out = tmp_path / "out"
    out.mkdir()
    seen = _seeded(tree, old, out)
    assert seen["options"] == ["0", "1"]
    assert [title.split("· ")[-1] for title in seen["titles"]] == ["0", "1"]
    assert seen["values"] == [0.75, 0.25]
    assert seen["filtered"] == "1"
    head, *lines = (line.split(",") for line in seen["csv"])
    columns = [*COLUMNS[: COLUMNS.index("value")], "seed", *COLUMNS[COLUMNS.index("value") :]]
    assert head == seen["parquet"] == columns
    by_seed = {line[head.index("seed")]: float(line[head.index("value")]) for line in lines}
    assert by_seed == {"0": 0.75, "1": 0.25}


def _seeded(tree: Path, database: Path, out: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", SEEDED, str(database), str(out)],
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _migration() -> str:
    """The step that made the probe a coordinate, with a column after it in the same places."""
    text = (ROOT / "storage/migrations/0007_probe.sql").read_text(encoding="utf-8")
    for before, after in (
        ("    probe TEXT NOT NULL,\n", "    probe TEXT NOT NULL,\n    seed TEXT NOT NULL,\n"),
        ("        probe\n    )", "        probe, seed\n    )"),
        ("metric_of, '',\n", "metric_of, probe, '',\n"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    return text.replace("measurements_by_probe", "measurements_by_seed")
