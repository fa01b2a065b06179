"""Rows in the order of every export, against a plain sort; and that few are held at a time."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from core.engine.measurement import COLUMNS, Measurement, UnitResult
from storage import runs
from storage.database import Database
from storage.listing import Order, lines
from storage.sink import RunSink
from tests.storage.conftest import unit

Begin = Callable[..., RunSink]
ORDER = Order(
    metrics=["write", "read", "gain"], models=["", "base", "medical", "maths"],
    modules=["", "q", "k", "up", "attention"],
)  # fmt: skip


def _key(row: Measurement) -> tuple[object, ...]:
    """The order, said once more: what is named comes first, what is over all layers last."""

    def place(name: str, names: object) -> int:
        known = list(names)  # type: ignore[call-overload]
        return known.index(name) if name in known else len(known)

    return (
        place(row.metric, ORDER.metrics), row.metric, row.metric_of,
        place(row.model, ORDER.models), place(row.reference, ORDER.models), row.setting,
        row.layer is None, row.layer or 0, place(row.module, ORDER.modules),
        -1 if row.expert is None else row.expert, -1 if row.head is None else row.head,
        row.model, row.reference, row.module, row.task,
    )  # fmt: skip


def _drawn(draw: random.Random) -> Measurement:
    return Measurement(
        metric=draw.choice(["read", "write", "é", "zeta", "Zeta"]), value=None,
        metric_of=draw.choice(["", "acc"]), model=draw.choice(["maths", "medical", "x", "ä"]),
        reference=draw.choice(["", "base", "y"]), layer=draw.choice([None, 0, 2, 10]),
        module=draw.choice(["", "q", "up", "attention", "strange"]),
        expert=draw.choice([None, 0, 3]), head=draw.choice([None, 0, 11]),
        task=draw.choice(["", "a", "B"]), setting=draw.choice(["", "top-1%", "a'b"]),
    )  # fmt: skip


def test_rows_come_as_a_plain_sort_has_them(db: Database, begin: Begin) -> None:
    draw = random.Random(0)
    rows = dict.fromkeys(_drawn(draw) for _ in range(4000))
    begin().save(unit("a"), UnitResult(list(rows)), 1.0)
    run_id = runs.find_run(db, "latest").id
    with lines(db, run_id, "alignment", ORDER) as stream:
        listed = list(stream)
    names = COLUMNS[1:]
    assert listed == [tuple(getattr(r, n) for n in names) for r in sorted(rows, key=_key)]
    with lines(db, run_id, "activation", ORDER) as stream:
        assert not list(stream)


def test_many_rows_are_never_held_together(db: Database, begin: Begin) -> None:
    rows = [Measurement(metric="write", value=i / 7, layer=i) for i in range(40_000)]
    begin().save(unit("a"), UnitResult(rows), 1.0)
    run_id = runs.find_run(db, "latest").id
    with lines(db, run_id, "alignment", ORDER) as stream:
        next(stream)
        tracemalloc.start()
        count = sum(1 for _ in stream)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 39_999
    assert peak < 4e6, "the values alone of 40,000 rows take 20 MB"


def test_a_reader_who_stops_leaves_the_database_free(
    db: Database, begin: Begin, tmp_path: Path
) -> None:
    rows = [Measurement(metric="write", value=1.0, layer=i) for i in range(9000)]
    sink = begin()
    sink.save(unit("a"), UnitResult(rows), 1.0)
    with lines(db, runs.find_run(db, "latest").id, "alignment", ORDER) as stream:
        next(stream)
    sink.save(unit("b"), UnitResult(rows), 1.0)
    assert sink.finished(["a", "b"]) == {"a", "b"}
