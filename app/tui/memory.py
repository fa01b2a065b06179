"""The user's last position in each database, saved from one start to the next.

Owns the file. Its content is never trusted: a broken file, one of another version or one about a
deleted run counts as no file. A file that can't be written is no error.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.text import plain

VERSION: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FigurePosition(_Part):
    """The position in one picture: the fields of its choice, and its cursor."""

    choice: dict[str, str | int | None] = Field(default_factory=dict)
    cursor: tuple[int, int] | None = None


class RunPosition(_Part):
    """Where the screen of a run stood: its tab by the name of the analysis ("" is the last one),
    the picture chosen of each analysis, each picture by `analysis:view`, and the filter of all."""

    run: str
    filter: str = ""
    tab: str = ""
    chosen: dict[str, str] = Field(default_factory=dict)
    stands: dict[str, FigurePosition] = Field(default_factory=dict)


class BenchColumn(_Part):
    """A column of the bench by its name with every knob on, and its knobs that are off."""

    name: str
    off: tuple[str, ...] = ()


class BenchPosition(_Part):
    """How a bench was left. `settings`: as they are typed; `earlier`: columns that it once had."""

    columns: tuple[BenchColumn, ...] = ()
    reference: int = 0
    earlier: tuple[str, ...] = ()
    prompt: str = ""
    continuation: str = ""
    scoring: bool = False
    settings: dict[str, str] = Field(default_factory=dict)


class Memory(_Part):
    """The remembered state of one database."""

    version: Literal[1] = VERSION
    filter: str = ""
    selected: str = ""
    place: RunPosition | None = None
    draft: dict[str, Any] | None = None
    folder: str = ""
    """The folder of the last export; empty before the first."""
    prompts: tuple[str, ...] = ()
    """The prompts of the bench, in order."""
    benches: dict[str, BenchPosition] = Field(default_factory=dict)
    """The last benches, by their runs."""


class Remembering(Protocol):
    """An application that remembers the positions of its screens."""

    memory: Memory

    def remember(self, memory: Memory) -> None: ...


def path_for(database: Path) -> Path:
    """The file about a database, in the folder of the user's states."""
    from platformdirs import user_state_path

    name = hashlib.sha256(str(database).encode(errors="surrogateescape")).hexdigest()[:16]
    return user_state_path("tauscope", appauthor=False) / f"{name}.json"


def recall(file: Path | None) -> Memory:
    """The content of the file; empty if it can't be understood."""
    try:
        memory = Memory.model_validate_json(file.read_bytes()) if file else Memory()
        # Both are shown in lines that are typed into, which hand all they hold to the terminal.
        folder = memory.folder if plain(memory.folder) == memory.folder else ""
        return memory.model_copy(update={"filter": plain(memory.filter), "folder": folder})
    except (OSError, ValidationError):
        return Memory()


def keep(memory: Memory, file: Path | None) -> None:
    """Write the file: whole, or not at all. Half a character (of a prompt in JSON) becomes `?`."""
    from core.files.partial import written

    if file is None:
        return
    content = json.dumps(memory.model_dump(), ensure_ascii=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written(file, mode=0o600) as text:
            text.write(content.encode(errors="replace").decode())
    except OSError:
        return  # a home without space is no reason to be stopped from leaving


def draft_of(memory: Memory) -> Any:
    """The `Draft` of an unfinished study; None without one that can be understood."""
    from app.drafts.building import Draft

    try:
        return Draft.model_validate(memory.draft) if memory.draft else None
    except ValidationError:
        return None


def choice_of(stand: FigurePosition) -> Any:
    """The `Choice` of a position; None if its fields make none."""
    try:
        return _choices().validate_python(stand.choice)
    except ValidationError:
        return None


@functools.cache
def _choices() -> Any:
    """The validator of a `Choice`, made once: to make it takes longer than to use it."""
    from pydantic import TypeAdapter

    from core.figures.views import Choice

    return TypeAdapter(Choice)
