"""Parts of a slice in the database: as they were, of one run, and gone with it."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from core.engine.measurement import COLUMNS, TYPES, Measurement, UnitPart, slice_key
from storage import runs
from storage.database import Database, open_database
from storage.schema import PartRow
from storage.sink import RunSink
from tests.killing import die, killed
from tests.storage.conftest import result, unit

Begin = Callable[..., RunSink]
COUNT: Any = np.int64(7)  # what analyses count with
PART = UnitPart(
    [Measurement(metric="write", value=1 / 3, model="ä", layer=0, head=3, n=COUNT)],
    {"curve": np.arange(3, dtype=np.float32), "rows": np.array([np.nan]), "file": np.array(5)},
    [("libraries", "ä number is not defined."), ("medical", "is odd.")],
)

SLICE = slice_key(unit(key) for key in "xyz")


def _count(db: Database) -> int:
    with db.reading() as connection:
        return connection.scalar(select(func.count()).select_from(PartRow)) or 0


def test_a_part_comes_back_as_it_was(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.save_parts("a", {"q": PART}, 2.0)
    sink.save_parts("a", {"k": UnitPart()}, 0.5)
    parts, seconds = sink.parts("a")
    assert seconds == 2.5
    assert parts.keys() == {"q", "k"}
    assert parts["q"].rows == PART.rows
    assert (parts["q"].warnings, parts["k"].warnings) == (PART.warnings, [])
    for name, array in PART.arrays.items():
        assert parts["q"].arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(parts["q"].arrays[name], array)
    assert sink.parts("another") == ({}, 0.0)
    assert begin().parts("a") == ({}, 0.0), "another run's"


def test_rows_lie_in_the_order_of_the_columns(db: Database, begin: Begin) -> None:
    """Versions that end a run of another one read its parts by the place of their values."""
    begin().save_parts("a", {"q": PART}, 1.0)
    with db.reading() as connection:
        content = connection.scalar(select(PartRow.content)) or b""
    with np.load(io.BytesIO(content)) as file:
        rows = json.loads(file["rows"].tobytes())
    assert rows == [[getattr(PART.rows[0], name) for name in COLUMNS[1:]]]


def test_parts_go_with_the_units_of_their_slice(db: Database, begin: Begin) -> None:
    sink, other = begin(), begin()
    for each in (sink, other):
        each.save_parts(SLICE, {"q": PART}, 1.0)
        each.save_parts("in another worker's hands", {"q": PART}, 1.0)
    sink.save_slice([(unit(key), result(), 1.0) for key in "xyz"])
    assert sink.finished("xyz") == {"x", "y", "z"}
    assert not sink.parts(SLICE)[0]
    assert sink.parts("in another worker's hands")[0].keys() == {"q"}
    assert _count(db) == 3


@pytest.mark.skipif(os.name != "posix", reason="processes are forked")
def test_a_kill_while_a_slice_is_saved_keeps_its_parts(db: Database, begin: Begin) -> None:
    begin().save_parts(SLICE, {"q": PART}, 1.0)
    run_id = runs.find_run(db, "latest").id

    def save() -> None:
        sink = RunSink(open_database(db.url), run_id, 1)
        keep, saved = sink._keep, []

        def keep_and_die(*given: Any) -> None:
            keep(*given)
            saved.append(given)
            if len(saved) == 2:
                die()

        pytest.MonkeyPatch().setattr(sink, "_keep", keep_and_die)
        sink.save_slice([(unit(key), result(), 1.0) for key in "xyz"])

    assert killed(save)
    assert _count(db) == 1
    sink = RunSink(db, run_id, 1)
    assert sink.finished("xyz") == set()
    sink.save_slice([(unit(key), result(), 1.0) for key in "xyz"])
    assert sink.finished("xyz") == {"x", "y", "z"}
    assert _count(db) == 0


def test_parts_go_with_their_run(db: Database, begin: Begin) -> None:
    for end in ("failed", "done"):
        sink = begin()
        sink.save_parts("a", {"q": PART}, 1.0)
        run_id = runs.find_run(db, "latest").id
        runs.finish(db, run_id, 1, end)
        assert _count(db) == (end == "failed"), "a run that failed goes on with them"
        runs.delete_run(db, run_id)
        assert _count(db) == 0


def test_a_part_that_can_not_be_read_is_made_again(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.save_parts("a", {"q": PART, "k": PART}, 1.0)
    (whole,) = {bytes(c) for c in _values(db, PartRow.content)}
    corrupt = bytearray(whole)
    corrupt[-200:-100] = bytes(100)
    rows = ["[" * 100_000 + "]" * 100_000, "{", "[1]", "[[]]", "3", "null", '[{"metric": "x"}]']
    spoilt: list[dict[str, Any]] = [
        *({"content": c} for c in (b"", b"PK\x03\x04 half", b"\x93NUMPY", bytes(corrupt), "x")),
        *({"content": _with_rows(text.encode())} for text in rows),
        *({"content": _with_rows(_row(**{name: value})), } for name, value in
          (("value", "high"), ("metric", None), ("layer", 1.5), ("model", 3), ("n", []))),
        *({"content": whole, "seconds": s} for s in ("x", math.inf, -1.0, b"1")),
    ]  # fmt: skip
    for values in spoilt:
        with closing(sqlite3.connect(db.path)) as connection, connection:
            assignments = ", ".join(f"{name} = ?" for name in values)
            connection.execute(
                f"UPDATE parts SET {assignments} WHERE step = 'k'", (*values.values(),)
            )
        parts, seconds = sink.parts("a")
        assert parts.keys() == {"q"}, values
        assert seconds == 0.5


def _values(db: Database, column: Any) -> list[Any]:
    with db.reading() as connection:
        return list(connection.scalars(select(column)))


def _with_rows(text: bytes) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, rows=np.frombuffer(text, np.uint8))
    return buffer.getvalue()


def _row(**changed: Any) -> bytes:
    row = {**dataclasses.asdict(Measurement(metric="write", value=1.0)), **changed}
    return json.dumps([[row[name] for name in TYPES]]).encode()
