"""The library: the models and adapters on this machine, grouped by family.

app.library.shelves finds the folders, app.library.appraisal describes each model, and
app.library.lineage finds the parents. Never uses the network, and reads no tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app import config
from app.library.appraisal import Entry, appraise
from app.library.lineage import children, tree
from app.library.shelves import Search, cache_folder

__all__ = ["Entry", "advice", "appraised", "children", "data", "scan", "tree"]


def scan(folders: Sequence[Path]) -> tuple[Entry, ...]:
    """All models of the Hugging Face cache and below these folders, grouped by family.

    A base is followed by its tuned models. Nothing raises: an unreadable folder is left out, an
    unreadable model is listed with its trouble.
    """
    branches = tree(tuple(appraised(Search(), folders)))
    return tuple(branch.entry for branch in branches if branch.entry is not None)


def appraised(search: Search, folders: Sequence[Path]) -> Iterator[Entry]:
    """The models one by one in the order of finding; `search` collects the errors."""
    for shelf in search.shelves(folders):
        if shelf.unfinished:
            trouble = "Its download is not finished."
            yield Entry(name=shelf.name, path=shelf.folder, kind="model", trouble=trouble)
        else:
            yield appraise(shelf.folder, shelf.name, shelf.revisions)


def data(entry: Entry) -> dict[str, Any]:
    """An entry for JSON."""
    return {**asdict(entry), "path": str(entry.path)}


def advice(folders: Sequence[Path]) -> str:
    """A hint for a machine without models."""
    looked = ", ".join(str(each) for each in (cache_folder(), *folders))
    return (
        f"No models in {looked}. 'hf download' fills the cache; 'folders' in {config.path()} adds "
        "other folders."
    )
