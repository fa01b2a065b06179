"""Decoded lines of a file with their numbers, within limits of number and length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from core.errors import ProbeError
from core.sizes import size

LONGEST = 1 << 26
"""Most bytes of one line, or of a file that can't be read in parts."""

MOST = 1 << 31
"""Most unpacked bytes to read for the requested documents."""

Lines = Iterator[tuple[int, str]]
"""Lines with their numbers from 1, including line ends."""


def numbered(file: Path, stream: IO[bytes]) -> Lines:
    """The lines, split only at line feeds, since texts may contain U+2028 and the like.

    Raises ProbeError, naming the line, if it is not UTF-8, longer than LONGEST, or beyond MOST.
    """
    number = taken = 0
    while raw := stream.readline(LONGEST + 1):
        number, taken = number + 1, taken + len(raw)
        where = f"{file}, line {number}"
        if len(raw) > LONGEST:
            raise ProbeError(
                f"{where} is longer than {size(LONGEST)}.", hint="Split it into documents."
            )
        if taken > MOST:
            raise ProbeError(
                f"{where}: the first {size(MOST)} contain fewer documents than requested.",
                hint="Lower probe.documents, or use a file with a part of these texts.",
            )
        yield number, decoded(raw, where, first=number == 1)


def decoded(raw: bytes, where: str, *, first: bool) -> str:
    """A line as text, without the byte-order mark of a first one. Raises ProbeError."""
    try:
        return raw.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        sign = f"byte 0x{raw[error.start]:02x} at place {error.start + 1}"
        raise ProbeError(
            f"{where} is not UTF-8: {sign} can't be read.",
            hint="Save the file as UTF-8, for instance with iconv and the file's encoding.",
        ) from None
