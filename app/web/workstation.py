"""The server of the workstation in a browser. Imports textual-serve, which is an optional extra.

Owns its startup message, and the lifecycle of its windows, each a separate process on the same
database. The middleware `door` decides on access.
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
"""Columns and rows of a window: default, minimum and maximum. A page may request any number."""

GRACE = 5
"""Seconds for windows to close at the server's end."""


class Workstation(Server):
    """A server with access control, and windows that close with it."""

    def __init__(self, command: str, host: str, port: int, token: str, door: Any) -> None:
        """`command` starts a window; `door` is a middleware that accepts requests."""
        super().__init__(command, host=host, port=port, title="tauscope")
        self._token = token
        self._door = door
        self._windows: set[asyncio.Task[Any]] = set()

    async def _make_app(self) -> web.Application:
        """The application, with all routes below the token."""
        whole = web.Application(middlewares=[self._door])
        whole.add_subapp(f"/{self._token}", await super()._make_app())
        return whole

    async def on_startup(self, app: web.Application) -> None:
        """Print the address instead of the library's messages."""
        print(f"http://{self.host}:{self.port}/{self._token}/", flush=True)
        there = f"{_user()}@{socket.gethostname()}"
        say(f"from another machine, first: ssh -L {self.port}:{self.host}:{self.port} {there}")
        say("anyone with this address has your permissions here; ctrl+c stops the server")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one window until it closes."""
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
        """Close the windows and wait for the end of their processes."""
        for window in self._windows:
            window.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self._windows or psutil.Process().children():
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)  # lets the loop process the last one

    def initialize_logging(self) -> None:
        """Log nothing: requests contain the token."""


def _user() -> str:
    """The user's name, or USER in a container where the user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Python before 3.13 raises KeyError
        return "USER"


def _within(asked: Any, default: int, least: int, most: int) -> int:
    """A size limited to the allowed range; the default if it is not a number."""
    try:
        return max(least, min(most, int(asked)))
    except (TypeError, ValueError, OverflowError):
        return default
