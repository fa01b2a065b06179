"""The parent that a model's files name: in its card, an adapter's settings, or a weak hint.

Owns what counts as stated, and how much of a card is looked at. Decides nothing about who is here:
see app.library.catalogue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import CheckpointError
from core.models import headers

CARD = 64 * 1024
"""Bytes of a card that are looked at: its front matter stands first."""

STATED = 2048
"""Characters about lineage that are parsed."""

MOST = 20
"""Parents of one model that are listed; a merge has several."""

LONGEST = 400
"""Characters of a name; longer ones are none."""

_NOTHING = ("", "~", "null", "none", "None")
_LINEAGE = re.compile(r"^base_model(?:_relation)?[ ]*:.*(?:\n(?:[ \t\-].*)?$)*", re.MULTILINE)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was made from, as stated, how (finetune, merge, ...), and where that is said."""

    parents: tuple[str, ...] = ()
    relation: str = ""
    stated: str = ""


def origin_of(folder: Path, own: set[str], *, adapter: bool) -> Origin:
    """Where the model in a folder says that it comes from; `own` are its own names.

    What an adapter was trained on stands first, then what the card says. Where neither says
    anything, the name under which a model was loaded is a hint, unless it is a path of elsewhere.
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
    parents = tuple(name for name in dict.fromkeys(stated) if name not in own)[:MOST]
    relation = card.get("base_model_relation")
    named = relation[:40] if isinstance(relation, str) and parents else ""
    return Origin(parents, named, where if parents else "")


def _card(folder: Path) -> dict[str, Any]:
    """The two keys of a card's front matter that are about lineage; the rest is not parsed."""
    import yaml

    file = folder / "README.md"
    try:
        if not file.is_file():
            return {}
        with file.open("rb") as stream:
            text = stream.read(CARD).decode(errors="replace").replace("\r\n", "\n")
        front = re.match(r"\ufeff?\s*---[ ]*\n(.*?)\n---", text, re.DOTALL)
        said = "\n".join(_LINEAGE.findall(front[1])) if front else ""
        found = yaml.load(
            said[:STATED], Loader=yaml.BaseLoader
        )  # texts, lists and maps, nothing else
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _setting(file: Path, key: str) -> str:
    try:
        value = headers.read_json(file).get(key)
    except CheckpointError:
        return ""
    return value if isinstance(value, str) else ""


def _words(value: object) -> list[str]:
    """A card's text or list of texts, but for what is no name."""
    values = value if isinstance(value, list) else [value]
    names = [v.strip() for v in values if isinstance(v, str)]
    return [n for n in names if n not in _NOTHING and len(n) <= LONGEST]


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_absolute() and Path(name).is_dir()
    except (OSError, ValueError):
        return False
