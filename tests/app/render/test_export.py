"""An exported run stands alone, reads back exactly, and obeys nobody."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pyarrow import parquet

from app.render.data import folder as folders
from app.render.data.folder import FORMATS, export
from app.render.data.numbers import LISTED
from app.render.data.report import escaped
from app.results.figures import Shown, analyses_of, shown
from core.engine import registry
from core.engine.measurement import COLUMNS, KEY_COLUMNS, Unit, UnitResult
from core.errors import RunError, StorageError, StudyError
from core.figures.figure import Grid, Table
from core.figures.views import Choice
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.sink import RunSink
from tests import pretend
from tests.conftest import WEIGHTS


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    return rows


def test_the_columns_are_those_of_the_contract() -> None:
    assert ",".join(COLUMNS) == (
        "analysis,metric,metric_of,model,reference,layer,module,expert,head,task,probe,setting,"
        "value,low,high,n,chance,chance_sd"
    )


def test_the_csv_files_are_the_measurements(db: Database, tmp_path: Path) -> None:
    files = export(db, "latest", tmp_path / "deep" / "out", ["csv"])
    folder = tmp_path / "deep" / "out"
    assert {f.name for f in files if f.parent == folder} == {
        "run.json", "measurements.csv", *(f"{name}.csv" for name in WEIGHTS),
    }  # fmt: skip
    rows = _rows(folder / "measurements.csv")
    places = [tuple(row[name] for name in KEY_COLUMNS) for row in rows]
    assert len(set(places)) == len(places)
    assert [r for name in WEIGHTS for r in _rows(folder / f"{name}.csv")] == rows
    run = runs.find_run(db, "latest")
    stored = {
        (name, m.metric, m.model, m.reference, str(m.layer), m.module, str(m.head), m.setting): m
        for name in WEIGHTS
        for m in runs.measurements(db, run.id, name)
    }
    assert len(stored) == len(rows)
    for row in rows:
        place = (
            row["analysis"], row["metric"], row["model"], row["reference"],
            row["layer"] or "None", row["module"], row["head"] or "None", row["setting"],
        )  # fmt: skip
        value = stored[place].value
        assert row["value"] == ("" if value is None else repr(value))
        assert row["n"] == str(stored[place].n if stored[place].n is not None else "")
    assert [row["metric"] for row in rows if row["layer"] == "0"]


def test_the_parquet_file_is_the_csv_with_types(db: Database, tmp_path: Path) -> None:
    export(db, "latest", tmp_path, ["csv", "parquet"])
    table = parquet.read_table(tmp_path / "measurements.parquet")
    assert tuple(table.column_names) == COLUMNS
    types = {field.name: str(field.type) for field in table.schema}
    assert {types[name] for name in ("layer", "expert", "head")} == {"int32"}
    assert types["n"] == "int64"
    assert {types[name] for name in COLUMNS[COLUMNS.index("value") :] if name != "n"} == {"double"}
    assert {types[name] for name in ("analysis", "metric", "model", "setting")} == {"string"}
    rows = table.to_pylist()
    assert rows == [_typed(row, types) for row in _rows(tmp_path / "measurements.csv")]
    assert any(row["layer"] is None and row["reference"] is None for row in rows)
    groups = parquet.ParquetFile(tmp_path / "measurements.parquet").num_row_groups
    assert groups == len(WEIGHTS)


def _typed(row: dict[str, str], types: dict[str, str]) -> dict[str, str | float | None]:
    read = {"int32": int, "int64": int, "double": float, "string": str}
    return {name: read[types[name]](text) if text else None for name, text in row.items()}


DRAWN = ("svg", "png")


def test_two_exports_are_the_same(db: Database, small: Database, tmp_path: Path) -> None:
    for of, formats in ((db, [name for name in FORMATS if name not in DRAWN]), (small, FORMATS)):
        first, second = (tmp_path / str(len(formats)) / name for name in "ab")
        export(of, "latest", first, formats)
        export(of, "latest", second, ["csv", "html"])
        export(of, "latest", second, formats)
        for path in first.rglob("*"):
            if path.is_file():
                assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
        assert not [path for path in second.iterdir() if path.name.startswith(".")]
    assert {path.suffix.strip(".") for path in first.rglob("figures/*")} == set(DRAWN)


def test_the_record_says_where_it_comes_from(db: Database, tmp_path: Path) -> None:
    export(db, "latest", tmp_path, [])
    assert not (tmp_path / "report.md").exists()
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["run"]["status"] == "done"
    assert record["run"]["created"].endswith("+00:00")
    assert record["study"]["models"]["tuned"]["control"]["role"] == "control"
    assert (record["seed"], record["engine"]) == (0, "local")
    assert "failed_units" not in record
    assert set(record["durations"]) == set(WEIGHTS)
    assert record["provenance"]["models"]["medical"]["fingerprint"]
    assert record["provenance"]["environment"]["versions"]["torch"]
    assert [a["name"] for a in record["analyses"]] == list(WEIGHTS)
    for artifact in record["artifacts"]:
        assert (tmp_path / artifact["path"]).stat().st_size == artifact["bytes"]


def test_the_report_has_findings_figures_and_chance(db: Database, tmp_path: Path) -> None:
    export(db, "latest", tmp_path, ["md"])
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# &lt;b&gt;tiny&lt;/b&gt; \\| \\*x\\* &lt;script&gt;")
    links = re.findall(r"\]\(#([a-z_-]+)\)", text[: text.index("<details>")])
    assert links
    assert all(f'<a id="{link}"></a>' in text for link in links)
    assert text.index("## Overview") < text.index("### Findings") < text.index("<details>")
    assert "chance" in text
    assert "```text\n" in text
    assert "control (control)" in text
    assert "\x1b" not in text
    for name in WEIGHTS:
        for view in registry.get(name).views:
            # No model of this study was tuned from another one.
            assert (f"### {escaped(view.title)}" in text) == (not view.optional)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("[x](http://y)", "\\[x\\](http://y)"),
        ("<script>", "&lt;script&gt;"),
        ("&amp;", "&amp;amp;"),
        ("# no heading", "\\# no heading"),
        ("1. no list", "&#49;. no list"),
        ("- no list", "\\- no list"),
        ("-0.5 and 0.1 s", "-0.5 and 0.1 s"),
        ("`code` _it_", "\\`code\\` \\_it\\_"),
        ("a\nb\x1b[0m", "a\\\\nb\\\\x1b\\[0m"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_what_can_not_be_written_is_one_error(db: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=f"{tmp_path / 'file'} is a file"):
        export(db, "latest", tmp_path / "file")
    with pytest.raises(RunError, match="failed: ") as caught:
        export(db, "latest", tmp_path / "file" / "in")
    assert str(tmp_path / "file" / "in") in caught.value.title
    (tmp_path / "out" / "run.json").mkdir(parents=True)
    with pytest.raises(RunError):
        export(db, "latest", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]
    with pytest.raises(StudyError, match="no format 'cvs'") as wrong:
        export(db, "latest", tmp_path, ["cvs"])
    assert "csv" in wrong.value.hint
    assert set(FORMATS) == {"csv", "json", "parquet", "md", "html", "svg", "png"}


def test_every_kind_of_view_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend.register(monkeypatch)
    db = open_database(str(tmp_path / "kinds.db"))
    tuned = {name: {"path": name} for name in pretend.TUNED}
    study = Study.model_validate({"name": "kinds", "models": {"base": "b", "tuned": tuned}})
    run_id = runs.create_run(db, study, [pretend.NAME])
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    unit = Unit(key="pretended", analysis=pretend.NAME, label="all")
    sink.save(unit, UnitResult(pretend.rows(), pretend.arrays()), 1.0)
    out = tmp_path / "out"
    export(db, run_id, out)
    db.close()
    _report_writes_out_points_and_tables((out / "report.md").read_text())
    page = (out / "report.html").read_text()
    assert (
        '<th scope="row">5</th><td>33</td><td>+6.000</td><td class="words">␣token-33</td>' in page
    )
    assert "The table lists the first 50 of 240 rows." in page
    assert "maths=1, gsm8k: 1.1" in page
    tables = sorted((out / "tables").iterdir())
    listing = next(path for path in tables if "neurons" in path.name)
    with listing.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["layer", "neuron", "score", "token"]
    assert len(rows) == 1 + LISTED + 190
    assert (rows[1][0], rows[1][1], rows[1][3]) == ("5", "33", " token-33")
    assert float(rows[1][2]) == pytest.approx(6, abs=1e-3)
    drawn = {path.stem for path in (out / "figures").iterdir()}
    assert not drawn & {path.stem for path in tables}
    listed = {path.stem for path in tables}
    for view in registry.get(pretend.NAME).views:
        if view.title in page:
            named = listed if view.kind in ("table", "text") else drawn
            assert any(name.startswith(f"{pretend.NAME}-{view.key}") for name in named)


def _report_writes_out_points_and_tables(text: str) -> None:
    assert "| coefficients | kind | gsm8k | medqa |" in text
    assert "| maths=1 | merged | 1.1 (on the front) | 0.4 |" in text
    assert "| layer | neuron | score | token |" in text
    assert "| 5 | 33 | +6.000 | ␣token-33 |" in text
    assert "The table lists the first 50 of 240 rows." in text
    assert "| layer | instruct | independent |" in text
    assert "1.1 (best)" in text
    assert "Nowhere" not in text


def test_failed_units_are_told(db: Database, tmp_path: Path) -> None:
    failed = _altered(
        db, tmp_path / "home",
        "INSERT INTO failures SELECT id, 'k', 'ablation', ?, 'out of memory', 3 FROM runs",
        "top-1% of <medical>",
    )  # fmt: skip
    with closing(failed):
        with failed.writing() as connection:
            connection.exec_driver_sql("DELETE FROM artifacts")
        export(failed, "latest", tmp_path / "out", ["json", "md", "html"])
    out = tmp_path / "out"
    (unit,) = json.loads((out / "run.json").read_text())["failed_units"]
    assert (unit["label"], unit["cause"], unit["attempts"]) == (
        "top-1% of <medical>", "out of memory", 3,
    )  # fmt: skip
    words = "failed 3 times and has no results: out of memory"
    assert words in (out / "report.md").read_text()
    assert f"top-1% of &lt;medical&gt; {words}" in (out / "report.html").read_text()


def test_states_that_only_later_units_read_are_not_exported(db: Database, tmp_path: Path) -> None:
    states = _altered(db, tmp_path / "home", "UPDATE artifacts SET name = ?", "final.0")
    with closing(states):
        export(states, "latest", tmp_path / "out", ["json"])
    assert json.loads((tmp_path / "out" / "run.json").read_text())["artifacts"] == []
    assert not (tmp_path / "out" / "artifacts").exists()


def test_an_artifact_that_is_gone_is_not_taken_for_a_folder_that_can_not_be_written(
    db: Database, tmp_path: Path
) -> None:
    stored = runs.artifacts(db, runs.find_run(db, "latest").id)[0].stored
    file = db.folder("artifacts") / stored.path
    away = file.rename(tmp_path / "away")
    try:
        with pytest.raises(StorageError, match=r"artifact .* is missing") as caught:
            export(db, "latest", tmp_path / "out", ["json"])
    finally:
        away.rename(file)
    assert "--fresh" in caught.value.hint


@pytest.mark.parametrize("format", FORMATS)
def test_a_refused_export_leaves_nothing_behind(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    def refused(*_: object) -> list[Path]:
        (tmp_path / "new" / "out" / "half").write_text("x")
        raise StorageError("a bad path")

    monkeypatch.setitem(folders._WRITERS, format, refused)
    (tmp_path / "old").mkdir()
    with pytest.raises(StorageError, match="a bad path"):
        export(db, "latest", tmp_path / "new" / "out", [format])
    assert [each.name for each in tmp_path.iterdir()] == ["old"]


def test_of_what_was_not_measured_nothing_is_found(tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "empty.db"))
    study = Study.model_validate({"name": "x", "models": {"base": "b", "tuned": {"a": "a"}}})
    run = runs.find_run(db, runs.create_run(db, study, ["tuning_vectors", "alignment"]))
    findings = [each.finding for of in analyses_of(run) for each in shown(db, run, of)]
    db.close()
    assert findings
    assert not any(findings)


@pytest.mark.parametrize("path", ["../../../.bashrc", "/etc/passwd", "..", "aa/x.npz"])
def test_a_path_of_the_database_leads_nowhere_else(path: str, tmp_path: Path, db: Database) -> None:
    """A row of somebody else's database may name any file, to be replaced or to be read."""
    home = tmp_path / "home"
    hostile = _altered(db, home, "UPDATE artifacts SET path = ?", path)
    (home / ".bashrc").write_text("mine")
    with closing(hostile), pytest.raises(StorageError, match="outside of its folder"):
        export(hostile, "latest", home / "a" / "b" / "out", ["json"])
    assert (home / ".bashrc").read_text() == "mine"
    assert {f.name for f in home.rglob("*") if f.is_file() and "x.db" not in f.name} == {".bashrc"}


def test_an_infinite_value_of_the_database_is_shown_as_undefined(
    tmp_path: Path, db: Database
) -> None:
    place = "metric = 'relative_norm' AND model = 'medical' AND layer = 1 AND module = 'q'"
    hostile = _altered(
        db, tmp_path, f"UPDATE measurements SET value = ?, high = 9e999 WHERE {place}", math.inf
    )
    shutil.copytree(db.folder("artifacts"), hostile.folder("artifacts"), dirs_exist_ok=True)
    with closing(hostile):
        export(hostile, "latest", tmp_path / "out", ["csv", "json", "parquet", "html", "md"])
        run = runs.find_run(hostile, "latest")
        (analysis,) = analyses_of(run, "tuning_vectors")
        (modules,) = (s for s in shown(hostile, run, analysis) if s.view.key == "modules")
    export(db, "latest", tmp_path / "right", ["csv"])
    ours, right = (_rows(tmp_path / to / "measurements.csv") for to in ("out", "right"))
    (changed,) = ((o, r) for o, r in zip(ours, right, strict=True) if o != r)
    assert changed[0] == changed[1] | {"value": "", "high": ""}
    figure = modules.figure
    assert isinstance(figure, Grid)
    cell = figure.cells[figure.rows.index("1")][figure.columns.index("q")]
    assert cell is not None
    assert (cell.shown, cell.value, cell.high) == (None, None, None)
    assert "inf" not in modules.finding
    for page in ("report.md", "report.html"):
        assert not re.search(
            r"(?<![a-z])inf(inity)?(?![a-z])", (tmp_path / "out" / page).read_text()
        )


def _altered(db: Database, folder: Path, statement: str, value: object) -> Database:
    """A copy of a database, altered by hand."""
    folder.mkdir(exist_ok=True)
    copy = folder / "x.db"
    with closing(sqlite3.connect(db.path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        with target:
            target.execute(statement, (value,))
    return open_database(str(copy))


def test_a_model_of_the_database_names_no_file_elsewhere(db: Database) -> None:
    run = runs.find_run(db, "latest")
    (alignment,) = (a for a in analyses_of(run) if a.name == "alignment")
    view = next(v for v in alignment.views if "model" in v.selectors)
    figure = Table(title="", columns=(), rows=())
    hostile = Shown(alignment, view, Choice(measure="", model="x/../../..\\y\x1b"), figure, "")
    assert hostile.name.startswith(f"alignment-{view.key}-x_.._.._.._y_-")
    assert "/" not in hostile.name
