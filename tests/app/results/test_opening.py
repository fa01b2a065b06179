"""The figure that a view opens with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.results.figures import drawn
from core.engine import registry
from core.engine.measurement import Measurement, Unit, UnitResult
from storage.database import open_database
from storage.runs import claim, create_run
from storage.sink import RunSink
from tests.app.tui.conftest import MODELS, study


def test_a_map_of_one_model_opens_on_the_first_with_a_value(tmp_path: Path) -> None:
    """A model without a gain has undefined shares alone, whether it has the role of a control or
    not. Asked for by name it is shown all the same."""
    first, second, *_ = MODELS
    rows = [
        Measurement(
            metric="regained", value=None if model == first else 0.5, model=model,
            reference="base", layer=layer, module="attention", probe="probe",
        )
        for model in (first, second)
        for layer in (0, 1)
    ]  # fmt: skip
    db = open_database(str(tmp_path / "runs.db"))
    run_id = create_run(db, study("grafts"), ["graft"])
    attempt = claim(db, run_id)
    RunSink(db, run_id, attempt).save(
        Unit(key="u", analysis="graft", label=""), UnitResult(rows), 1.0
    )
    analysis = registry.get("graft")
    view = next(view for view in analysis.views if view.key == "parts")
    opened = drawn(db, run_id, analysis, view)
    assert opened.choice.model == second
    asked = drawn(db, run_id, analysis, view, replace(opened.choice, model=first))
    assert asked.choice.model == first
    assert [cell.value for cell in asked.figure.measured()] == [None, None]
    db.close()
