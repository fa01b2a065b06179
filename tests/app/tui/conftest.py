"""A database with runs in every state, filled through storage with numbers that mean nothing."""

from __future__ import annotations

import contextlib
import math
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual._context import active_app
from textual.pilot import Pilot

from core.engine import registry
from core.engine.measurement import Measurement, Progress, Unit, UnitResult
from core.figures.views import GROUPS
from core.study.study import Study
from storage.database import Database, open_database
from storage.runs import claim, create_run, finish
from storage.sink import RunSink
from tests.app.tui.rest import rest

WEIGHTS = ("tuning_vectors", "vector_cosine", "alignment")
"""The analyses of these runs: two of one topic, and one of another."""

MODELS = ("instruct", "medical", "maths", "retrained")
LAYERS = 12
MODULES = ("q", "k", "v", "o", "gate", "up", "down")
PAIRED = ("vector_cosine", "interference")
HOSTILE = "[bold red]evil[/] \x1b[31mred\x1b]52;c;ZXZpbA==\x07 \u202eRTL 宽字符" + "x" * 4000


@pytest.fixture(autouse=True)
def _truecolour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(autouse=True)
def _at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, a click and a pause without a length end when the app is at rest.

    Textual waits until the process looks idle, as it also does while others have the processor.
    """

    async def resting(*_: float) -> None:
        await rest(active_app.get())

    async def pressed(self: Pilot[Any], *keys: str) -> None:
        """As Textual's, without asking every widget once more after the last key."""
        await self._app._press_keys(keys)

    monkeypatch.setattr("textual.app.wait_for_idle", resting)
    monkeypatch.setattr("textual.pilot.wait_for_idle", resting)
    monkeypatch.setattr(Pilot, "press", pressed)


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process that measures the host, but where a test is about it."""
    monkeypatch.setattr("app.jobs.gauge.Gauge.start", lambda self: None)


def study(name: str = "domains") -> Study:
    tuned = {
        model: {"path": f"/models/{model}", "role": role}
        for model, role in zip(MODELS, ("tuned", "tuned", "tuned", "control"), strict=True)
    }
    return Study.model_validate({"name": name, "models": {"base": "/models/base", "tuned": tuned}})


def rows(analysis: str) -> list[Measurement]:
    """Synthetic measurements with the metrics and coordinates of an analysis."""
    random_ = random.Random(analysis)
    measured = []
    for spec in registry.get(analysis).metrics:
        for model in MODELS:
            references = [m for m in MODELS if m != model] if analysis in PAIRED else [""]
            for reference in references:
                for layer in (None, *range(LAYERS)):
                    for module in (*MODULES, *GROUPS):
                        value = math.sin(layer or 0) * 0.2 + random_.random()
                        undefined = spec.name == "rank_k" and module in GROUPS
                        measured.append(
                            Measurement(
                                metric=spec.name,
                                value=None if undefined else value,
                                model=model,
                                reference=reference,
                                layer=layer,
                                module=module,
                                n=4096,
                                chance=0.25 if spec.has_chance else None,
                                chance_sd=0.01 if spec.has_chance else None,
                            )
                        )
    return measured


def fill(db: Database, run_id: str, attempt: int) -> None:
    """Save synthetic results of every analysis."""
    sink = RunSink(db, run_id, attempt)
    for name in WEIGHTS:
        sink.save(Unit(key=f"unit-{name}", analysis=name, label=name), UnitResult(rows(name)), 1.0)
    tell(sink)


def tell(sink: RunSink) -> None:
    """Refer a run to the stored results, with a warning and the place where it ran."""
    sink.adopt([f"unit-{name}" for name in WEIGHTS])
    sink.warn("medical", "medical was merged with instruct: they share a part by construction.")
    sink.describe({"device": "cpu", "versions": {"torch": "2.13"}})


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "runs.db"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a failed and a finished run, made once: its rows take most of a second."""
    path = tmp_path_factory.mktemp("ended") / "runs.db"
    with contextlib.closing(open_database(str(path))) as db:
        failed = create_run(db, study("failed-one"), WEIGHTS)
        attempt = claim(db, failed)
        RunSink(db, failed, attempt).progress(Progress(1, 9))
        finish(
            db, failed, attempt, "failed", title="model-2.safetensors ends early.", hint="Get it."
        )
        done = create_run(db, study("finished-one"), WEIGHTS)
        attempt = claim(db, done)
        fill(db, done, attempt)
        RunSink(db, done, attempt).progress(Progress(9, 9))
        finish(db, done, attempt, "done")
    return path


@pytest.fixture
def filled(db: Database, ended: Path) -> Database:
    """A failed run, a finished one, and one that runs now (newest)."""
    with (
        contextlib.closing(sqlite3.connect(ended)) as source,
        contextlib.closing(sqlite3.connect(db.path)) as target,
    ):
        source.backup(target)
    running = create_run(db, study("running-one"), WEIGHTS)
    sink = RunSink(db, running, claim(db, running))
    tell(sink)
    sink.progress(Progress(4, 9, 1, "layer 3"))
    return db
