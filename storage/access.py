"""Permissions of the files beside a database, which follow the database's own.

Owns the permissions of files and folders there. Changes nothing on systems without them (Windows).
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_OWN, _GROUP = 0o600, 0o070


@dataclass(frozen=True, slots=True)
class Access:
    """The permissions of a file beside the database, and their group."""

    mode: int
    group: int

    @classmethod
    def of(cls, database: Path) -> Self:
        """The permissions of a database's file. Raises OSError."""
        status = database.stat()
        return cls((status.st_mode & 0o666) | _OWN, status.st_gid)

    def make_folder(self, folder: Path) -> None:
        """Make a folder; restrict the permissions of an existing one. Raises OSError."""
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            self._narrow(folder, _searchable(self.mode))
        else:
            self._grant(folder, _searchable(self.mode))

    def make_file(self, file: Path) -> None:
        """Make an empty file; restrict the permissions of an existing one.

        Raises OSError.
        """
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            self._narrow(file, self.mode)
        else:
            self.grant(file)

    def grant(self, file: Path) -> None:
        """Give a new, private file these permissions. Raises OSError."""
        self._grant(file, self.mode)

    def _grant(self, path: Path, mode: int) -> None:
        status = path.stat()
        if hasattr(os, "chown") and status.st_gid != self.group:
            try:
                os.chown(path, -1, self.group)
            except OSError:
                mode &= ~_GROUP  # they would apply to another group
        path.chmod(mode | stat.S_IMODE(status.st_mode) & stat.S_ISGID)

    def _narrow(self, path: Path, mode: int) -> None:
        given = stat.S_IMODE(path.stat().st_mode)
        if given & 0o777 & ~mode:
            with contextlib.suppress(OSError):  # a file of another user
                path.chmod(given & (mode | stat.S_ISGID))


def _searchable(mode: int) -> int:
    """The permissions of a folder for files of this mode."""
    return mode | (mode & 0o444) >> 2
