"""The study files that ship with the program, by name. Reads none of them."""

from __future__ import annotations

from pathlib import Path

from core.errors import StudyError
from core.study.places import is_there

_FOLDER = Path(__file__).parent / "studies"


def names() -> tuple[str, ...]:
    """The names of the ready studies."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def find(wanted: Path) -> Path:
    """The path of a study file: an existing file, else the ready study of this name.

    Raises StudyError, naming the ready ones, if there is neither.
    """
    if is_there(wanted):
        return wanted
    if str(wanted) in names():
        return _FOLDER / f"{wanted}.toml"
    raise StudyError(
        f"There is no study file {wanted}.", hint=f"Ready studies: {', '.join(names())}."
    )
