"""The files of a bench: record, socket, log and study, in a folder that only this user can open.

Owns their names, the lock that limits a study to one worker on a host, and the removal of a killed
worker's files. Knows no protocol. Imports no database: a caller passes the path.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from core import trust
from core.errors import RunError, StorageError, reason
from core.files.partial import written
from core.study.study import Study

LONGEST = 103
"""The most bytes of a socket's path on every system."""

_PATIENCE = 60.0  # seconds for the lock of a worker that is ending
_ALONE = "socket"  # the name of a socket in a folder of its own
_SAME = 2.0  # seconds between two values of one process's start time


@dataclass(frozen=True, slots=True)
class Record:
    """A worker's record of itself. `began`: the start time of its process. `idle`: it ends after
    this many seconds without a request."""

    study: str
    key: str
    host: str
    pid: int
    began: float
    socket: str
    idle: float

    @property
    def is_alive(self) -> bool:
        """Does its process run? A process of another host counts as alive."""
        if self.host != socket.gethostname():
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.began) < _SAME
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one bench on this host. `stem`: their path without a suffix."""

    stem: Path

    @property
    def record(self) -> Path:
        return self.stem.with_suffix(".json")

    @property
    def log(self) -> Path:
        return self.stem.with_suffix(".log")

    @property
    def study(self) -> Path:
        return self.stem.with_suffix(".study")

    @property
    def last_words(self) -> Path:
        """A line of `wire`, for a client that came too late to hear it."""
        return self.stem.with_suffix(".ended")


def of(database: Path, study: Study) -> Place:
    """The place of a study's bench beside a database. Makes the folder; raises StorageError."""
    identity = (key(study), socket.gethostname())
    return Place(folder(database) / hashlib.sha256(repr(identity).encode()).hexdigest()[:16])


def key(study: Study) -> str:
    """The key of a bench: the study's key, and the current checkpoints of its series."""
    identity = (study.key(()), *study.models.tuned)
    return hashlib.sha256(repr(identity).encode()).hexdigest()


def folder(database: Path) -> Path:
    """The folder of the benches of a database, made if it is missing. Raises StorageError.

    It is beside the database; if that place is another user's, it is among the user's temporary
    files.
    """
    beside, other = _candidates(database)
    with contextlib.suppress(OSError, StorageError):
        return _private(beside)
    try:
        _private(other.parent)
        return _private(other)
    except OSError as error:
        raise StorageError(
            f"The bench's folder can't be made: {error.filename}: {error.strerror}.",
            hint="Set TMPDIR to a writable folder.",
        ) from None


def records(database: Path) -> Iterator[tuple[Place, Record]]:
    """The records of living workers beside a database; removes the files of dead ones."""
    for each in _candidates(database):
        # A record of another user could name any file as its socket.
        with contextlib.suppress(OSError, StorageError):
            _refuse_strange(each)
            for file in sorted(each.glob("*.json")):
                place = Place(file.with_suffix(""))
                record = read(place)
                if record is not None:
                    yield place, record


def read(place: Place) -> Record | None:
    """The record of a living worker; None without one, after the removal of a dead one's files."""
    record = peek(place)
    if record is None and not place.record.exists():
        return None
    if record is not None and record.is_alive:
        return record
    with contextlib.suppress(OSError), _locked(place) as mine:
        if mine:
            remove(place, record)
    return None


def peek(place: Place) -> Record | None:
    """The record of a worker, living or dead; None if there is none that can be read."""
    try:
        return Record(**json.loads(place.record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def claimed(place: Place) -> Iterator[bool]:
    """Lock a place for the life of this worker; False if another worker has it. Raises OSError.

    The lock is on the log, which stays: a lock on a file that is removed would lock nothing. A
    worker that is ending has removed its record but holds the lock, so this waits for it.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        with _locked(place) as mine:
            if mine or place.record.exists() or time.monotonic() > end:
                yield mine
                return
        time.sleep(0.05)


def write(place: Place, record: Record) -> None:
    """Write the record of this worker. Raises OSError."""
    with written(place.record, mode=0o600) as file:
        json.dump(asdict(record), file)


def write_study(place: Place, study: Study) -> None:
    """Write the study that a worker is to hold, without any trust. Raises OSError."""
    with written(place.study, mode=0o600) as file:
        file.write(trust.granted(study, trust.NOBODY).model_dump_json())


def read_study(place: Place, trusting: trust.Trust) -> Study:
    """The study of a place, with the trust of its starter. Raises RunError."""
    try:
        study = Study.model_validate_json(place.study.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"The bench's study {place.study} can't be read: {reason(error)}.") from None
    return trust.granted(study, trusting)


def listen(place: Place) -> socket.socket:
    """A listening socket of this place, which only this user can open. Raises OSError.

    It is beside the record. If that path is too long, or the file system has no sockets, it is
    among the temporary files.
    """
    beside = place.stem.with_suffix(".sock")
    if len(os.fsencode(beside)) <= LONGEST:
        with contextlib.suppress(OSError):
            return _listening(beside)
    return _listening(Path(tempfile.mkdtemp(prefix="tauscope-", dir=_temporary())) / _ALONE)


def remove(place: Place, record: Record | None) -> None:
    """Remove the record and the socket of a worker that has ended; its log and study stay."""
    file = Path(record.socket) if record else place.stem.with_suffix(".sock")
    with contextlib.suppress(OSError):
        place.record.unlink(missing_ok=True)
        if stat.S_ISSOCK(file.lstat().st_mode):
            file.unlink()
        if file.name == _ALONE:
            file.parent.rmdir()


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _locked(place: Place) -> Iterator[bool]:
    import fcntl

    with place.log.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except BlockingIOError:
            mine = False
        except OSError:  # a file system without locks: the record decides
            record = peek(place)
            mine = record is None or not record.is_alive
        yield mine


def _candidates(database: Path) -> tuple[Path, Path]:
    name = hashlib.sha256(os.fsencode(database)).hexdigest()[:16]
    beside = database.with_name(f"{database.stem}.bench")
    return beside, _temporary() / f"tauscope-{os.getuid()}" / name


def _private(path: Path) -> Path:
    """A folder of this user that no other user can open. Raises OSError or StorageError."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    if stat.S_IMODE(_refuse_strange(path)) & 0o077:
        path.chmod(0o700)
    return path


def _refuse_strange(path: Path) -> int:
    """The mode of a folder. Raises OSError, or StorageError if it isn't a folder of this user."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise StorageError(f"{path} is not a folder of this user.", hint="Rename it.")
    return status.st_mode


def _temporary() -> Path:
    """The folder of this user's temporary files, with a short path."""
    for named in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if named and len(named) < LONGEST // 2 and os.access(named, os.W_OK):
            return Path(named)
    return Path("/tmp")
