"""The header of a GGUF file: its metadata, and the position of its tensors.

Owns the layout of the header (ggml-org, docs/gguf.md), the types of tensors with their block sizes,
and the checks that make later reading safe. Reads no tensor and imports neither torch nor the
package gguf, so that models can be listed without them.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from core.errors import CheckpointError
from core.models import pointers

TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 28: ("F64", 1, 8), 30: ("BF16", 1, 2),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
}  # fmt: skip
"""By number: name, elements of a block, bytes of a block."""

PLAIN = ("F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64")
"""Types without blocks, by their names in safetensors."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_STRING, _ARRAY = 8, 9
_LONGEST = 16 * 2**20  # bytes of one string; the longest chat templates have some tens of thousands
_FEW = 4096  # numbers of an array that is read; longer arrays belong to tokenisers
_MOST = 1_000_000  # tensors, or pairs of key and value
_DIMENSIONS = 4  # ggml has no more


class Tensor(NamedTuple):
    """A tensor in the file: the name of its type, its shape in torch's order, and its bytes `start`
    to `stop`, counted from the beginning of the file."""

    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Length(int):
    """The number of entries of an array that was not read."""


class Header(NamedTuple):
    """The key-value pairs of a file (a Length for long arrays and arrays of strings), and its
    tensors in the file's order."""

    fields: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        """The architecture's name in llama.cpp; empty if the file does not state it."""
        name = self.fields.get("general.architecture")
        return name if isinstance(name, str) else ""

    def of_model(self, key: str) -> Any:
        """A setting of the model, by its key without the architecture; None if it is absent."""
        return self.fields.get(f"{self.architecture}.{key}")


def require_package(file: Path) -> None:
    """Raise CheckpointError if the package that dequantises GGUF is not installed."""
    if importlib.util.find_spec("gguf") is None:
        raise CheckpointError(
            f"{file} is GGUF, which is read with the package 'gguf'. It is not installed.",
            hint='Install it: pip install "tauscope[gguf]".',
        )


def read(file: Path) -> Header:
    """The header of a file. Raises CheckpointError if it contradicts itself or the file's size, or
    has an unsupported version or byte order."""
    pointers.refuse(file)
    try:
        if not file.is_file():
            raise CheckpointError(f"{file} is not a file.")
        size = file.stat().st_size
        with file.open("rb", buffering=2**20) as stream:
            return _Reader(file, stream, size).header()
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error.strerror}.") from None


class _Reader:
    """Reads a header from its beginning. Checks each count against the file's size first."""

    def __init__(self, file: Path, stream: BinaryIO, size: int) -> None:
        self._file = file
        self._stream = stream
        self._size = size

    def header(self) -> Header:
        if self._stream.read(4) != b"GGUF":
            raise CheckpointError(
                f"{self._file} is not a GGUF file: it does not begin with 'GGUF'.",
                hint="Name the file that was converted, or the folder of an unquantised model.",
            )
        self._check_version(self._number("I"))
        tensors, pairs = self._count("tensors"), self._count("settings")
        fields: dict[str, Any] = {}
        for _ in range(pairs):
            key = self._text()
            fields[key] = self._value(self._number("I"))
        entries = [self._entry() for _ in range(tensors)]
        return Header(fields, self._placed(entries, fields.get("general.alignment", 32)))

    def _check_version(self, version: int) -> None:
        if version in (2, 3):
            return
        if version and version & 0xFFFF == 0:
            raise CheckpointError(
                f"{self._file} is GGUF in big-endian byte order, which is not read.",
                hint="Convert it with gguf-py's gguf_convert_endian.",
            )
        raise CheckpointError(
            f"{self._file} is GGUF of version {version}; versions 2 and 3 are read.",
            hint="Convert the model again with a current llama.cpp.",
        )

    def _damaged(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self._file} is truncated or damaged: {why}.",
            hint="Compare its size with the one at its source, and copy it from there.",
        )

    def _bytes(self, count: int) -> bytes:
        content = self._stream.read(count)
        if len(content) < count:
            raise self._damaged("it ends within its header")
        return content

    def _number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self._bytes(struct.calcsize(f"<{form}")))[0]

    def _count(self, of: str) -> int:
        count: int = self._number("Q")
        if count > _MOST:
            raise self._damaged(f"it states {count} {of}")
        return count

    def _skip(self, count: int) -> None:
        if self._stream.tell() + count > self._size:
            raise self._damaged("it ends within its header")
        self._stream.seek(count, 1)

    def _text(self) -> str:
        length = self._number("Q")
        if length > min(_LONGEST, self._size):
            raise self._damaged(f"it states a string of {length} bytes")
        try:
            return self._bytes(length).decode()
        except UnicodeDecodeError:
            raise self._damaged("a string in its header is not UTF-8") from None

    def _value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise self._damaged(f"it has a value of the unknown kind {kind}")
        each, count = self._number("I"), self._number("Q")
        if each == _STRING:
            if count > self._size // 8:
                raise self._damaged(f"it states an array of {count} strings")
            for _ in range(count):
                self._skip(self._number("Q"))
            return Length(count)
        if each not in _SCALARS:
            raise self._damaged(f"it has an array of the kind {each}")
        width = struct.calcsize(f"<{_SCALARS[each]}")
        if count > _FEW:
            self._skip(count * width)
            return Length(count)
        return list(struct.unpack(f"<{count}{_SCALARS[each]}", self._bytes(count * width)))

    def _entry(self) -> tuple[str, int, tuple[int, ...], int]:
        """A tensor's name, type number, shape and offset."""
        name, count = self._text(), self._number("I")
        if not 0 < count <= _DIMENSIONS:
            raise self._damaged(f"the tensor {name} states {count} dimensions")
        shape = tuple(self._number("Q") for _ in range(count))[::-1]
        return name, self._number("I"), shape, self._number("Q")

    def _placed(
        self, entries: list[tuple[str, int, tuple[int, ...], int]], alignment: Any
    ) -> dict[str, Tensor]:
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            raise self._damaged(f"its alignment is {alignment}")
        origin = -(-self._stream.tell() // alignment) * alignment
        placed: dict[str, Tensor] = {}
        for name, number, shape, offset in sorted(entries, key=lambda entry: entry[3]):
            if name in placed:
                raise self._damaged(f"it has two tensors {name}")
            placed[name] = self._tensor(name, number, shape, origin + offset)
        end = origin
        for name, tensor in placed.items():
            if tensor.start < end or tensor.stop > self._size:
                raise self._damaged(f"the tensor {name} exceeds the file")
            end = tensor.stop
        return placed

    def _tensor(self, name: str, number: int, shape: tuple[int, ...], start: int) -> Tensor:
        if number not in TYPES:
            raise CheckpointError(
                f"{self._file}: the tensor {name} is of type {number}, which is not known.",
                hint="Convert the model to another type with llama.cpp.",
            )
        kind, elements, width = TYPES[number]
        if min(shape) <= 0 or shape[-1] % elements:
            raise self._damaged(f"the tensor {name} of type {kind} states the shape {list(shape)}")
        return Tensor(kind, shape, start, start + math.prod(shape) // elements * width)
