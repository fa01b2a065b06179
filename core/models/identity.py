"""The identity of a model's weights: a hash of the contents of its files.

Owns the hashing of tensors, with threads and in bounded memory, and the rules for caching a file's
hash. Knows no file format: a reader gives a tensor's bytes. Knows no database: the caller passes
the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import xxhash

from core.errors import CheckpointError

SMALL = 64 * 2**20
"""Plain checkpoints up to this many bytes of floating-point tensors keep the sha256 of the first
versions, so the units of old databases stay valid."""

BLOCK = 2**18
"""Bytes hashed at once. They fit a core's cache. Every hash depends on this number."""

RACY = 2.0
"""Seconds. A younger file may change again without a new time, since file systems have coarse
clocks."""

_LOOK = 0.2  # seconds between two checks of the stop flag
_DIGEST = 16  # bytes of an xxh3-128
_MODULUS = 2**256
_HASH = re.compile("[0-9a-f]{64}")
_FLOATS = {"F64": "torch.float64", "F32": "torch.float32", "F16": "torch.float16",
           "BF16": "torch.bfloat16"}  # fmt: skip
_INTEGERS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
_PACKED = (".qweight", ".weight_scale_inv", ".SCB")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's metadata in the file system. Times are nanoseconds since the epoch.

    `path` is resolved. `changed` is also updated when a program sets `modified` back.
    """

    path: str
    device: int
    inode: int
    size: int
    modified: int
    changed: int

    def fits(self, status: os.stat_result) -> bool:
        """Does a file of this status hold the same bytes, by its size and the time it was written?

        Some network file systems number an inode anew at each look.
        """
        return (self.size, self.modified) == (status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Content:
    """A stored tensor as bytes. `dtype` is safetensors' name.

    `read(start, stop, scratch)` gives the bytes start:stop, in `scratch` (of BLOCK bytes) or
    elsewhere. It is thread-safe.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    read: Callable[[int, int, memoryview], memoryview]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file and its tensors, in the file's order. `stamp` was taken before opening it."""

    file: Path
    stamp: Stamp
    contents: Sequence[Content]


class IdentityMemory(Protocol):
    """A cache of the hashes of files."""

    def recall(self, stamp: Stamp) -> str | None:
        """The hash of the file with exactly this stamp; None if it is unknown."""

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Store a file's hash in place of older ones. Does nothing if it can't write."""


class _Process:
    """Hashes in memory, for the object's lifetime."""

    def __init__(self) -> None:
        self._known: dict[Stamp, str] = {}

    def recall(self, stamp: Stamp) -> str | None:
        return self._known.get(stamp)

    def remember(self, stamp: Stamp, identity: str) -> None:
        self._known[stamp] = identity


@dataclass(slots=True)
class Identities:
    """The settings and the progress of identifying a family's models.

    `say` receives a short sentence about the model that is read; `pause` is called regularly
    meanwhile and may raise. `model` is the name in the sentence. `bytes_read` counts the hashed
    bytes.
    """

    memory: IdentityMemory = field(default_factory=_Process)
    say: Callable[[str], None] = lambda words: None
    pause: Callable[[], None] = lambda: None
    model: str = ""
    bytes_read: int = 0


def stamp_of(file: Path) -> Stamp:
    """The stamp of a file; follows links. Raises CheckpointError."""
    try:
        status = file.stat()
        path = str(file.resolve())
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{file} can't be read: {reason}.") from None
    return Stamp(
        path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def refuse_changed(file: Path, stamp: Stamp) -> None:
    """Raise CheckpointError if a file was written or replaced since its stamp was taken. A file
    that is gone passes: its reader may hold it open."""
    try:
        status = file.stat()
    except OSError:
        return
    if not stamp.fits(status):
        raise changed(file)


def changed(file: Path) -> CheckpointError:
    """The error for a file that another program writes."""
    return CheckpointError(
        f"{file} was changed while it was read.",
        hint="Wait until the program that writes it has ended, then start again.",
    )


def fingerprint(
    settings: str, sources: Sequence[WeightFile], identities: Identities, *, quantised: bool = False
) -> str:
    """The hash, 64 hexadecimal digits, of a checkpoint's settings and tensors: their names, dtypes,
    shapes and bytes, regardless of the distribution over files.

    `settings` is the configuration as canonical text. Raises CheckpointError if a file can't be
    read or changes meanwhile. Errors of `identities.pause` pass through.
    """
    contents = [content for source in sources for content in source.contents]
    if not quantised and _is_plain(contents) and _floating(contents) <= SMALL:
        digest = _first_form(settings, contents, identities)
        for source in sources:
            _check_unchanged(source)
        return digest
    total = sum(_identity(source, identities) for source in sources) % _MODULUS
    text = json.dumps(["whole content", settings, f"{total:064x}"])
    return hashlib.sha256(text.encode()).hexdigest()


def _floating(contents: Sequence[Content]) -> int:
    return sum(content.nbytes for content in contents if content.dtype in _FLOATS)


def _is_plain(contents: Sequence[Content]) -> bool:
    """Are the weights floats? Integers beside float weights are masks and positions."""
    return all(
        content.dtype in _FLOATS
        or (content.dtype in _INTEGERS and not content.name.endswith(_PACKED))
        for content in contents
    )


def _first_form(settings: str, contents: Sequence[Content], identities: Identities) -> str:
    """A sha256 over the floating-point tensors. It must not change, since databases store it."""
    digest = hashlib.sha256(settings.encode())
    scratch = memoryview(bytearray(BLOCK))
    for content in sorted(contents, key=lambda c: c.name):
        if content.dtype not in _FLOATS:
            continue
        digest.update(f"{content.name} {_FLOATS[content.dtype]} {content.shape}".encode())
        for start, stop in _blocks(content):
            digest.update(content.read(start, stop, scratch))
        identities.bytes_read += content.nbytes
    return digest.hexdigest()


def _identity(source: WeightFile, identities: Identities) -> int:
    """The sum of the hashes of a file's tensors. It is independent of the distribution over
    files."""
    known = identities.memory.recall(source.stamp)
    if known is not None and _HASH.fullmatch(str(known)):  # a database may be damaged
        _check_unchanged(source)
        return int(known, 16)
    settled = time.time() - source.stamp.modified / 1e9 > RACY
    identities.say(f"identifying {identities.model or source.file.name}")
    digests = _hashed(source.contents, identities.pause)
    identities.bytes_read += sum(content.nbytes for content in source.contents)
    _check_unchanged(source)
    total = sum(map(_tensor, source.contents, digests)) % _MODULUS
    if settled:
        identities.memory.remember(source.stamp, f"{total:064x}")
    return total


def _tensor(content: Content, digests: bytes) -> int:
    """The hash of a tensor's name, dtype, shape and block hashes."""
    about = json.dumps([content.name, content.dtype, content.shape]).encode()
    return int.from_bytes(hashlib.sha256(about + b"\n" + digests).digest(), "big")


def _hashed(contents: Sequence[Content], pause: Callable[[], None]) -> list[bytes]:
    """For each tensor the concatenated xxh3-128 hashes of its blocks."""
    digests = [bytearray(_DIGEST * -(-content.nbytes // BLOCK)) for content in contents]
    waiting = ((i, *ends) for i, content in enumerate(contents) for ends in _blocks(content))
    lock, stop = threading.Lock(), threading.Event()

    def work() -> None:
        scratch = memoryview(bytearray(BLOCK))
        try:
            while not stop.is_set():
                with lock:
                    block = next(waiting, None)
                if block is None:
                    return
                i, start, end = block
                digest = xxhash.xxh3_128_digest(contents[i].read(start, end, scratch))
                offset = start // BLOCK * _DIGEST
                digests[i][offset : offset + _DIGEST] = digest
        finally:
            stop.set()  # all blocks are done, or a thread failed

    threads = max(1, min(8, os.cpu_count() or 1))
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(work) for _ in range(threads)]
        try:
            while wait(running, timeout=_LOOK).not_done:
                pause()
        finally:
            stop.set()
    for each in running:
        each.result()
    return [bytes(digest) for digest in digests]


def _blocks(content: Content) -> Iterator[tuple[int, int]]:
    for start in range(0, content.nbytes, BLOCK):
        yield start, min(start + BLOCK, content.nbytes)


def _check_unchanged(source: WeightFile) -> None:
    if stamp_of(source.file) != source.stamp:
        raise changed(source.file)
