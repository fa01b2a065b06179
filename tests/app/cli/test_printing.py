"""Measurements as JSON: the same as if they were printed whole."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from app.cli import printing
from app.results.figures import analyses_of, shown
from core.engine.measurement import COLUMNS, Measurement, Unit, UnitResult
from core.errors import RunError
from core.figures.figure import Table
from core.figures.filters import Filter
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.sink import RunSink
from tests import pretend

NAMES = ("medical", 'a"b\\c', "ü\n")
STUDY = Study.model_validate({"name": "s", "models": {"base": "b", "tuned": {"medical": "m"}}})
ROWS = [
    Measurement(
        metric="write", value=value, model=name, layer=layer, module="q", low=-1e-300, n=n,
        chance=1 / 3,
    )
    for name, value, layer, n in zip(
        NAMES, (0.1, math.inf, None), (0, 1, None), (2**60, None, 0), strict=True
    )
]  # fmt: skip


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "x.db"))
    run_id = runs.create_run(opened, STUDY, ["alignment"])
    sink = RunSink(opened, run_id, runs.claim(opened, run_id))
    sink.save(Unit(key="k", analysis="alignment", label=""), UnitResult(list(ROWS)), 1.0)
    yield opened
    opened.close()


def _printed(db: Database, capsys: pytest.CaptureFixture[str], by: Filter) -> str:
    run = runs.find_run(db, "latest")
    printing.print_measured(db, run, analyses_of(run), by)
    return capsys.readouterr().out


def test_it_is_the_list_that_json_writes(
    db: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "_HELD", 10)  # so that it goes through the disk
    wanted = [{"analysis": "alignment", **asdict(row)} for row in ROWS]
    wanted = [{name: line[name] for name in COLUMNS} for line in wanted]
    wanted[1]["value"] = None  # JSON has no word for an infinite number
    wanted[1:] = sorted(wanted[1:], key=lambda line: str(line["model"]))
    assert _printed(db, capsys, Filter()) == json.dumps(wanted, indent=2) + "\n"


def test_what_a_filter_leaves_out_is_not_printed(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = json.loads(_printed(db, capsys, Filter(model=("medical",))))
    assert [line["model"] for line in lines] == ["medical"]
    assert _printed(db, capsys, Filter(model=("nobody",))) == "[]\n"


def test_no_room_to_lay_them_aside_is_told(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[str]:
        raise OSError(28, "No space left on device")
        yield ""

    monkeypatch.setattr(printing, "_as_json", full)
    run = runs.find_run(db, "latest")
    with pytest.raises(RunError, match="No space left") as caught:
        printing.print_measured(db, run, analyses_of(run))
    assert "TMPDIR" in caught.value.hint


def test_a_table_behind_a_pipe_is_whole(
    db: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend.register(monkeypatch)
    run_id = runs.create_run(db, STUDY, [pretend.NAME])
    attempt = runs.claim(db, run_id)
    unit = Unit(key="all", analysis=pretend.NAME, label="")
    RunSink(db, run_id, attempt).save(unit, UnitResult(pretend.rows(), pretend.arrays()), 1.0)
    run = runs.find_run(db, run_id)
    view = pretend.view("neurons")
    (table,) = [
        each.figure for each in shown(db, run, analyses_of(run)[0]) if each.view.key == view.key
    ]
    monkeypatch.delenv("COLUMNS", raising=False)
    printing.print_run(db, run, analyses_of(run))
    whole = capsys.readouterr().out
    assert isinstance(table, Table)
    assert len(table.rows) > 100
    last = "  ".join(str(value) for value in table.rows[-1][:2])
    assert last.split() in [line.split()[:2] for line in whole.splitlines()]
    assert "more" not in whole.split(view.title)[-1]
    monkeypatch.setenv("COLUMNS", "40")
    printing.print_run(db, run, analyses_of(run))
    assert "… and" in capsys.readouterr().out
