"""The data of the library's screen: the models found so far, and the runs that use them.

Owns the search, which blocks, and questions about its result. Knows no widget.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.library import lineage
from app.library.appraisal import Entry
from app.library.lineage import Branch
from app.tui.data import DataSource
from core.errors import TauscopeError

if TYPE_CHECKING:
    from storage.runs import RunSummary

OFTEN = 0.3
"""Seconds between two reports during the search."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The tree at one moment, the unreadable folders, and the runs, newest first."""

    branches: tuple[Branch, ...] = ()
    notes: tuple[str, ...] = ()
    runs: tuple[RunSummary, ...] = ()
    used: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The paths of the models of each run, by its id."""

    folders: tuple[str, ...] = ()
    """The searched folders of the settings."""

    done: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The models on this machine."""
        return tuple(branch.entry for branch in self.branches if branch.entry is not None)

    def children(self, branch: Branch) -> tuple[Entry, ...]:
        """The models that were made from this one."""
        return lineage.children(self.entries, branch.name)

    def runs_with(self, branch: Branch | None) -> tuple[RunSummary, ...]:
        """The runs whose studies name this model."""
        if branch is None:
            return ()
        names = lineage.names_of(branch.entry) if branch.entry else {lineage.key(branch.name)}
        return tuple(
            run
            for run in self.runs
            if any(lineage.key(path) in names for path in self.used.get(run.id, ()))
        )

    def here(self, names: Sequence[str]) -> tuple[str, ...]:
        """The readable ones among these models."""
        known = {entry.name for entry in self.entries if not entry.trouble}
        return tuple(name for name in names if name in known)

    def roles(self, names: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
        """The base of a study of these models, and the models tuned from it."""
        by_name = {entry.name: entry for entry in self.entries}
        chosen = [by_name[name] for name in self.here(names)]
        if not chosen:
            return None, ()
        base, tuned = lineage.roles(self.entries, chosen)
        return base.name, tuple(entry.name for entry in tuned)


def look(source: DataSource) -> Iterator[Holdings]:
    """Search for models in the cache, in the folders of the settings, and in the folders of runs.
    Yields the models found so far now and then, and all at the end. Blocks."""
    from app import config
    from app.library.catalogue import appraised
    from app.library.shelves import Search

    search, announced = Search(), time.monotonic()
    entries: list[Entry] = []
    try:
        folders = config.read().folders
    except TauscopeError as error:
        folders = []
        search.notes.append(error.title)
    places = [Path(folder) for folder in folders] + of_runs(source)
    for entry in appraised(search, places):
        entries.append(entry)
        if time.monotonic() - announced > OFTEN:
            yield Holdings(lineage.tree(entries))
            announced = time.monotonic()
    whole = Holdings(lineage.tree(entries), tuple(search.notes), folders=tuple(folders), done=True)
    yield with_runs(source, whole)


def with_runs(source: DataSource, holdings: Holdings) -> Holdings:
    """The same with the present runs, and with their models that are not on this machine; with a
    note if runs can't be read. Blocks."""
    try:
        runs, used = source.runs(), source.models()
    except TauscopeError as error:
        notes = dict.fromkeys((*holdings.notes, error.title))
        return replace(holdings, notes=tuple(notes))
    branches = lineage.tree(holdings.entries)  # without models of runs that may be deleted by now
    known = {lineage.key(branch.name) for branch in branches}
    known |= {name for entry in holdings.entries for name in lineage.names_of(entry)}
    every = dict.fromkeys(path for paths in used.values() for path in paths)
    others = (Branch(path, None, 0) for path in every if lineage.key(path) not in known)
    return replace(holdings, branches=(*branches, *others), runs=runs, used=used)


def of_runs(source: DataSource) -> list[Path]:
    """The folders of runs' models on this machine; none if runs can't be read, which is noted
    later."""
    try:
        used = source.models()
    except TauscopeError:
        return []
    paths = (Path(path) for paths in used.values() for path in paths)
    return [path for path in dict.fromkeys(paths) if path.is_absolute() and _is_folder(path)]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
