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

from app.narration import say

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
        made = await super()._make_app()
        made.middlewares.append(self._door)
        return made

    async def on_startup(self, app: web.Application) -> None:
        """Say where it is, and nothing of the library's own."""
        print(f"http://{self.host}:{self.port}/?token={self._token}", flush=True)
        there = f"{getpass.getuser()}@{socket.gethostname()}"
        say(f"from another machine, first: ssh -L {self.port}:{self.host}:{self.port} {there}")
        say("whoever has this address can do what you can do here; ctrl+c ends it")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A window, for as long as it is open."""
        window = asyncio.current_task()
        assert window is not None
        self._windows.add(window)
        try:
            return await super().handle_websocket(request)
        finally:
            self._windows.discard(window)

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
