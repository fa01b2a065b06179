"""The library: which models and adapters are on this machine, families together.

Owns lineage: who stands under whom. Where models lie is known by app.shelves, what one is by
app.appraisal. Never asks the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app import config
from app.appraisal import Entry, appraise
from app.shelves import Search, cache_folder

__all__ = ["Branch", "Entry", "advice", "appraised", "arrange", "children", "data", "scan", "tree"]


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of the tree of lineage. `entry` is None for a parent that is not on this machine."""

    name: str
    entry: Entry | None
    depth: int


def scan(folders: Sequence[Path]) -> tuple[Entry, ...]:
    """All models of the Hugging Face cache and below these folders, families together.

    A base is followed by what is tuned from it. Nothing raises: a folder that can't be read is
    left out, a model that can't be is there with its trouble.
    """
    return arrange(tuple(appraised(Search(), folders)))


def appraised(search: Search, folders: Sequence[Path]) -> Iterator[Entry]:
    """The models one by one as they are found, in no order; `search` keeps what went wrong."""
    for shelf in search.shelves(folders):
        if shelf.unfinished:
            trouble = "Its download is not finished."
            yield Entry(name=shelf.name, path=shelf.folder, kind="model", trouble=trouble)
            continue
        revision = shelf.revisions[0] if shelf.revisions else ""
        yield appraise(shelf.folder, shelf.name, revision=revision, revisions=shelf.revisions)


def children(entries: Sequence[Entry], parent_name: str) -> tuple[Entry, ...]:
    """The models that say of themselves that they were made from this one, in their order."""
    parent = next((entry for entry in entries if entry.name == parent_name), None)
    names = _names(parent) if parent is not None else {_key(parent_name)}
    return tuple(e for e in entries if names & {_key(p) for p in e.parents} and e is not parent)


def arrange(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries in the order of their tree."""
    return tuple(branch.entry for branch in tree(entries) if branch.entry is not None)


def tree(entries: Sequence[Entry]) -> tuple[Branch, ...]:
    """Every model once, under the first of its parents that is here; families by name.

    A parent that is not on this machine has a line of its own where something was made from it.
    """
    ordered = sorted(entries, key=lambda entry: (_key(entry.name), entry.name))
    here = {key: entry for entry in reversed(ordered) for key in _names(entry)}
    under: dict[str, list[Entry]] = {}
    roots: dict[str, Entry | None] = {}
    for entry in ordered:
        over = _over(entry, here)
        if over is None:
            roots[entry.name] = entry
        else:
            under.setdefault(over, []).append(entry)
            if _key(over) not in here:
                roots.setdefault(over, None)
    branches: list[Branch] = []
    done: set[int] = set()
    for name in sorted(roots, key=lambda name: (_key(name), name)):
        _grow(Branch(name, roots[name], 0), under, branches, done)
    for entry in ordered:  # what is made from itself, by way of others, hangs on no root
        if id(entry) not in done:
            _grow(Branch(entry.name, entry, 0), under, branches, done)
    return tuple(branches)


def data(entry: Entry) -> dict[str, Any]:
    """An entry for JSON."""
    return {**asdict(entry), "path": str(entry.path)}


def advice(folders: Sequence[str]) -> str:
    """What to do where there is no model at all."""
    looked = ", ".join([str(cache_folder()), *map(str, folders)])
    return (
        f"No models in {looked}. 'hf download' fills the cache; 'folders' in {config.path()} "
        "names other places."
    )


def _grow(
    root: Branch, under: dict[str, list[Entry]], branches: list[Branch], done: set[int]
) -> None:
    """Add a branch and all that grows from it, depth first."""
    waiting = [root]
    while waiting:
        branch = waiting.pop()
        if branch.entry is not None:
            if id(branch.entry) in done:
                continue
            done.add(id(branch.entry))
        branches.append(branch)
        below = [Branch(e.name, e, branch.depth + 1) for e in under.get(branch.name, ())]
        waiting += reversed(below)


def _over(entry: Entry, here: dict[str, Entry]) -> str | None:
    """The name of the parent that a model stands under: one that is here, else the first."""
    for parent in entry.parents:
        found = here.get(_key(parent))
        if found is not None and found is not entry:
            return found.name
    return entry.parents[0] if entry.parents else None


def _names(entry: Entry) -> set[str]:
    """By what others may call it."""
    return {_key(entry.name), _key(str(entry.path)), _key(os.path.realpath(entry.path))}


def _key(name: str) -> str:
    """A name as it is compared: hub ids don't tell capitals apart, paths may end in a slash."""
    return name.rstrip("/") if name.startswith("/") else name.casefold()
