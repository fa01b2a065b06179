"""Arrays of a database that was made by hand, or put together from several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.results.figures import analyses_of, shown
from core.engine.measurement import Artifact, Measurement, Unit, UnitResult
from core.errors import StorageError
from core.figures.figure import Table
from core.study.study import Study
from storage import runs
from storage.database import open_database
from storage.sink import RunSink


def _neurons(folder: Path, widths: dict[str, int], **changed: Any) -> Table:
    """The table of neurons of a run with one layer of so many neurons a model."""
    db = open_database(str(folder / "x.db"))
    models = {"base": "b", "tuned": {"medical": "m"}}
    study = Study.model_validate({"name": "x", "models": models})
    run_id = runs.create_run(db, study, ["activation"])
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    for model, width in widths.items():
        arrays: dict[str, Any] = {
            "rate": np.linspace(0, 1, width), "drivers": np.zeros((1, width), int),
            "driven": np.full((1, width), 0.5),
        }  # fmt: skip
        row = Measurement(metric="activated_percent", value=50.0, model=model, layer=0)
        texts = {"beginning": np.array(["the red cat"]), "tokens": np.array([4])}
        artifacts = [
            Artifact(name="neurons", arrays={**arrays, **changed}, model=model, layer=0),
            Artifact(name="documents", arrays=texts, model=model),
        ]
        unit = Unit(key=model, analysis="activation", label=model)
        sink.save(unit, UnitResult([row], artifacts), 1.0)
    try:
        run = runs.find_run(db, run_id)
        (analysis,) = analyses_of(run)
        (figure,) = (s.figure for s in shown(db, run, analysis) if s.view.key == "neurons")
        assert isinstance(figure, Table)
        return figure
    finally:
        db.close()


def test_models_with_other_numbers_of_neurons_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"has [57] neurons in layer 0, but another .* has [57]"):
        _neurons(tmp_path, {"base": 7, "medical": 5})


def test_a_layer_without_neurons_has_no_rows(tmp_path: Path) -> None:
    assert _neurons(tmp_path, {"base": 0, "medical": 0}).rows == ()


def test_a_document_that_there_is_none_of_is_not_named(tmp_path: Path) -> None:
    drivers = np.array([[0, 1, -1, 10**12]])
    table = _neurons(tmp_path, {"base": 4, "medical": 4}, drivers=drivers)
    named = {row[1]: row[-1] for row in table.rows}
    assert named == {0: "50% of 0: the red cat", 1: "", 2: "", 3: ""}
