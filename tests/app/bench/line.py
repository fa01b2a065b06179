"""A client of raw lines, which may say anything."""

from __future__ import annotations

import json
import socket
from typing import Any, Self


class Line:
    """A connection to the socket at a path."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(60)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()
        self._socket.close()

    def write(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def generate(self, number: int, text: str, **more: Any) -> None:
        fields = {"do": "generate", "prompt": {"text": text}, "columns": ["base"], **more}
        self.write(json.dumps({"request": number, **fields}).encode() + b"\n")

    def order(self, number: int, order: str) -> None:
        self.write(json.dumps({"request": number, "do": order}).encode() + b"\n")

    def read(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        line = self._lines.readline()
        return json.loads(line) if line else None

    def until(self, *events: str) -> dict[str, Any]:
        """The next line of one of these events."""
        while (message := self.read()) is not None:
            if message["event"] in events:
                return message
        raise AssertionError("the connection ended")
