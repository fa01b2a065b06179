"""Lineage: the parents and children among the models on this machine.

Owns the matching of stated names, the tree, and the choice of a base. Reads no file.
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
    """Every model once, under its first parent on this machine; families by name.

    A parent that is not on this machine has its own line if it has children.
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
    for entry in ordered:  # models in a cycle have no root
        branches += _grown(Branch(entry.name, entry, 0), under, done)
    return tuple(branches)


def children(entries: Sequence[Entry], parent_name: str) -> tuple[Entry, ...]:
    """The models that state this parent, in their order."""
    parent = next((entry for entry in entries if entry.name == parent_name), None)
    names = names_of(parent) if parent is not None else {key(parent_name)}
    return tuple(e for e in entries if names & {key(p) for p in e.parents} and e is not parent)


def roles(entries: Sequence[Entry], marked: Sequence[Entry]) -> tuple[Entry, tuple[Entry, ...]]:
    """The base of a study of the marked models, and its tuned models, in their order.

    The base is the marked model with the most stated descendants among the others; else the nearest
    common ancestor, even if it is not marked; without lineage, the first marked model.
    """
    above = [_ancestors(entries, entry) for entry in marked]
    base = max(marked, key=lambda entry: sum(bool(names_of(entry) & names) for names in above))
    if not any(names_of(base) & names for names in above):
        shared = set.intersection(*above)
        common = [e for e in entries if not e.trouble and names_of(e) & shared]
        base = max(common, key=lambda entry: len(_ancestors(entries, entry)), default=base)
    return base, tuple(entry for entry in marked if entry is not base)


def names_of(entry: Entry) -> set[str]:
    """The normalised names of a model."""
    return {key(entry.name), key(str(entry.path)), key(os.path.realpath(entry.path))}


def key(name: str) -> str:
    """The normalised form of a name: hub ids ignore case, paths may end in a slash."""
    return name.rstrip("/") if name.startswith("/") else name.casefold()


def _ancestors(entries: Sequence[Entry], entry: Entry) -> set[str]:
    """The ancestors of a model, as keys of names."""
    stated = {name: each.parents for each in entries for name in names_of(each)}
    ancestors: set[str] = set()
    waiting = list(entry.parents)
    while waiting:
        name = key(waiting.pop())
        if name not in ancestors:
            ancestors.add(name)
            waiting += stated.get(name, ())
    return ancestors - names_of(entry)


def _grown(root: Branch, under: dict[str, list[Entry]], done: set[int]) -> Iterator[Branch]:
    """A branch and its descendants that are not in the tree yet, depth first."""
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
    """The name of a model's parent in the tree: the first one on this machine, else the first."""
    for name in entry.parents:
        parent = here.get(key(name))
        if parent is not None and parent is not entry:
            return parent.name
    return entry.parents[0] if entry.parents else None
