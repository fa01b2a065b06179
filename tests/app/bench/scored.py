"""A run with stored items of tasks and no measurements: three of the task `sum`."""

from __future__ import annotations

import numpy as np

from core.engine.measurement import Artifact, Unit, UnitResult
from core.evaluation import answers
from core.evaluation.answers import Answer
from core.study.study import Study
from storage.database import Database
from storage.runs import claim, create_run
from storage.sink import RunSink

STUDY = {
    "name": "domains",
    "models": {"base": "/models/base", "tuned": {"maths": "/models/maths"}},
    "evaluation": {"tasks": {"maths": ["sum"]}},
}
ITEMS = (
    Answer(0, "Example.\n\nOne is", (" 1", " 2"), (True, False)),
    Answer(1, "Two is", (" 1", " 2"), (False, True)),
    Answer(4, "Nine is", target="9", said=""),
)


def results(*values: float) -> dict[str, np.ndarray]:
    """The items' results by `acc`; `acc_norm` says the opposite, and `f1` is neither."""
    arrays: dict[str, np.ndarray] = {}
    by = {"acc": values, "acc_norm": [1 - v for v in values], "a_f1": [0.5 * v for v in values]}
    for metric, numbers in by.items():
        arrays |= {
            f"{metric}|index": np.array([0, 1, 4]),
            f"{metric}|total": np.array(numbers, np.float64),
            f"{metric}|weight": np.ones(3), f"{metric}|form": np.array("mean"),
            f"{metric}|better": np.array("higher"),
        }  # fmt: skip
    return arrays


def scored(db: Database, *, prompts: bool = True) -> str:
    """The id of a run in which the base is right on item 0, and the model on 0 and 1."""
    run_id = create_run(db, Study.model_validate(STUDY), ("evaluation",))
    sink = RunSink(db, run_id, claim(db, run_id))
    for model, right in (("base", (1, 0, 0)), ("maths", (1, 1, 0))):
        unit = Unit(key=f"unit-{model}", analysis="evaluation", label=model, model=model)
        made = [Artifact(name="items", arrays=results(*right), model=model, task="sum")]
        asked = answers.artifacts(
            ITEMS, prompts=prompts and model == "base", model=model, task="sum"
        )
        sink.save(unit, UnitResult([], [*made, *asked]), 1.0)
    return run_id
