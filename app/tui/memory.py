"""The user's last position in each database, saved from one start to the next.

Owns the file. What it says is never trusted: one that is broken, of another version or about a run
that is gone counts as none, and one that can't be written is no trouble.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.text import plain

if TYPE_CHECKING:
    from app.config import Config

VERSION: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FigurePosition(_Part):
    """Where one picture stood: the fields of its choice, and its cursor."""

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


class Memory(_Part):
    """What is remembered of one database."""

    version: Literal[1] = VERSION
    filter: str = ""
    selected: str = ""
    place: RunPosition | None = None
    draft: dict[str, Any] | None = None
    folder: str = ""
    """Where the last export went; empty before the first."""
    prompts: tuple[str, ...] = ()
    """What was asked on the bench, the last one last."""


class Remembering(Protocol):
    """An application that keeps where its screens stood."""

    memory: Memory
    config: Config

    def remember(self, memory: Memory) -> None: ...


def path_for(database: Path) -> Path:
    """The file about a database, in the folder of the user's states."""
    from platformdirs import user_state_path

    name = hashlib.sha256(str(database).encode(errors="surrogateescape")).hexdigest()[:16]
    return user_state_path("tauscope", appauthor=False) / f"{name}.json"


def recall(file: Path | None) -> Memory:
    """What the file says; nothing where it can't be understood."""
    try:
        memory = Memory.model_validate_json(file.read_bytes()) if file else Memory()
        # Both are shown in lines that are typed into, which hand all they hold to the terminal.
        folder = memory.folder if plain(memory.folder) == memory.folder else ""
        return memory.model_copy(update={"filter": plain(memory.filter), "folder": folder})
    except (OSError, ValidationError):
        return Memory()


def keep(memory: Memory, file: Path | None) -> None:
    """Write the file, whole or not at all."""
    from core.files.partial import written

    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written(file, mode=0o600) as text:
            text.write(memory.model_dump_json())
    except OSError:
        return  # a home without space is no reason to be stopped from leaving


def draft_of(memory: Memory) -> Any:
    """The `Draft` of a study that was left, or None where there is none that can be understood."""
    from app.drafts.building import Draft

    try:
        return Draft.model_validate(memory.draft) if memory.draft else None
    except ValidationError:
        return None


def choice_of(stand: FigurePosition) -> Any:
    """The `Choice` of a stand, or None where its fields don't make one."""
    try:
        return _choices().validate_python(stand.choice)
    except ValidationError:
        return None


@functools.cache
def _choices() -> Any:
    """What reads the fields of a `Choice`: made once, which takes longer than to read them."""
    from pydantic import TypeAdapter

    from core.figures.views import Choice

    return TypeAdapter(Choice)
