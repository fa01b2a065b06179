"""Every screen of the workstation, each by the keys that lead to it, over runs that never change.

A new screen is a line in SCENES. Times, ids and hosts are fixed; words from outside can be
exchanged for others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update
from textual.pilot import Pilot

from app.tui.app import TauscopeApp
from app.tui.widgets.run_preview import RunPreview
from core.engine.measurement import Artifact, Unit, UnitResult
from storage.database import Database, open_database
from storage.runs import claim, create_run, finish
from storage.schema import RunRow
from storage.sink import RunSink
from tests import pretend
from tests.app.hub import card, shelve, write_folder
from tests.app.results.two_runs import other_rows
from tests.app.tui.conftest import MODELS, WEIGHTS, fill, study
from tests.app.tui.display import words
from tests.app.tui.rest import until

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
HOST = "gpu-7"


@dataclass(frozen=True, slots=True)
class Scene:
    """A screen: the keys that lead to it from the list of runs, and whether there are any runs."""

    name: str
    keys: str = ""
    empty: bool = False


SCENES = (
    Scene("runs-empty", empty=True),
    Scene("runs"),
    Scene("runs-marked", "space j"),
    Scene("runs-filter", "slash l o n g"),
    Scene("start", "o"),
    Scene("start-trouble", "o n o slash e enter"),
    Scene("library", "L"),
    Scene("library-marked", "L space j space"),
    Scene("library-empty", "L slash x x"),
    Scene("builder", "n"),
    Scene("builder-models", "n enter"),
    Scene("builder-library", "L space j space n"),
    Scene("builder-probe", "L space j space n 2"),
    Scene("builder-tasks", "L space j space n 3"),
    Scene("builder-analyses", "L space j space n 4"),
    Scene("builder-placement", "L space j space n 5"),
    Scene("confirm-delete", "D"),
    Scene("confirm-cancel", "j j c"),
    Scene("help-runs", "question_mark"),
    Scene("overview", "enter"),
    Scene("overview-card", "enter g"),
    Scene("help-overview", "enter question_mark"),
    Scene("curves", "enter 1"),
    Scene("curves-cursor", "enter 1 right right down"),
    Scene("matrix", "enter 1 1"),
    Scene("heatmap", "enter 2 right down"),
    Scene("heatmap-chance", "enter 2 x"),
    Scene("heatmap-zoomed", "enter 2 z"),
    Scene("drilled", "enter 2 enter"),
    Scene("bars", "enter 2 v"),
    Scene("curves-chance", "enter 3 v down"),
    Scene("heatmap-settings", "enter 3 v v"),
    Scene("boxes", "enter 3 v v v"),
    Scene("scatter", "enter 3 v v v v"),
    Scene("grid", "enter 3 v v v v v down"),
    Scene("table", "enter 3 v v v v v v down"),
    Scene("text", "enter 3 v v v v v v v down"),
    Scene("facts", "enter 4"),
    Scene("facts-failed", "j j j j enter 2"),
    Scene("runs-failed", "j j j j"),
    Scene("run-running", "j j enter"),
    Scene("run-queued", "j j j enter"),
    Scene("run-interrupted", "end enter"),
    Scene("filter", "enter 1 slash"),
    Scene("filter-trouble", "enter 1 slash l a y e r colon x"),
    Scene("filtered", "enter 1 slash l a y e r colon 1 enter"),
    Scene("help-run", "enter 2 question_mark"),
    Scene("copy", "enter 2 Y"),
    Scene("export", "enter 2 X"),
    Scene("jump", "enter 2 apostrophe"),
    Scene("palette", "colon"),
    Scene("compare", "space j equals_sign"),
    Scene("compare-difference", "space j equals_sign 1 v v minus"),
)


def plainly(words: str) -> str:
    """Words from outside, as they are."""
    return words


def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it be NOW, with the analysis whose pictures are of every kind, and no blinking."""
    pretend.register(monkeypatch)
    monkeypatch.setattr("textual.widgets.Input._toggle_cursor", lambda self: None)
    monkeypatch.setattr("app.tui.screens.export.FOLDER", "/home/me/tauscope-exports")
    monkeypatch.setattr("app.results.wording.now", lambda: NOW)
    monkeypatch.setattr("storage.runs._now", lambda: NOW)
    numbers = iter(range(1, 99))
    monkeypatch.setattr("secrets.token_hex", lambda size: f"{next(numbers):02x}" * size)


def shelved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a base and two models that were tuned from it in a cache, below where the test is."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "hub")
    for name, text in (
        ("base", ""),
        ("medical", card("org/base")),
        ("chat", card("org/base", relation="finetune")),
    ):
        shelve(Path("hub"), f"org/{name}", write_folder(Path(name), text))


def furnished(folder: Path, word: Callable[[str], str] = plainly) -> Database:
    """A database with a run in every state, the finished ones first; `fixed` comes before."""
    db = open_database(str(folder / "runs.db"))
    for add in (_interrupted, _cancelled, _failed, _queued, _running, _done_again, _done):
        add(db, word)
    return db


def _done(db: Database, word: Callable[[str], str]) -> None:
    run_id, sink = _taken(db, word("domains"), (*WEIGHTS, pretend.NAME))
    fill(db, run_id, 1)
    _keep(sink, "spectra", UnitResult([], list(_spectra())), "alignment")
    rows = [replace(row, task=row.task and word(row.task)) for row in pretend.rows()]
    _keep(sink, "pretended", UnitResult(rows, pretend.arrays()))
    sink.warn(word("medical"), word("medical and instruct share a part by construction."))
    finish(db, run_id, 1, "done")
    _set(db, run_id, ended=5, began=65, done=308, total=308, reused=12)


def _done_again(db: Database, word: Callable[[str], str]) -> None:
    run_id, sink = _taken(db, word("domains-again"), (pretend.NAME,))
    rows = [replace(row, task=row.task and word(row.task)) for row in other_rows()]
    _keep(sink, "pretended-again", UnitResult(rows, pretend.arrays()))
    finish(db, run_id, 1, "done")
    _set(db, run_id, ended=70, began=80, done=40, total=40)


def _running(db: Database, word: Callable[[str], str]) -> None:
    run_id, _ = _taken(db, word("long-one"), WEIGHTS)
    fill(db, run_id, 1)
    label = word("alignment of medical, layer 3")
    expected = NOW.timestamp() + 130 * 60
    _set(db, run_id, began=90, beat=0, done=126, total=308, label=label, expected=expected)


def _queued(db: Database, word: Callable[[str], str]) -> None:
    run_id = create_run(db, study(word("next-one")), WEIGHTS)
    _set(db, run_id, created=95, host="")


def _failed(db: Database, word: Callable[[str], str]) -> None:
    run_id, sink = _taken(db, word("broken-one"), ("alignment",))
    title = word("/models/medical/model-2.safetensors ends before its last tensor.")
    sink.warn("", word("The host has little memory left."))
    finish(db, run_id, 1, "failed", title=title, hint=word("Get the file again."))
    _set(db, run_id, ended=100, began=130, done=17, total=308)


def _cancelled(db: Database, word: Callable[[str], str]) -> None:
    run_id, _ = _taken(db, word("dropped-one"), ("alignment",))
    finish(db, run_id, 1, "cancelled")
    _set(db, run_id, ended=140, began=150, done=100, total=308)


def _interrupted(db: Database, word: Callable[[str], str]) -> None:
    run_id, _ = _taken(db, word("lost-one"), ("tuning_vectors",))
    _set(db, run_id, began=200, beat=160, done=90, total=308)


def _taken(db: Database, name: str, analyses: tuple[str, ...]) -> tuple[str, RunSink]:
    run_id = create_run(db, study(name), analyses)
    sink = RunSink(db, run_id, claim(db, run_id))
    sink.describe({"device": "cuda:0", "versions": {"torch": "2.13"}})
    return run_id, sink


def _keep(sink: RunSink, key: str, result: UnitResult, analysis: str = pretend.NAME) -> None:
    sink.save(Unit(key=key, analysis=analysis, label=key), result, 1.0)


def _spectra() -> list[Artifact]:
    ranks = np.arange(1, 33)
    return [
        Artifact(
            name="alignment_curves",
            model=model,
            layer=layer,
            arrays={
                "q.singular_values": 1 / ranks,
                **{f"q.{key}": ranks / 32 for key in ("write", "read", "two_sided")},
            },
        )
        for model in MODELS
        for layer in range(3)
    ]


def _set(
    db: Database,
    run_id: str,
    *,
    began: int | None = None,
    ended: int | None = None,
    beat: int | None = None,
    created: int | None = None,
    host: str = HOST,
    **values: object,
) -> None:
    """Fix a run's times, in minutes before NOW, and where it ran."""

    def ago(minutes: int | None) -> float | None:
        return None if minutes is None else NOW.timestamp() - 60 * minutes

    times = {"started": ago(began), "finished": ago(ended), "created": ago(created or began)}
    beats = ago(ended if beat is None else beat)
    with db.writing() as connection:
        connection.execute(
            update(RunRow)
            .where(RunRow.id == run_id)
            .values(
                **times,
                heartbeat=beats,
                ticked=None,
                took=None,
                host=host,
                pid=4711 if host else None,
                **values,
            )
        )


async def settled(pilot: Pilot[str | None], app: TauscopeApp) -> None:
    """Wait until nothing is read any more, nor on a screen below a dialog."""

    def still() -> bool:
        previews = [each for screen in app.screen_stack for each in screen.query(RunPreview)]
        return (
            "Reading" not in words(app)
            and not any(each.display and each.reading for each in previews)
            and all(each.is_finished for each in app.workers)
        )

    await until(pilot, still)


async def shown(pilot: Pilot[str | None], app: TauscopeApp, scene: Scene) -> None:
    """Go to a scene from the list of runs."""
    await settled(pilot, app)
    for key in scene.keys.split():
        await pilot.press(key)
        await settled(pilot, app)
