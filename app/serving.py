"""The workstation in a browser on the same machine, by way of textual-serve, an optional extra.

Owns who may open it: whoever has the address that is printed, through the loopback interface, and
no page of another site. Every window is a process of its own on the same database.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hmac
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from app.environment import child_environment
from app.narration import say
from core.errors import StudyError

HOST = "127.0.0.1"
COOKIE = "tauscope"
GRACE = 5
"""Seconds for windows to close in when the server ends."""

PROGRAM = "import sys; from app.tui.app import run; run(sys.argv[1] or None)"

Handler = Callable[[Any], Awaitable[Any]]


def serve(db_url: str | None, port: int) -> None:
    """Serve the workstation until it is interrupted; the address is printed.

    Raises StudyError where the extra is not installed or the port can't be had.
    """
    server = make(db_url, port, secrets.token_urlsafe(24))
    try:
        with socket.socket() as asked:
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asked.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise StudyError(
            f"Port {port} can't be had: {error}.", hint="Name another one with --port."
        ) from None
    os.environ.update(child_environment())
    server.serve()


def make(db_url: str | None, port: int, token: str) -> Any:
    """The server, not yet running. Raises StudyError where textual-serve is not installed."""
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError:
        raise StudyError(
            "Serving the workstation takes the extra 'serve'.",
            hint='Install it: uv tool install "tauscope[serve]", or pipx, or pip.',
        ) from None
    guarded: Any = web.middleware(guard(port, token, web.HTTPForbidden))

    windows: set[asyncio.Task[Any]] = set()

    class Workstation(Server):
        """With a door that only its own address opens, and windows that close with it."""

        async def _make_app(self) -> web.Application:
            made = await super()._make_app()
            made.middlewares.append(guarded)
            return made

        async def on_startup(self, app: web.Application) -> None:
            """Say where it is, and nothing of the library's own."""
            print(f"http://{HOST}:{port}/?token={token}", flush=True)
            there = f"{getpass.getuser()}@{socket.gethostname()}"
            say(f"from another machine, first: ssh -L {port}:{HOST}:{port} {there}")
            say("whoever has this address can do what you can do here; ctrl+c ends it")

        async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
            """A window, for as long as it is open."""
            window = asyncio.current_task()
            assert window is not None
            windows.add(window)
            try:
                return await super().handle_websocket(request)
            finally:
                windows.discard(window)

        async def on_shutdown(self, app: web.Application) -> None:
            """Close the windows, which would be waited for, and see their processes end."""
            for window in windows:
                window.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    while windows or psutil.Process().children():
                        await asyncio.sleep(0.05)
                    await asyncio.sleep(0.05)  # for the loop to take note of the last one

        def initialize_logging(self) -> None:
            """No log: requests have the token in them."""

    command = shlex.join([sys.executable, "-P", "-c", PROGRAM, db_url or ""])
    return Workstation(command, host=HOST, port=port, title="tauscope")


def guard(port: int, token: str, refusal: type[Exception]) -> Callable[[Any, Handler], Any]:
    """What lets a request through: it is for this very address, comes from no other site's page,
    and brings the token, in the address at first and as a cookie from then on.

    Pages may ask nothing of other hosts: they would, for a font.
    """
    own = f"{HOST}:{port}"
    policy = f"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://{own}"

    async def through(request: Any, handler: Handler) -> Any:
        brought = request.query.get("token", "")
        known = any(
            hmac.compare_digest(each.encode(errors="replace"), token.encode())
            for each in (brought, request.cookies.get(_cookie(port), ""))
        )
        origin = request.headers.get("Origin", f"http://{own}")
        if request.host != own or origin != f"http://{own}" or not known:
            raise refusal(text="Open the address that 'tauscope serve' printed.")  # type: ignore[call-arg]
        response = await handler(request)
        if not response.prepared:  # a web socket is under way by then
            response.headers["Content-Security-Policy"] = policy
            response.headers["Referrer-Policy"] = "no-referrer"
            if brought:
                response.set_cookie(_cookie(port), token, httponly=True, samesite="Strict")
        return response

    return through


def _cookie(port: int) -> str:
    """A browser keeps cookies by host, whatever the port."""
    return f"{COOKIE}-{port}"
