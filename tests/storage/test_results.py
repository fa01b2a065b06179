"""The database answers a Query as deciding row by row would."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engine.measurement import KEY_COLUMNS, Artifact, Measurement, UnitResult
from core.figures.views import Combination, Query, Value, Wanted
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.sink import RunSink
from tests.selection import selected
from tests.storage.conftest import STUDY, result, unit

METRICS = st.sampled_from(["write", "read", "wri'te", "%"])
MODELS = st.sampled_from(["", "medical", "maths", "a_b", "a%b"])
MODULES = st.sampled_from(["", "q", "mlp", "all"])
PLACES = st.sampled_from([None, None, 0, 1, 7])

TASKS = st.sampled_from(["", "medqa", "gsm'8k"])
PROBES = st.sampled_from(["", "general", "medical"])
SETTINGS = st.sampled_from(["", "", "vs-parent", "top-1%"])
NAMES = st.sampled_from(["", "acc", "f1"])

ROWS = st.lists(
    st.builds(
        Measurement,
        metric=METRICS,
        value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        metric_of=NAMES,
        model=MODELS,
        reference=MODELS,
        layer=PLACES,
        module=MODULES,
        expert=PLACES,
        head=PLACES,
        task=TASKS,
        probe=PROBES,
        setting=SETTINGS,
        n=st.none() | st.integers(0, 2**62),
    ),
    max_size=40,
    unique_by=lambda row: tuple(getattr(row, name) for name in KEY_COLUMNS[1:]),
)


def wanted(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Wanted]:
    """Anything, presence, absence, or some values."""
    words: st.SearchStrategy[Wanted] = st.sampled_from(["any", "any", "present", "absent"])
    some: st.SearchStrategy[Wanted] = st.lists(values, max_size=3).map(tuple)
    return words | some


QUERIES: st.SearchStrategy[Query] = st.fixed_dictionaries(
    {"metric": st.lists(METRICS, max_size=3).map(tuple)},
    optional={
        "model": wanted(MODELS),
        "reference": wanted(MODELS),
        "layer": wanted(st.sampled_from([None, 0, 1, 7, -1])),
        "module": wanted(MODULES),
        "expert": wanted(PLACES),
        "head": wanted(PLACES),
        "task": wanted(TASKS),
        "probe": wanted(PROBES),
        "setting": wanted(SETTINGS),
        "metric_of": wanted(NAMES),
    },
)


def _stored(db: Database, rows: list[Measurement], study: Study = STUDY) -> str:
    run_id = runs.create_run(db, study, ["alignment"])
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    half = len(rows) // 2
    sink.save(unit("first"), result(*rows[:half]), 1.0)
    sink.save(unit("second"), result(*rows[half:]), 1.0)
    sink.save(unit("other", "tuning_vectors"), result(*rows), 1.0)
    return run_id


@settings(max_examples=40)
@given(rows=ROWS, queries=st.lists(QUERIES, min_size=1, max_size=6))
def test_sql_agrees_with_matches(rows: list[Measurement], queries: list[Query]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(open_database(str(Path(folder) / "x.db"))) as db,
    ):
        run_id = _stored(db, rows)
        assert set(runs.measurements(db, run_id, "alignment")) == set(rows)
        for query in queries:
            stored = runs.measurements(db, run_id, "alignment", query)
            assert sorted(map(repr, stored)) == sorted(repr(r) for r in selected(query, rows))


def test_a_catalogue_is_of_what_was_measured(db: Database, study: Study) -> None:
    plain = [
        Measurement(metric="write", value=1.0, model=model, layer=layer, module=module)
        for model in ("medical", "maths") for layer in (None, 3, 1) for module in ("all", "q")
    ]  # fmt: skip
    apart = [
        Measurement(metric="write", value=1.0, model="medical", layer=9, module="o", head=2),
        Measurement(metric="write", value=1.0, model="medical", layer=9, module="o", expert=2),
    ]
    ranges = runs.catalogue(db, _stored(db, plain + apart), "alignment")
    assert ranges.values("model") == ("medical", "maths", "again")
    assert ranges.controls == {"again"}
    assert ranges.values("layer") == (1, 3)
    assert ranges.overall
    assert ranges.values("module") == ("q", "all")
    assert ranges.values("metric") == ("write",)
    for name in ("reference", "task", "setting", "metric_of", "probe"):
        assert ranges.values(name) == ()
    assert ranges.combinations == {
        Combination(metric="write", model="medical"), Combination(metric="write", model="maths")
    }  # fmt: skip


def test_a_catalogue_says_which_direction_of_a_metric_is_better(db: Database) -> None:
    run_id = runs.create_run(db, STUDY, ["arithmetic"])
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    states: tuple[dict[str, Any], ...] = (
        {"scores": {"acc": {"value": 0.5, "higher": True}, "ppl": {"value": 9, "higher": False}}},
        {"scores": {"medqa": {"f1": {"value": 0.5, "higher": True}}}},  # as arithmetic has them
        {"scores": {"bleu": {"value": 1, "higher": None}, "odd": {"value": 1, "higher": True}}},
        {"scores": {"odd": {"value": 1, "higher": False}}},
        {"rows": [1, {"higher": True}], "higher": "yes"},
    )
    for i, state in enumerate(states):
        sink.save(unit(str(i), "arithmetic"), UnitResult(state=state), 1.0)
    better = runs.catalogue(db, run_id, "arithmetic").better
    assert better == {"acc": "higher", "ppl": "lower", "f1": "higher"}
    assert runs.catalogue(db, run_id, "alignment").better == {}


def test_a_catalogue_is_in_the_order_of_the_study(db: Database) -> None:
    data = STUDY.model_dump(mode="json")
    tasks = {"medical": ["medqa", "pubmedqa"], "maths": ["gsm8k"]}
    ordered = Study.model_validate({**data, "evaluation": {"tasks": tasks}})
    rows = [
        Measurement(
            metric="score", value=1.0, model=model, reference=reference, layer=0, task=task,
            setting=setting, metric_of=metric_of,
        )
        for model, reference, task, setting, metric_of in (
            ("maths", "medical", "zzz", "top-10%", "f1"),
            ("maths", "base", "gsm8k", "top-2%", "f1"),
            ("base", "maths", "medical", "", "acc"),
            ("base", "maths", "medqa", "top-1%-seed0", "acc"),
        )
    ]  # fmt: skip
    ranges = runs.catalogue(db, _stored(db, rows, ordered), "alignment")
    assert ranges.values("model") == ("base", "medical", "maths", "again"), (
        "the base before the study's"
    )
    assert ranges.values("reference") == ("base", "medical", "maths")
    assert ranges.values("task") == ("medqa", "gsm8k", "medical", "zzz")
    assert ranges.values("setting") == ("top-1%-seed0", "top-2%", "top-10%")
    assert ranges.values("metric_of") == ("f1", "acc"), "as first seen"
    assert not ranges.overall
    assert (
        Combination(
            metric="score",
            model="maths",
            reference="base",
            task="gsm8k",
            setting="top-2%",
            metric_of="f1",
        )
        in ranges.combinations
    )


def test_a_run_sees_only_its_own(db: Database, begin: Callable[..., RunSink]) -> None:
    _stored(db, [Measurement(metric="write", value=1.0)])
    begin()
    latest = runs.find_run(db, "latest").id
    assert runs.measurements(db, latest, "alignment") == []
    assert runs.durations(db, latest) == {}


def test_what_another_run_has_too_is_that_of_units_of_both(
    db: Database, begin: Callable[..., RunSink]
) -> None:
    rows = [Measurement(metric="write", value=1.0, layer=layer) for layer in range(3)]
    arrays = [Artifact(name=f"of-{layer}", arrays={"x": np.zeros(1)}) for layer in range(3)]

    def keep(sink: RunSink, index: int, key: str) -> None:
        sink.save(unit(key), UnitResult([rows[index]], [arrays[index]]), 1.0)

    sink = begin()
    first = runs.find_run(db, "latest").id
    keep(sink, 0, "both")
    keep(sink, 1, "equal-one")
    sink = begin()
    second = next(run.id for run in runs.list_runs(db) if run.id != first)
    sink.adopt([unit("both").key])
    keep(sink, 1, "equal-two")
    keep(sink, 2, "second")
    for run, other in ((first, second), (second, first)):
        assert runs.measurements(db, run, "alignment", also=other) == [rows[0]]
        assert [a.name for a in runs.artifacts(db, run, "alignment", also=other)] == ["of-0"]
        measured = runs.measurements(db, run, "alignment", {"metric": ("read",)}, also=other)
        assert measured == []
    assert len(runs.measurements(db, second, "alignment", also=second)) == 3


def test_an_edition_is_another_once_there_are_other_results(
    db: Database, begin: Callable[..., RunSink]
) -> None:
    sink = begin()
    run = runs.find_run(db, "latest").id
    seen = [runs.edition(db, run, "alignment")]

    def changed() -> bool:
        seen.append(runs.edition(db, run, "alignment"))
        return seen[-1] not in seen[:-1]

    sink.save(unit("first"), result(Measurement(metric="write", value=1.0)), 1.0)
    assert changed(), "a unit more"
    sink.save(unit("first"), result(Measurement(metric="read", value=1.0)), 1.0)
    assert changed(), "the same unit with other rows"
    sink.save(unit("other", "tuning_vectors"), result(), 1.0)
    assert not changed(), "another analysis"
    sink.save(unit("second"), result(), 1.0)
    assert changed()
    sink.adopt([unit("second").key])
    assert changed(), "a unit less"
