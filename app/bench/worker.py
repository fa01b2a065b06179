"""The process with the models: it loads them, answers requests, and ends.

Owns the worker's lifetime: its claim on the place, its state, and its end by a client, a signal or
an idle time. The models and their arithmetic are in `core.bench`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from app.bench import loading, places, wire
from app.bench.loading import Models
from app.bench.places import Place, Record
from app.bench.server import Server
from app.bench.turns import Job, Turns
from app.bench.wire import Ended, Hello
from app.jobs.environment import tune
from app.jobs.stopping import STOPPED, stopping_on_signals
from core.bench.messages import Done, Event, Failed
from core.errors import Cancelled, RunError, TauscopeError, of_the_system, reason
from core.study.study import Study
from core.trust import Trust

Say = Callable[[str], None]


Opening = Callable[[Study, Say], contextlib.AbstractContextManager[Models]]
"""Loads the models of a study; calls the function with the step in hand."""


def main(arguments: list[str] | None = None) -> int:
    """The entry point of a detached worker. Its output goes to the log."""
    parser = argparse.ArgumentParser(prog="python -P -m app.bench")
    parser.add_argument("stem", type=Path)
    parser.add_argument("--db", required=True)
    parser.add_argument("--idle", type=float, required=True)
    parser.add_argument("--trust-models", action="store_true")
    given = parser.parse_args(arguments)
    tune()
    place = Place(given.stem)
    return work(place, given.idle, Trust(models=given.trust_models), _opening(given.db))


def work(place: Place, idle: float, trusting: Trust, opening: Opening) -> int:
    """Hold the models of a place's study until the end; returns the exit code.

    Ends at once if another worker has the place.
    """
    _say(f"bench {os.getpid()} starts")
    with places.claimed(place) as mine:
        if not mine:
            _say("another worker serves this study")
            return 0
        try:
            place.last_words.unlink(missing_ok=True)
            return _Worker(place, idle, trusting).run(opening)
        except TauscopeError as error:
            _say(f"{error.title} {error.hint}")
            return 1
        except KeyboardInterrupt:
            return STOPPED
        finally:
            places.remove(place, places.peek(place))


class _Worker:
    def __init__(self, place: Place, idle: float, trusting: Trust) -> None:
        self._study = places.read_study(place, trusting)
        self._place, self._idle = place, idle
        self._turns = Turns()
        self._stop = threading.Event()
        self._why = "It was stopped."
        self._rested = time.monotonic()
        models = ("base", *self._study.models.tuned)
        self._hello = Hello(
            study=self._study.name, models=models, state="loading", pid=os.getpid(), idle=idle
        )

    def run(self, opening: Opening) -> int:
        """From the socket to the last words."""
        # Signals first: a client that finds the record may send one.
        with stopping_on_signals(self._stop, self._turns.wake):
            listening = places.listen(self._place)
            places.write(self._place, self._record(listening))
            with Server(listening, self._turns, self._state, self._asked_to_stop) as server:
                return self._serve(opening, server)

    def _serve(self, opening: Opening, server: Server) -> int:
        try:
            with opening(self._study, self._loading(server)) as models:
                _say("ready")
                self._answer_all(models, server)
                # From here on a new client starts a new worker.
                places.remove(self._place, places.peek(self._place))
        except (Exception, KeyboardInterrupt) as error:
            server.last_words = ended = _ended(error)
            with contextlib.suppress(OSError):
                self._place.last_words.write_bytes(wire.event_line(wire.WORKER, ended))
            places.remove(self._place, places.peek(self._place))
            _say(f"{ended.title} {ended.hint}")
            if isinstance(error, KeyboardInterrupt):
                raise
            return 0 if isinstance(error, Cancelled) else 1
        server.last_words = Ended(title=f"The bench's worker ended. {self._why}")
        _say(self._why)
        return 0

    def _answer_all(self, models: Models, server: Server) -> None:
        self._set(server, state="ready", held=dict(models.held), step="", layers=models.layers)
        self._rested = time.monotonic()
        while not self._stop.is_set():
            left = self._rested + self._idle - time.monotonic()
            if left <= 0:
                self._why = f"It had no request for {self._idle / 60:g} minutes."
                break
            job = self._turns.take(left)
            if job is not None:
                self._set(server, state="busy")
                self._answer(models, job, server)
                self._turns.finish()
                self._rested = time.monotonic()
                self._set(server, state="ready", held=dict(models.held), step="")

    def _answer(self, models: Models, job: Job, server: Server) -> None:
        """Answer a job; its last event is Done or Failed, whatever happens."""
        began = time.monotonic()
        closed = False

        def give(event: Event) -> None:
            nonlocal closed
            closed |= isinstance(event, Done | Failed)
            server.give(job, event)

        def pause() -> None:
            if self._stop.is_set():
                raise Cancelled("The bench's worker was stopped.")
            job.pause()

        try:
            pause()
            models.answer(job.request, give, pause)
            last: Event = Done(seconds=time.monotonic() - began)
        except Cancelled as error:
            last = Failed(title=error.title, cancelled=True)
        except Exception as error:
            ended = _ended(error)
            last = Failed(title=ended.title, hint=ended.hint, kind=ended.kind)
        if not closed:
            server.give(job, last)

    def _loading(self, server: Server) -> Say:
        def say(words: str) -> None:
            if self._stop.is_set():
                raise Cancelled("The bench's worker was stopped while it loaded the models.")
            _say(words)
            self._set(server, step=words)

        return say

    def _set(self, server: Server, **changed: object) -> None:
        self._hello = replace(self._hello, **changed)  # type: ignore[arg-type]
        server.tell()

    def _state(self) -> Hello:
        hello = self._hello
        rested = time.monotonic() - self._rested if hello.state == "ready" else 0.0
        return replace(hello, rested=round(rested, 1))

    def _asked_to_stop(self) -> None:
        self._stop.set()
        self._turns.wake()

    def _record(self, listening: socket.socket) -> Record:
        return Record(
            study=self._study.name,
            key=places.key(self._study),
            host=socket.gethostname(),
            pid=os.getpid(),
            began=psutil.Process().create_time(),
            socket=listening.getsockname(),
            idle=self._idle,
        )


def _ended(error: BaseException) -> Ended:
    """The words for an error; the traceback of an unexpected one goes to the log."""
    if isinstance(error, TauscopeError):
        return Ended.by(error)
    if isinstance(error, KeyboardInterrupt):
        return Ended(title="The bench's worker was ended by a second signal.")
    traceback.print_exception(error)
    words = of_the_system(error) or f"{type(error).__name__}: {reason(error)}"
    return Ended.by(RunError(words, hint="The bench's log has the traceback."))


def _opening(url: str) -> Opening:
    """Loads models with the results of a database, which is read on demand."""

    @contextlib.contextmanager
    def opening(study: Study, say: Say) -> Iterator[Models]:
        from storage.database import open_database

        db = open_database(url, write=None)
        try:
            with loading.loaded(study, db, say) as models:
                yield models
        finally:
            db.close()

    return opening


def _say(words: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}", flush=True)
