"""The workstation in a browser on the same machine, by way of textual-serve, an optional extra.

Owns the access control: the printed address is required, through the loopback interface, and pages
of other sites are refused. The server itself is app.web.workstation.
"""

from __future__ import annotations

import hmac
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from app.jobs.environment import child_environment, quicken
from core.errors import StudyError

HOST = "127.0.0.1"
Handler = Callable[[Any], Awaitable[Any]]


def serve(db_url: str | None, port: int) -> None:
    """Serve the workstation until it is interrupted; the address is printed.

    Raises StudyError if the extra is not installed or the port is not available.
    """
    server = make(db_url, port, secrets.token_urlsafe(24))
    try:
        with socket.socket() as asked:
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asked.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise StudyError(
            f"Port {port} is not available: {getattr(error, 'strerror', None) or error}.",
            hint="Name another one with --port.",
        ) from None
    os.environ.update(child_environment())
    quicken()
    server.serve()


def make(db_url: str | None, port: int, token: str) -> Any:
    """The server, not yet running. Raises StudyError if textual-serve is not installed."""
    try:
        from aiohttp import web

        from app.web.workstation import Workstation
    except ImportError:
        raise StudyError(
            "Serving the workstation requires the extra 'serve'.",
            hint='Install it: uv tool install "tauscope[serve]", or pipx, or pip.',
        ) from None
    guarded: Any = web.middleware(guard(port, token, web.HTTPForbidden))
    window = [sys.executable, "-P", "-m", "app.web.window", str(os.getpid()), db_url or ""]
    command = shlex.join(window)
    return Workstation(command, HOST, port, token, guarded)


def guard(port: int, token: str, refusal: type[Exception]) -> Callable[[Any, Handler], Any]:
    """A middleware that accepts requests to this exact address, from no other site's page, with the
    token as the first part of the path.

    There is no cookie: a browser would send it to every other port of the machine. Pages may not
    load from other hosts (they would, for a font), and not be in a frame.
    """
    address = f"{HOST}:{port}"
    policy = (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
        f"connect-src 'self' ws://{address}; frame-ancestors 'none'"
    )

    async def through(request: Any, handler: Handler) -> Any:
        brought = request.path.split("/")[1]
        known = hmac.compare_digest(brought.encode(errors="replace"), token.encode())
        origin = request.headers.get("Origin", f"http://{address}")
        if request.host != address or origin != f"http://{address}" or not known:
            raise refusal(text="Open the address that 'tauscope serve' printed.")  # type: ignore[call-arg]
        response = await handler(request)
        if not response.prepared:  # a web socket is already open then
            response.headers["Content-Security-Policy"] = policy
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Frame-Options"] = "DENY"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return through
