"""The folders with models: the Hugging Face cache, and the user's folders.

Owns the search, which is bounded, follows no loop, and reports unreadable folders once. Reads no
model's files: see app.library.appraisal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.library.appraisal import holds_model
from core.study.places import expanded

DEEPEST = 4
"""Depth of search below a user's folder."""

MOST = 20_000
"""Most folders of one search."""

_REPOSITORY = "models--"


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder with a model, or a repository in a cache with an unfinished download.

    `name`: its path in a study file; `revisions`: its snapshots in a cache, the default one first.
    """

    folder: Path
    name: str
    revisions: tuple[str, ...] = ()
    unfinished: bool = False


@dataclass(slots=True)
class Search:
    """One search. `notes`: unreadable folders, each reported once."""

    notes: list[str] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def shelves(self, folders: Sequence[Path]) -> Iterator[Shelf]:
        """All folders with models: first in the cache, then below these folders."""
        cache = cache_folder()
        if self._is_there(cache) and self._is_new(cache):
            for repository in _folders(self._entries(cache)):
                if repository.name.startswith(_REPOSITORY):
                    yield from self._snapshots(repository, in_hub_cache=True)
        for folder in folders:
            yield from self._below(folder.absolute(), DEEPEST)

    def _below(self, folder: Path, depth: int) -> Iterator[Shelf]:
        if not self._is_new(folder):
            return
        entries = self._entries(folder)
        if holds_model({each.name for each in entries}):
            yield Shelf(folder, str(folder))
        if not depth:
            return
        for below in _folders(entries):
            if below.name.startswith(_REPOSITORY):
                yield from self._snapshots(below, in_hub_cache=False)
            elif not below.name.startswith((".", "datasets--", "spaces--")):
                yield from self._below(below, depth - 1)

    def _snapshots(self, repository: Path, *, in_hub_cache: bool) -> Iterator[Shelf]:
        """The default snapshot of a repository: `main`, else the newest."""
        if not self._is_new(repository):
            return
        snapshots = {each.name: each for each in _folders(self._entries(repository / "snapshots"))}
        main = _ref(repository / "refs" / "main")
        order = sorted(snapshots, key=lambda n: (n != main, -_changed(snapshots[n]), n))
        held = [n for n in order if holds_model({e.name for e in self._entries(snapshots[n])})]
        hub_id = repository.name.removeprefix(_REPOSITORY).replace("--", "/")
        if held:
            chosen = snapshots[held[0]]
            yield Shelf(chosen, hub_id if in_hub_cache else str(chosen), tuple(held))
        elif any(e.name.endswith(".incomplete") for e in self._entries(repository / "blobs")):
            yield Shelf(repository, hub_id, unfinished=True)

    def _is_there(self, folder: Path) -> bool:
        """Is the folder readable? Reports no missing cache."""
        try:
            return folder.is_dir()
        except OSError as error:
            self._note(folder, error)
            return False

    def _is_new(self, folder: Path) -> bool:
        """Is the folder new, and the limit not reached?"""
        try:
            status = folder.stat()
        except OSError as error:
            self._note(folder, error)
            return False
        key = status.st_dev, status.st_ino
        if key in self._seen:
            return False
        if len(self._seen) == MOST:
            self.notes.append(f"More than {MOST:,} folders: some are left out, {folder} first.")
        self._seen.add(key)
        return len(self._seen) <= MOST

    def _note(self, folder: Path, error: OSError) -> None:
        words = f"{folder} can't be read: {error.strerror}."
        if words not in self.notes:
            self.notes.append(words)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._note(folder, error)
            return []


def cache_folder() -> Path:
    """The path of the Hugging Face cache: HF_HUB_CACHE, HF_HOME, or the default. It need not
    exist."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return expanded(HF_HUB_CACHE)


def _folders(entries: Iterable[os.DirEntry[str]]) -> list[Path]:
    """The subfolders among a folder's entries, by name."""
    return sorted(Path(each.path) for each in entries if _is_folder(each))


def _ref(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
