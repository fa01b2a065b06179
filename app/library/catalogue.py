"""The library: which models and adapters are on this machine, families together.

app.library.shelves finds the folders, app.library.appraisal describes each model, and
app.library.lineage says which was made from which. Never asks the network, and reads no tensor.
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
    """All models of the Hugging Face cache and below these folders, families together.

    A base is followed by what is tuned from it. Nothing raises: a folder that can't be read is
    left out, a model that can't be is there with its trouble.
    """
    branches = tree(tuple(appraised(Search(), folders)))
    return tuple(branch.entry for branch in branches if branch.entry is not None)


def appraised(search: Search, folders: Sequence[Path]) -> Iterator[Entry]:
    """The models one by one as they are found, in no order; `search` keeps what went wrong."""
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
    """What to do where there is no model at all."""
    looked = ", ".join(str(each) for each in (cache_folder(), *folders))
    return (
        f"No models in {looked}. 'hf download' fills the cache; 'folders' in {config.path()} "
        "names other places."
    )
