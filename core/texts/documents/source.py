"""The kind of a file with documents, recognised by its content, and its reader.

The suffix decides only between kinds of equal content: a line of prose may also be a table's
header. Knows no tokens and no model, and runs no code of a file.
"""

from __future__ import annotations

import gzip
import json
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, NoReturn, cast

from core.errors import ProbeError
from core.texts.documents import tables, values
from core.texts.documents.fields import FIELD, READ, Document, beginning
from core.texts.documents.lines import LONGEST, numbered

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".gz")
"""Suffixes of supported files, in lower case."""

_HEAD = 1 << 16
"""Bytes read to recognise the kind; a longer first line is read whole."""

_FOREIGN = {
    b"PK\x03\x04": "it is a zip archive, as .docx and .xlsx are",
    b"%PDF": "it is a PDF",
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd",
    b"BZh": "it is compressed with bzip2",
    b"\xfd7zXZ": "it is compressed with xz",
    b"\x1f\x8b": "it is compressed twice",
    b"PAR1": "it is Parquet inside a .gz",
    b"ARROW1": "it is an Arrow file",
    b"SQLite format 3": "it is an SQLite database",
}
"""First bytes of unsupported files."""

_TABLES = {".csv": ",", ".tsv": "\t"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PACKED = b"\x1f\x8b"


def read(file: Path, most: int | None = None) -> list[Document]:
    """The first `most` documents of a file, or all. Blank lines of a .txt are skipped.

    Raises ProbeError, naming the file, and the faulty line, row or item if there is one.
    """
    try:
        with _opened(file) as stream:
            head = stream.read(_HEAD) + stream.readline(LONGEST) + stream.read(1)
            stream.seek(0)
            documents = list(islice(_documents(file, stream, head), most))
    except FileNotFoundError:
        raise ProbeError(f"There is no probe file {file}.") from None
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise ProbeError(f"The probe file {file} can't be read: {why}.") from None
    if not documents:
        raise ProbeError(f"The probe file {file} holds no documents.")
    return documents


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed if its content is gzip."""
    mode = file.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        _refuse(file, "it is a pipe or a device")
    with file.open("rb") as stream:
        packed = stream.read(2) == _PACKED
        stream.seek(0)
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if packed else stream


def _documents(file: Path, stream: IO[bytes], head: bytes) -> Iterator[Document]:
    if head.startswith(b"PAR1") and not isinstance(stream, gzip.GzipFile):
        return tables.of_parquet(file)
    _refuse_what_is_no_text(file, head)
    suffix = Path(file.name.lower().removesuffix(".gz")).suffix
    start = head.decode("utf-8-sig", errors="replace").lstrip()
    if not start and len(head) < _HEAD:
        return iter(())
    lines = numbered(file, stream)
    if _begins_json_lines(start):
        return values.of_lines(file, lines)
    if _begins_json(start):
        return values.of_whole(file, stream)
    if suffix in (".jsonl", ".ndjson"):
        return values.of_lines(file, lines)
    if suffix == ".json":
        return values.of_whole(file, stream)
    first = start.split("\n", 1)[0].rstrip("\r")
    delimiter = tables.delimiter(first)
    if suffix in _TABLES or (delimiter and delimiter in first):
        return tables.of_lines(file, lines, delimiter or _TABLES[suffix])
    if suffix != ".txt":
        named = suffix or "a name without a suffix"
        _refuse(file, f"its kind is unknown ({named}); it begins with {beginning(start)}")
    # A line ends at a line feed, as in the other kinds, or at a single carriage return.
    parts = (part for _, line in lines for part in line.rstrip("\r\n").split("\r"))
    return (Document(part) for part in parts if part.strip())


def _refuse_what_is_no_text(file: Path, head: bytes) -> None:
    for sign, words in _FOREIGN.items():
        if head.startswith(sign):
            _refuse(file, words)
    if head.startswith(_UTF16):
        _refuse(file, "it is UTF-16", "Save it as UTF-8: iconv -f UTF-16 -t UTF-8 does that.")
    if b"\0" in head:
        _refuse(file, "it contains NUL bytes, so it is not UTF-8 text")


def _refuse(file: Path, words: str, hint: str = READ) -> NoReturn:
    raise ProbeError(f"The probe file {file} can't be read: {words}.", hint=hint)


def _begins_json_lines(start: str) -> bool:
    """Is the first line an object, either one of several or one with a text?"""
    first, _, more = start.partition("\n")
    try:
        value = json.loads(first) if first.startswith("{") else None
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and (FIELD in value or bool(more.strip()))


def _begins_json(start: str) -> bool:
    """Is it a list that starts with a string or an object, or an object over several lines?"""
    inside = start[1:].lstrip()
    if start.startswith("{"):
        return inside.startswith('"') and (start[1:].lstrip(" \t\r")[:1] == "\n")
    if not (start.startswith("[") and inside.startswith(("{", '"'))):
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(inside)
    except (ValueError, RecursionError):
        return False
    return inside[end:].lstrip()[:1] in (",", "]")
