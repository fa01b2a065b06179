"""Requests of a command to the bench of a study: to its running worker, or else in this process.

Both give the same events: the same engine answers. Owns the choice between them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from app.bench import client, loading, places, wire
from app.bench.client import Client
from app.bench.wire import Hello
from core.bench.messages import Done, Event, Failed, Request
from core.study.study import Study
from storage.database import Database

Give = Callable[[Event], None]
Ask = Callable[[Request, Give], None]
"""Answers a request by events, up to Done. Raises the error of a failed request."""


@contextlib.contextmanager
def line(
    db: Database, study: Study, say: Callable[[str], None], *, idle: float | None = None
) -> Iterator[Ask]:
    """A line to the bench of a study.

    `idle`: start a worker if none runs; it ends after this many seconds without a request. `say`
    reports the step in hand while the models load. Raises InputError, StudyError or RunError.
    """
    if idle is None and places.read(places.of(db.path, study)) is None:
        with loading.loaded(study, db, say) as models:
            yield lambda request, give: models.answer(request, give, lambda: None)
        return
    with asyncio.Runner() as runner:
        connected = runner.run(client.connect(db.path, study, idle=idle))
        try:
            runner.run(_loaded(connected, say))
            yield lambda request, give: runner.run(_exchange(connected, request, give))
        finally:
            runner.run(connected.close())


async def _loaded(connected: Client, say: Callable[[str], None]) -> None:
    """Wait until the worker has loaded the models."""
    while connected.hello.state == "loading":
        if connected.hello.step:
            say(connected.hello.step)
        await anext(connected)


async def _exchange(connected: Client, request: Request, give: Give) -> None:
    number = await connected.send(request)
    async for about, event in connected:
        if about != number or isinstance(event, Hello):
            continue
        if isinstance(event, Failed):
            kind = "Cancelled" if event.cancelled else event.kind
            raise wire.error_of(kind, event.title, event.hint)
        give(event)
        if isinstance(event, Done):
            return
