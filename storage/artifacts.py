"""Arrays in files beside the database, each named after its hash.

Owns the files; results.py and sink.py own the rows that point to them. A file is whole or absent:
it is written under another name, flushed to the disk, and renamed.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import sizes
from core.engine import forms
from core.errors import ResultError, StorageError, reason
from core.files.partial import placed
from storage.access import Access

_DIGEST = re.compile("[0-9a-f]{64}")

_AGAIN = "Compute it again with 'tauscope run STUDY.toml --fresh'."
_LARGEST = 4 << 30
"""Most bytes of the arrays of one artifact, since a small file can claim any size."""

UNREADABLE = (
    ValueError, KeyError, TypeError, OSError, EOFError, MemoryError, zipfile.BadZipFile,
    zlib.error, NotImplementedError, RuntimeError, RecursionError, SyntaxError,
)  # fmt: skip
"""What numpy and zipfile raise where bytes are no arrays."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The path of stored arrays, relative to the folder of artifacts, and their hash."""

    path: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        """Raise StorageError for any path other than the hash's: rows of a foreign database may
        point anywhere."""
        if not _DIGEST.fullmatch(self.sha256):
            raise StorageError(
                f"The database has {self.sha256[:200]!r} as the hash of an artifact.",
                hint="It is not a SHA-256: restore a copy of the database.",
            )
        if self.path != _path(self.sha256):
            raise StorageError(
                f"The database names the artifact {self.path[:200]!r}, which is outside of its "
                "folder of artifacts.",
                hint="Nothing was read or written there. Do not trust this database.",
            )


def write(
    folder: Path, arrays: Mapping[str, NDArray[Any]], access: Access, *, dense: bool = False
) -> StoredFile:
    """Write arrays to the file named after their hash, `dense` ones uncompressed. Equal arrays are
    stored once."""
    content = _packed(arrays, zipfile.ZIP_STORED if dense else zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(content).hexdigest()
    stored = StoredFile(_path(digest), digest, len(content))
    place = folder / stored.path
    try:
        if not is_whole(folder, stored):
            access.make_folder(folder)
            access.make_folder(place.parent)
            with placed(place, mode=0o600, durable=True) as part:
                part.write_bytes(content)
                access.grant(part)
    except OSError as error:
        raise StorageError(
            f"The artifact {place} can't be written: {error.strerror or error}.",
            hint="Free some space or correct the permissions; earlier results are stored.",
        ) from error
    return stored


def is_whole(folder: Path, stored: StoredFile) -> bool:
    """Does the file exist with the right size? A crash of the machine may leave a cut file."""
    try:
        return (folder / stored.path).stat().st_size == stored.bytes
    except FileNotFoundError:
        return False


def content(folder: Path, stored: StoredFile) -> bytes:
    """The bytes of a file, checked against their hash. Raises ResultError."""
    place = folder / stored.path
    altered = ResultError(f"The artifact {place} was altered since it was written.", hint=_AGAIN)
    try:
        status = place.stat()
        # A pipe or a device never ends.
        if not stat.S_ISREG(status.st_mode) or status.st_size != stored.bytes:
            raise altered
        read = place.read_bytes()
    except FileNotFoundError:
        raise ResultError(f"The artifact {place} is missing.", hint=_AGAIN) from None
    except OSError as error:
        raise ResultError(f"The artifact {place} can't be read: {error.strerror}.") from error
    except ValueError:  # a null character
        raise ResultError(f"The artifact {place} is not a file.", hint=_AGAIN) from None
    if hashlib.sha256(read).hexdigest() != stored.sha256:
        raise altered
    return read


def read(folder: Path, stored: StoredFile, name: str = "") -> StoredArrays:
    """The arrays of a file. `name`: the artifact's, which tells their form.

    Raises ResultError if the file has changed, or another program wrote it.
    """
    place = str(folder / stored.path)
    packed = io.BytesIO(content(folder, stored))
    try:
        with zipfile.ZipFile(packed) as entries:
            size = sum(entry.file_size for entry in entries.infolist())
        if size > _LARGEST:
            raise ValueError(f"its arrays take {sizes.size(size)}")
        with np.load(packed, allow_pickle=False) as arrays:
            by_name = dict(arrays)
        if not all(isinstance(array, np.ndarray) for array in by_name.values()):
            raise ValueError("an entry is not an array")
    except UNREADABLE as error:
        why = reason(error, 200)
        raise ResultError(
            f"The artifact {place} has no readable arrays: {why}.", hint=_AGAIN
        ) from None
    try:
        return StoredArrays(place, by_name, forms.sizes(name, by_name))
    except ValueError as error:
        raise ResultError(
            f"The artifact {place} ('{name}') {reason(error)}.", hint=_AGAIN
        ) from None


class StoredArrays(dict[str, NDArray[Any]]):
    """The arrays of a file by name, and the sizes of their axes. Raises ResultError for an array
    that is not there."""

    def __init__(
        self, place: str, arrays: Mapping[str, NDArray[Any]], sizes: Mapping[str, int]
    ) -> None:
        super().__init__(arrays)
        self.place, self.sizes = place, sizes

    def __missing__(self, name: str) -> NDArray[Any]:
        raise ResultError(f"The artifact {self.place} lacks the array '{name}'.", hint=_AGAIN)


def _path(digest: str) -> str:
    return f"{digest[:2]}/{digest}.npz"


def _packed(arrays: Mapping[str, NDArray[Any]], compression: int) -> bytes:
    """The bytes of an .npz file, the same for the same arrays.

    `numpy.savez` takes names as keywords, which excludes the name 'file'.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as packed:
        for name in sorted(arrays):
            # An entry created from a name alone has no timestamp.
            with packed.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(arrays[name]), allow_pickle=False)
    return buffer.getvalue()
