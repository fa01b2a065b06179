"""Requests to the bench's worker, and the answer to the newest one. No caller waits.

Owns the order of requests: only the newest unsent request is sent, and answers to older requests
are dropped. Knows no screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

from app.tui.bench.link import Connect, Link, WorkerState
from core.bench.messages import Done, Event, Failed, Request
from core.errors import RunError, StudyError, TauscopeError

State = Literal["starting", "loading", "ready", "busy", "ended", "stopped"]


class Conversation:
    """One worker, from its start to its end; `run` may be called again after the end."""

    def __init__(
        self,
        connect: Connect,
        heard: Callable[[Request, Event], None],
        changed: Callable[[], None],
    ) -> None:
        """`heard`: called with the newest request and an event of it; `changed`: with a new
        state."""
        self._connect, self._heard, self._changed = connect, heard, changed
        self._link: Link | None = None
        self._waiting: Request | None = None
        self._asked: Request | None = None
        self._floor = self._highest = 0
        self._orders: list[Literal["cancel", "stop"]] = []
        self._wake = asyncio.Event()
        self.state: State = "starting"
        self.step = ""
        self.held: Mapping[str, int] = {}
        self.layers: int | None = None
        self.error: TauscopeError | OSError | None = None

    @property
    def runs(self) -> bool:
        """Is there a worker, or does one start?"""
        return self.state not in ("ended", "stopped")

    @property
    def due(self) -> bool:
        """Is a request still unanswered?"""
        return self._asked is not None and self.runs

    @property
    def stopping(self) -> bool:
        """Was the worker asked to end, which it still has to do?"""
        return self.runs and "stop" in self._orders

    def ask(self, request: Request) -> None:
        """Ask this in place of the request before."""
        self._waiting = self._asked = request
        self._floor = self._highest
        self._wake.set()
        self._changed()

    def cancel(self) -> None:
        """Cancel the request in hand."""
        self._order("cancel")

    def stop(self) -> None:
        """End the worker; one that starts ends once it is there."""
        self._order("stop")
        self._changed()

    def begin(self) -> None:
        """Forget the worker that ended; `run` follows."""
        self.step, self.held, self.error = "", {}, None
        self._say("starting")

    async def run(self) -> None:
        """Connect, and talk until the worker ends. If this is cancelled, the worker goes on."""
        try:
            if self._link is None:
                self._link = await self._connect()
            else:
                await self._link.reconnect()
            sending = asyncio.ensure_future(self._sending(self._link))
            try:
                self._stand(self._link.hello)
                await self._listening(self._link)
                raise RunError("The bench's worker has ended.")
            finally:
                sending.cancel()
        except (TauscopeError, OSError) as error:
            self.error = error
            self._say("stopped" if "stop" in self._orders else "ended")
            self._orders.clear()
        except asyncio.CancelledError:
            if self._link is not None:
                with suppress(OSError):
                    await self._link.close()
            raise

    async def _listening(self, link: Link) -> None:
        async for number, event in link:
            if number == 0:
                self._stand(event)
                continue
            self._highest = max(self._highest, number)
            asked = self._asked
            if number <= self._floor or self._waiting is not None or asked is None:
                continue
            if isinstance(event, Done | Failed):
                self._asked = None
            self._heard(asked, event)

    async def _sending(self, link: Link) -> None:
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            with suppress(TauscopeError, OSError):  # `_listening` reports the end
                request, self._waiting = self._waiting, None
                if request is not None:
                    await self._send(link, request)
                for order in list(self._orders):
                    if order == "stop":
                        await link.stop_worker()
                    else:
                        self._orders.remove(order)
                        await link.cancel(self._highest)

    async def _send(self, link: Link, request: Request) -> None:
        try:
            number = await link.send(request)
        except StudyError as error:  # it is too long, so no answer will come
            if self._waiting is None:
                self._asked = None
                self._heard(request, Failed(title=error.title, hint=error.hint))
            return
        self._highest = max(self._highest, number)
        if self._waiting is not None:  # a newer one came meanwhile
            self._floor = number

    def _order(self, order: Literal["cancel", "stop"]) -> None:
        if order not in self._orders:
            self._orders.append(order)
        self._wake.set()

    def _stand(self, worker: WorkerState) -> None:
        self.step, self.held, self.layers = worker.step, worker.held, worker.layers
        self._say(worker.state)

    def _say(self, state: State) -> None:
        self.state = state
        if state != "loading":
            self.step = "" if state != "starting" else self.step
        self._changed()
