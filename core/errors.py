"""Every error that tauscope raises on purpose. Owns the tree; knows no exit codes or screens.

TauscopeError
├── StudyError          the study file or a parameter is wrong
├── InputError          something that the study points to can't be used
│   ├── CheckpointError     a model's files can't be read, or are damaged
│   ├── FamilyError         models that can't be compared
│   ├── ProbeError          a probe set can't be read
│   └── TaskError           an evaluation task can't be read
├── StorageError        the database or an artifact can't be used
│   ├── BusyError           another process has been writing to the database for too long
│   └── ResultError         a stored result of one unit is missing or damaged
├── RunError            a run failed, or its state does not allow the request
└── Cancelled           the user asked for it to stop
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LONGEST = 1500
"""The most characters of a title or a hint."""

_OUT_OF_MEMORY = (
    "out of memory",  # allocators of torch, and CUDA itself
    "can't allocate memory",  # torch on the host
    "not enough memory",  # torch on a host with Windows
    "status_alloc_failed",  # cuBLAS, cuSOLVER, cuSPARSE, cuDNN
    "cublascreate(handle)",  # cuBLAS and cuSOLVER that find no room to start on a card
    "cusolverdncreate(handle)",
    "cudnn_status_not_supported",  # cuDNN without a working space that is small enough
)


class TauscopeError(Exception):
    """The fault and its file (`title`), and a remedy (`hint`).

    Both are plain text: whoever shows them escapes them for the medium. They may quote values of
    files, which are of any length: no one reads more than `LONGEST` characters.
    """

    def __init__(self, title: str, *, hint: str = "") -> None:
        self.title, self.hint = _shortened(title), _shortened(hint)
        super().__init__(self.title)


class StudyError(TauscopeError):
    """The study file or a parameter is wrong."""


class InputError(TauscopeError):
    """Something that the study points to can't be used."""


class CheckpointError(InputError):
    """A model's files can't be read, or are damaged."""


class FamilyError(InputError):
    """Models that can't be compared."""


class ProbeError(InputError):
    """A probe set can't be read."""


class TaskError(InputError):
    """An evaluation task can't be read."""


class StorageError(TauscopeError):
    """The database or an artifact can't be used."""


class BusyError(StorageError):
    """Another process has been writing to the database for too long."""


class ResultError(StorageError):
    """A stored result of one unit is missing or damaged; all others can be used."""


class RunError(TauscopeError):
    """A run failed, or its state does not allow the request."""


class Cancelled(TauscopeError):  # noqa: N818 - an outcome, not a fault
    """The user asked for it to stop."""


@contextmanager
def item_of(name: str, place: int) -> Iterator[None]:
    """Prefix StudyErrors of the block with one item of a list: `points[3]: …`."""
    try:
        yield
    except StudyError as error:
        raise StudyError(f"{name}[{place}]: {error.title}", hint=error.hint) from None


def reason(error: BaseException, longest: int = 400) -> str:
    """A library error's message in one line; its type if the message is empty.

    A KeyError's bare key is reported as a missing key.
    """
    words = " ".join(str(error).split())
    if isinstance(error, KeyError):
        words = f"there is no {words}" if words else ""
    words = words or type(error).__name__
    return words if len(words) <= longest else f"{words[:longest]}…"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def of_the_system(error: BaseException) -> str:
    """A sentence, with the file, about an error of the system (a full disk, an unreadable file,
    lack of memory on the host or a card); empty for any other error."""
    if isinstance(error, MemoryError):
        return "There is not enough memory."
    if out_of_memory(error):
        return f"Out of memory: {reason(error)}"
    if not isinstance(error, OSError) or not error.strerror:
        return ""
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."


def out_of_memory(error: BaseException) -> bool:
    """Does an error say that the memory of the host or of a card ran out?

    torch, CUDA and its libraries each word it in their own way, most as a plain RuntimeError.
    """
    words = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(form in words for form in _OUT_OF_MEMORY)
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known word; all of them if none is near."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known: {', '.join(options)}." if options else ""
