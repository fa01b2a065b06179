"""The parents named in a model's files: in its card, in an adapter's settings, or by a weak hint.

Owns the sources of a statement, and the limits of reading a card. Knows nothing of the other
models: see app.library.catalogue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import CheckpointError
from core.models import headers

CARD = 64 * 1024
"""Bytes read of a card, which begins with its front matter."""

STATED = 2048
"""Most parsed characters about lineage."""

MOST = 20
"""Most listed parents of a model; a merge has several."""

LONGEST = 400
"""Most characters of a name; longer ones are ignored."""

_NOTHING = ("", "~", "null", "none", "None")
_LINEAGE = re.compile(r"^base_model(?:_relation)?[ ]*:.*(?:\n(?:[ \t\-].*)?$)*", re.MULTILINE)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """A model's stated parents, its relation to them (finetune, merge, ...), and the source."""

    parents: tuple[str, ...] = ()
    relation: str = ""
    stated: str = ""


def origin_of(folder: Path, names: set[str], *, adapter: bool) -> Origin:
    """The stated origin of the model in a folder; `names` are its own names.

    An adapter's base comes first, then the card's statement. Without both, the name under which a
    model was loaded is a hint, unless it is a path on another machine.
    """
    card = _card(folder)
    stated, where = _words(card.get("base_model")), "model card"
    under = _setting(folder / headers.ADAPTER, "base_model_name_or_path") if adapter else ""
    if under:
        stated, where = [under, *stated], headers.ADAPTER
    if not stated and not adapter:
        hint = _setting(folder / "config.json", "_name_or_path")
        if _HUB_ID.fullmatch(hint) or _is_folder(hint):
            stated, where = [hint], "config.json"
    parents = tuple(name for name in dict.fromkeys(stated) if name not in names)[:MOST]
    relation = card.get("base_model_relation")
    named = relation[:40] if isinstance(relation, str) and parents else ""
    return Origin(parents, named, where if parents else "")


def _card(folder: Path) -> dict[str, Any]:
    """The two lineage keys of a card's front matter; the rest is not parsed."""
    import yaml

    file = folder / "README.md"
    try:
        if not file.is_file():
            return {}
        with file.open("rb") as stream:
            text = stream.read(CARD).decode(errors="replace").replace("\r\n", "\n")
        front = re.match(r"\ufeff?\s*---[ ]*\n(.*?)\n---", text, re.DOTALL)
        lineage = "\n".join(_LINEAGE.findall(front[1])) if front else ""
        card = yaml.load(
            lineage[:STATED], Loader=yaml.BaseLoader
        )  # texts, lists and maps, nothing else
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return card if isinstance(card, dict) else {}


def _setting(file: Path, key: str) -> str:
    try:
        value = headers.read_json(file).get(key)
    except CheckpointError:
        return ""
    return value if isinstance(value, str) else ""


def _words(value: object) -> list[str]:
    """The valid names in a card's string or list of strings."""
    values = value if isinstance(value, list) else [value]
    names = [v.strip() for v in values if isinstance(v, str)]
    return [n for n in names if n not in _NOTHING and len(n) <= LONGEST]


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_absolute() and Path(name).is_dir()
    except (OSError, ValueError):
        return False
