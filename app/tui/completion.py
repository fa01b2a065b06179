"""Completions of a typed text: files, folders, names. Knows no screen.

A completer maps a typed text to its completions, the best first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from textual.suggester import Suggester

from app.text import plain
from core.study.places import is_folder

Complete = Callable[[str], Sequence[str]]

LARGEST = 2**20
"""Bytes of the largest task file that is read."""


class Completed(Suggester):
    """Shows the first completion after the typed text that acts on no terminal: the line hands it
    on as it is."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        completions = self._complete(value) if value else ()
        return next((each for each in completions if plain(each) == each), None)


def files(*suffixes: str) -> Complete:
    """Files with these endings, then folders; without endings, folders alone."""

    def complete(typed: str) -> list[str]:
        return matches(typed, suffixes)

    return complete


def words(known: Iterable[str]) -> Complete:
    """Completions of the last word of a list from known names."""
    names = tuple(known)

    def complete(typed: str) -> list[str]:
        head, last = re.fullmatch(r"(.*?)([^\s,;]*)", typed, re.DOTALL).groups()  # type: ignore[union-attr]
        return [head + name for name in names if name.startswith(last) and name != last]

    return complete


def matches(typed: str, suffixes: Sequence[str] = (".toml",)) -> list[str]:
    """The files with these endings and the folders that continue the typed path, files first."""
    try:
        path = Path(typed or ".").expanduser()
        folder, stem = (path, "") if typed.endswith("/") or not typed else (path.parent, path.name)
        paths = [p for p in folder.iterdir() if p.name.startswith(stem)]
        paths = [p for p in paths if _offered(p, stem, suffixes)]
    except (OSError, ValueError, RuntimeError):  # no such folder, a NUL, no such home
        return []
    paths.sort(key=lambda p: (is_folder(p), p.name))
    return [_written(p, typed) for p in paths]


def tasks(folder: str) -> tuple[str, ...]:
    """The names of tasks and groups in the task files of a folder; none without a folder."""
    names: set[str] = set()
    try:
        for file in sorted(Path(folder).expanduser().glob("*.y*ml")) if folder else ():
            if file.stat().st_size <= LARGEST:
                text = file.read_text(encoding="utf-8", errors="replace")
                names.update(
                    re.findall(r"^(?:task|group):[ \t]*[\"']?([\w.+-]+)", text, re.MULTILINE)
                )
    except (OSError, ValueError, RuntimeError):
        return ()
    return tuple(sorted(names))


def _offered(path: Path, stem: str, suffixes: Sequence[str]) -> bool:
    hidden = path.name.startswith(".") and not stem.startswith(".")
    # A name that acts on the terminal would do so from the line where it is typed.
    harmless = plain(path.name) == path.name
    return harmless and not hidden and (path.suffix.lower() in suffixes or is_folder(path))


def _written(path: Path, typed: str) -> str:
    """The path in the form of its typed beginning."""
    text = str(path)
    if typed.startswith("~"):
        text = text.replace(str(Path.home()), "~", 1)
    if typed.startswith("./"):
        text = f"./{text}"
    return text + "/" if is_folder(path) else text
