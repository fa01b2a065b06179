"""The database answers a Query as `Query.matches` would."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core.measurement import COORDINATES, Measurement
from core.study import Study
from core.views import Query
from storage import runs
from storage.database import Database, open_database
from storage.sink import RunSink
from tests.storage.conftest import STUDY, result, unit

METRICS = st.sampled_from(["write", "read", "wri'te", "%"])
MODELS = st.sampled_from(["", "medical", "maths", "a_b", "a%b"])
MODULES = st.sampled_from(["", "q", "mlp", "all"])
PLACES = st.sampled_from([None, None, 0, 1, 7])

ROWS = st.lists(
    st.builds(
        Measurement,
        metric=METRICS,
        value=st.none() | st.floats(allow_nan=False),
        model=MODELS,
        reference=MODELS,
        layer=PLACES,
        module=MODULES,
        expert=PLACES,
        head=PLACES,
        setting=st.sampled_from(["", "", "vs-parent"]),
        n=st.none() | st.integers(0, 2**62),
    ),
    max_size=40,
    unique_by=lambda row: tuple(getattr(row, name) for name in COORDINATES[1:]),
)
QUERIES = st.builds(
    Query,
    metrics=st.lists(METRICS, max_size=3).map(tuple),
    layers=st.sampled_from(["each", "none", 0, 1, 7, -1]),
    models=st.none() | st.lists(MODELS, max_size=3).map(tuple),
    modules=st.none() | st.lists(MODULES, max_size=3).map(tuple),
)


def _stored(db: Database, rows: list[Measurement], study: Study = STUDY) -> str:
    run_id = runs.create_run(db, study, ["alignment"])
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    half = len(rows) // 2
    sink.save(unit("first"), result(*rows[:half]), 1.0)
    sink.save(unit("second"), result(*rows[half:]), 1.0)
    sink.save(unit("other", "tuning_vectors"), result(*rows), 1.0)
    return run_id


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, queries=st.lists(QUERIES, min_size=1, max_size=6))
def test_sql_agrees_with_matches(rows: list[Measurement], queries: list[Query]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(open_database(str(Path(folder) / "x.db"))) as db,
    ):
        run_id = _stored(db, rows)
        assert set(runs.measurements(db, run_id, "alignment")) == set(rows)
        for query in queries:
            found = runs.measurements(db, run_id, "alignment", query)
            assert sorted(map(repr, found)) == sorted(repr(r) for r in rows if query.matches(r))


def test_a_catalogue_is_of_what_was_measured(db: Database, study: Study) -> None:
    plain = [
        Measurement(metric="write", value=1.0, model=model, layer=layer, module=module)
        for model in ("medical", "maths") for layer in (None, 3, 1) for module in ("q", "mlp")
    ]  # fmt: skip
    apart = [
        Measurement(metric="write", value=1.0, model="medical", layer=9, module="o", head=2),
        Measurement(metric="write", value=1.0, model="medical", layer=9, module="o", expert=2),
        Measurement(metric="write", value=1.0, model="medical", layer=9, module="o", setting="s"),
    ]
    found = runs.catalogue(db, _stored(db, plain + apart), "alignment")
    assert found.models == ("medical", "maths", "again")
    assert found.controls == {"again"}
    assert found.layers == (1, 3)
    assert found.modules == ("mlp", "q")
    assert found.settings == {"s"}


def test_a_run_sees_only_its_own(db: Database, begin: Callable[..., RunSink]) -> None:
    _stored(db, [Measurement(metric="write", value=1.0)])
    begin()
    latest = runs.find_run(db, "latest").id
    assert runs.measurements(db, latest, "alignment") == []
    assert runs.durations(db, latest) == {}
