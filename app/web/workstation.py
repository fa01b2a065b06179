"""The server of the workstation in a browser. Imports textual-serve, which is an optional extra.

Owns what it says when it begins, and its windows, each a process of its own on the same database,
to their end. Who may open one is for the door that it is given to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import socket
from typing import Any

import psutil
from aiohttp import web
from textual_serve.server import Server

from app.console.narration import say

SIZES = {"width": (80, 10, 1000), "height": (24, 4, 500)}
"""Columns and rows of a window: the default, the least and the most. A page asks for any."""

GRACE = 5
"""Seconds for windows to close in when the server ends."""


class Workstation(Server):
    """With a door that only its own address opens, and windows that close with it."""

    def __init__(self, command: str, host: str, port: int, token: str, door: Any) -> None:
        """`command` makes a window; `door` is a middleware that lets requests through."""
        super().__init__(command, host=host, port=port, title="tauscope")
        self._token = token
        self._door = door
        self._windows: set[asyncio.Task[Any]] = set()

    async def _make_app(self) -> web.Application:
        """Everything lies below the token, and nothing beside it."""
        whole = web.Application(middlewares=[self._door])
        whole.add_subapp(f"/{self._token}", await super()._make_app())
        return whole

    async def on_startup(self, app: web.Application) -> None:
        """Say where it is, and nothing of the library's own."""
        print(f"http://{self.host}:{self.port}/{self._token}/", flush=True)
        there = f"{getpass.getuser()}@{socket.gethostname()}"
        say(f"from another machine, first: ssh -L {self.port}:{self.host}:{self.port} {there}")
        say("whoever has this address can do what you can do here; ctrl+c ends it")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A window, for as long as it is open."""
        window = asyncio.current_task()
        assert window is not None
        self._windows.add(window)
        size = {name: _within(request.query.get(name), *SIZES[name]) for name in SIZES}
        try:
            return await super().handle_websocket(
                request.clone(rel_url=request.rel_url.update_query(size))
            )
        finally:
            self._windows.discard(window)

    async def _process_messages(self, websocket: Any, app_service: Any) -> None:
        resize = app_service.set_terminal_size

        async def clamped(width: Any, height: Any) -> None:
            await resize(_within(width, *SIZES["width"]), _within(height, *SIZES["height"]))

        app_service.set_terminal_size = clamped
        await super()._process_messages(websocket, app_service)

    async def on_shutdown(self, app: web.Application) -> None:
        """Close the windows, which would be waited for, and see their processes end."""
        for window in self._windows:
            window.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self._windows or psutil.Process().children():
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)  # for the loop to take note of the last one

    def initialize_logging(self) -> None:
        """No log: requests have the token in them."""


def _within(asked: Any, default: int, least: int, most: int) -> int:
    """A size as a number that a window may have; the default where it is no number."""
    try:
        return max(least, min(most, int(asked)))
    except (TypeError, ValueError, OverflowError):
        return default
