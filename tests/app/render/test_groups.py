"""Groups of models in a run's figures and files."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from app.jobs import worker
from app.render.data.folder import export
from app.results.figures import analyses_of, drawn, names_in
from core.engine.measurement import COLUMNS
from core.figures.figure import Lines
from core.study.intake import read
from storage import runs
from storage.database import open_database
from tests.app.families import write_family
from tests.conftest import tiny_config, tiny_tensors, tuned_from, write_model


def test_a_run_with_groups_shows_and_exports_them(tmp_path: Path) -> None:
    file = write_family(tmp_path)
    text = file.read_text()
    for name, size in {"x-1": 0.02, "x-2": 0.021, "y-1": 0.05, "y-2": 0.052, "y-3": 0.049}.items():
        write_model(tmp_path / name, tiny_config(), tuned_from(tiny_tensors(), len(name), size))
        text += f'{name} = {{ path = "{name}", group = "{name[0]}" }}\n'
    file.write_text(text)
    db = open_database(str(tmp_path / "x.db"))
    run = worker.work(db, runs.create_run(db, read(file), ["tuning_vectors", "vector_cosine"]))
    assert names_in(db, run)["model"] == (*run.models, "x", "y")
    analysis = analyses_of(run)[0]
    made = drawn(db, run.id, analysis, analysis.views[0]).figure
    assert isinstance(made, Lines)
    lines = {line.name: line for line in made.panels[0].series}
    assert lines["x"].band
    members = [lines[name].cells[0].value or math.nan for name in ("x-1", "x-2")]
    assert lines["x"].cells[0].value == sum(members) / 2
    assert lines["x"].cells[0].n == 2
    files = {path.name for path in export(db, run.id, tmp_path / "out", ["csv"])}
    assert {"groups.csv", "group_tests.csv"} <= files
    with (tmp_path / "out" / "groups.csv").open() as rows:
        means = list(csv.DictReader(rows))
    assert list(means[0]) == [*COLUMNS, "sd"]
    assert {row["model"] for row in means} == {"x", "y"}
    assert {row["analysis"] for row in means} == {"tuning_vectors"}
    with (tmp_path / "out" / "group_tests.csv").open() as rows:
        tests = list(csv.DictReader(rows))
    whole = {row["metric"]: row for row in tests if (row["layer"], row["module"]) == ("", "all")}
    assert (whole["norm"]["model"], whole["norm"]["other"]) == ("x", "y")
    assert float(whole["norm"]["q"]) < 0.05
    with (tmp_path / "out" / "measurements.csv").open() as rows:
        assert "x" not in {row["model"] for row in csv.DictReader(rows)}
    db.close()
