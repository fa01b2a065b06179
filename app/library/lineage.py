"""Lineage: who was made from whom, among the models that are here.

Owns how stated names are matched, the tree, and who of several is the base. Reads no file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.library.appraisal import Entry


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of the tree of lineage. `entry` is None for a parent that is not on this machine."""

    name: str
    entry: Entry | None
    depth: int


def tree(entries: Sequence[Entry]) -> tuple[Branch, ...]:
    """Every model once, under the first of its parents that is here; families by name.

    A parent that is not on this machine has a line of its own where something was made from it.
    """
    ordered = sorted(entries, key=lambda entry: (key(entry.name), entry.name))
    here = {name: entry for entry in reversed(ordered) for name in names_of(entry)}
    under: dict[str, list[Entry]] = {}
    roots: dict[str, tuple[str, Entry | None]] = {}
    for entry in ordered:
        over = _over(entry, here)
        if over is None:
            roots[key(entry.name)] = (entry.name, entry)
        else:
            under.setdefault(key(over), []).append(entry)
            if key(over) not in here:
                roots.setdefault(key(over), (over, None))
    branches: list[Branch] = []
    done: set[int] = set()
    for _, (name, base) in sorted(roots.items()):
        branches += _grown(Branch(name, base, 0), under, done)
    for entry in ordered:  # what is made from itself, by way of others, hangs on no root
        branches += _grown(Branch(entry.name, entry, 0), under, done)
    return tuple(branches)


def children(entries: Sequence[Entry], parent_name: str) -> tuple[Entry, ...]:
    """The models that say of themselves that they were made from this one, in their order."""
    parent = next((entry for entry in entries if entry.name == parent_name), None)
    names = names_of(parent) if parent is not None else {key(parent_name)}
    return tuple(e for e in entries if names & {key(p) for p in e.parents} and e is not parent)


def roles(entries: Sequence[Entry], marked: Sequence[Entry]) -> tuple[Entry, tuple[Entry, ...]]:
    """The base of a study of the marked models, and what is tuned from it, in their order.

    The base is the marked model that most of the others descend from, by what they state; else the
    nearest that all of them descend from, though it is not marked; where lineage says nothing,
    the one that was marked first.
    """
    above = [_ancestors(entries, entry) for entry in marked]
    base = max(marked, key=lambda entry: sum(bool(names_of(entry) & names) for names in above))
    if not any(names_of(base) & names for names in above):
        shared = set.intersection(*above)
        common = [e for e in entries if not e.trouble and names_of(e) & shared]
        base = max(common, key=lambda entry: len(_ancestors(entries, entry)), default=base)
    return base, tuple(entry for entry in marked if entry is not base)


def names_of(entry: Entry) -> set[str]:
    """By what others may call a model, each as it is compared."""
    return {key(entry.name), key(str(entry.path)), key(os.path.realpath(entry.path))}


def key(name: str) -> str:
    """A name as it is compared: hub ids don't tell capitals apart, paths may end in a slash."""
    return name.rstrip("/") if name.startswith("/") else name.casefold()


def _ancestors(entries: Sequence[Entry], entry: Entry) -> set[str]:
    """What a model was made from, and what that was made from, as keys of names."""
    stated = {name: each.parents for each in entries for name in names_of(each)}
    found: set[str] = set()
    waiting = list(entry.parents)
    while waiting:
        name = key(waiting.pop())
        if name not in found:
            found.add(name)
            waiting += stated.get(name, ())
    return found - names_of(entry)


def _grown(root: Branch, under: dict[str, list[Entry]], done: set[int]) -> Iterator[Branch]:
    """A branch and all that grows from it and is not there yet, depth first."""
    waiting = [root]
    while waiting:
        branch = waiting.pop()
        if branch.entry is not None:
            if id(branch.entry) in done:
                continue
            done.add(id(branch.entry))
        yield branch
        below = under.get(key(branch.name), ())
        waiting += [Branch(e.name, e, branch.depth + 1) for e in reversed(below)]


def _over(entry: Entry, here: dict[str, Entry]) -> str | None:
    """The name of the parent that a model stands under: one that is here, else the first."""
    for name in entry.parents:
        found = here.get(key(name))
        if found is not None and found is not entry:
            return found.name
    return entry.parents[0] if entry.parents else None
