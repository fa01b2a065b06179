"""Which units are there, and how long such units took."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from storage import history
from storage.database import Database
from storage.sink import RunSink
from tests.storage.conftest import result, unit


def _told(sink: RunSink, parameters: int, device: str = "cpu") -> RunSink:
    sink.describe({"device": device, "models": {"base": {"parameters": parameters}}})
    return sink


def test_finished_units_are_found_however_many_are_asked_for(
    db: Database, begin: Callable[..., RunSink]
) -> None:
    assert history.finished(db, ["a"]) == set()
    sink = begin()
    for key in ("a", "b"):
        sink.save(unit(key), result(), 1.0)
    asked = ["a", *(f"missing{i}" for i in range(1200)), "b"]
    assert history.finished(db, asked) == {"a", "b"}


def test_the_pace_is_the_mean_over_like_units(db: Database, begin: Callable[..., RunSink]) -> None:
    assert history.pace(db, "alignment", 1000, "cpu") is None
    first = _told(begin(), 1000)
    first.save(unit("a"), result(), 1.0)
    first.save(unit("b"), result(), 2.0)
    first.save(unit("c", "vector_cosine"), result(), 50.0)
    # A run that shares a unit does not make it count twice.
    second = _told(begin(), 1050)
    second.adopt(["a"])
    second.save(unit("d"), result(), 6.0)
    _told(begin(), 2000).save(unit("large"), result(), 100.0)
    _told(begin(), 1000, "cuda").save(unit("fast"), result(), 0.1)
    begin().save(unit("of nothing known"), result(), 1000.0)
    assert history.pace(db, "alignment", 1000, "cpu") == 3.0
    assert history.pace(db, "alignment", 2000, "cpu") == 100.0
    assert history.pace(db, "alignment", 1000, "cuda") == 0.1
    assert history.pace(db, "activation", 1000, "cpu") is None


def test_the_pace_of_one_card_is_not_that_of_another(
    db: Database, begin: Callable[..., RunSink]
) -> None:
    for card, seconds in (("NVIDIA H200", 1.0), ("NVIDIA L4", 9.0)):
        sink = _told(begin(), 1000, "cuda:0")
        sink.describe({"card": card})
        sink.save(unit(card), result(), seconds)
    assert history.pace(db, "alignment", 1000, "NVIDIA H200") == 1.0
    assert history.pace(db, "alignment", 1000, "NVIDIA L4") == 9.0


def test_a_run_with_damaged_provenance_counts_for_nothing(
    db: Database, begin: Callable[..., RunSink]
) -> None:
    for seconds in (1.0, 50.0):
        _told(begin(), 1000).save(unit(f"of {seconds}"), result(), seconds)
    damaged = text("UPDATE runs SET provenance = '{half' WHERE made > 1")
    with db.writing() as connection:
        connection.execute(damaged)
    assert history.pace(db, "alignment", 1000, "cpu") == 1.0
