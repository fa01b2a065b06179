"""The identity of a model's weights: a hash of everything that its files hold.

Owns how tensors are hashed, over threads and in bounded memory, and when the hash of a file may be
remembered. Knows no file format: a reader says which bytes are a tensor's. Knows no database: the
memory is handed in.
"""

from __future__ import annotations

import hashlib
import json
import os
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
"""A plain checkpoint of at most so many bytes of floating-point tensors keeps the sha256 that the
first versions gave it, so that the units of their databases are found again."""

BLOCK = 2**18
"""Bytes that are hashed at once. They fit a core's own cache; every hash depends on it."""

RACY = 2.0
"""Seconds. A younger file may change again without a new time: file systems count in steps."""

_LOOK = 0.2  # seconds between two looks whether to stop
_DIGEST = 16  # bytes of an xxh3-128
_MODULUS = 2**256
_FLOATS = {"F64": "torch.float64", "F32": "torch.float32", "F16": "torch.float16",
           "BF16": "torch.bfloat16"}  # fmt: skip
_INTEGERS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
_PACKED = (".qweight", ".weight_scale_inv", ".SCB")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file system says of a file without reading it. Times are nanoseconds since the epoch.

    `path` is resolved. `changed` also moves when somebody sets `modified` back.
    """

    path: str
    device: int
    inode: int
    size: int
    modified: int
    changed: int


@dataclass(frozen=True, slots=True)
class Content:
    """A stored tensor as bytes. `dtype` is called as safetensors calls it.

    `read(start, stop, scratch)` gives the bytes start:stop, in `scratch` (of BLOCK bytes) or
    elsewhere. It is safe from several threads.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    read: Callable[[int, int, memoryview], memoryview]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file and the tensors that it holds, in the file's order. `stamp` is from before it was
    opened."""

    file: Path
    stamp: Stamp
    contents: Sequence[Content]


class IdentityMemory(Protocol):
    """Where the hashes of files are remembered."""

    def recall(self, stamp: Stamp) -> str | None:
        """The hash of the file that has exactly this stamp; None where it is unknown."""

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Remember a file's hash, in place of older ones. Does nothing where it can't."""


class _Process:
    """Hashes in memory, as long as the object lives."""

    def __init__(self) -> None:
        self._known: dict[Stamp, str] = {}

    def recall(self, stamp: Stamp) -> str | None:
        return self._known.get(stamp)

    def remember(self, stamp: Stamp, identity: str) -> None:
        self._known[stamp] = identity


@dataclass(slots=True)
class Identities:
    """How the models of a family are identified.

    `say` is told in a few words which model is read; `pause` is called now and then meanwhile and
    may raise. `model` is the name for those words. `bytes_read` counts what was read to identify.
    """

    memory: IdentityMemory = field(default_factory=_Process)
    say: Callable[[str], None] = lambda words: None
    pause: Callable[[], None] = lambda: None
    model: str = ""
    bytes_read: int = 0


def stamp_of(file: Path) -> Stamp:
    """The stamp of a file, through links. Raises CheckpointError."""
    try:
        found = file.stat()
        path = str(file.resolve())
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{file} can't be read: {reason}.") from None
    return Stamp(
        path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )


def fingerprint(
    settings: str, sources: Sequence[WeightFile], identities: Identities, *, quantised: bool = False
) -> str:
    """64 hexadecimal digits that identify a checkpoint by its settings and its tensors: their
    names, dtypes, shapes and bytes, whichever file holds them.

    `settings` is the configuration as canonical text. Raises CheckpointError when a file can't be
    read or is written meanwhile, and what `identities.pause` raises.
    """
    contents = [content for source in sources for content in source.contents]
    if not quantised and _is_plain(contents) and _floating(contents) <= SMALL:
        found = _first_form(settings, contents, identities)
        for source in sources:
            _check_unchanged(source)
        return found
    total = sum(_identity(source, identities) for source in sources) % _MODULUS
    text = json.dumps(["whole content", settings, f"{total:064x}"])
    return hashlib.sha256(text.encode()).hexdigest()


def _floating(contents: Sequence[Content]) -> int:
    return sum(content.nbytes for content in contents if content.dtype in _FLOATS)


def _is_plain(contents: Sequence[Content]) -> bool:
    """Are the weights floats? Integers beside them are then masks and positions."""
    return all(
        content.dtype in _FLOATS
        or (content.dtype in _INTEGERS and not content.name.endswith(_PACKED))
        for content in contents
    )


def _first_form(settings: str, contents: Sequence[Content], identities: Identities) -> str:
    """A sha256 over the floating-point tensors. It must not change: databases hold such keys."""
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
    """The sum of the hashes of a file's tensors: it does not depend on which file holds which."""
    known = identities.memory.recall(source.stamp)
    if known is not None:
        _check_unchanged(source)
        return int(known, 16)
    settled = time.time() - source.stamp.modified / 1e9 > RACY
    identities.say(f"identifying {identities.model or source.file.name}")
    digests = _hashed(source.contents, identities.pause)
    identities.bytes_read += sum(content.nbytes for content in source.contents)
    _check_unchanged(source)
    found = sum(map(_tensor, source.contents, digests)) % _MODULUS
    if settled:
        identities.memory.remember(source.stamp, f"{found:064x}")
    return found


def _tensor(content: Content, digests: bytes) -> int:
    """A tensor's hash: of its name, dtype and shape, and of the hashes of its blocks."""
    about = json.dumps([content.name, content.dtype, content.shape]).encode()
    return int.from_bytes(hashlib.sha256(about + b"\n" + digests).digest(), "big")


def _hashed(contents: Sequence[Content], pause: Callable[[], None]) -> list[bytes]:
    """For each tensor the xxh3-128 of its blocks, one after another."""
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
                at = start // BLOCK * _DIGEST
                digests[i][at : at + _DIGEST] = digest
        finally:
            stop.set()  # nothing is left, or a thread failed

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
        raise CheckpointError(
            f"{source.file} was changed while it was read.",
            hint="Wait until whatever writes it has ended, then start again.",
        )
