"""The user's own settings: the theme, keys, folders of models, and the life of a bench.

Owns the file and its errors. Knows no action and no widget: callers pass the ids to `check_keys`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import StudyError, did_you_mean
from core.files import toml
from core.files.partial import placed
from core.study.places import resolved


class Config(BaseModel):
    """The contents of the file, all optional. `keys`: the keys of actions by id, separated by
    commas. `folders`: absolute after reading. `bench_idle`: minutes without a request after which a
    bench ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    theme: Literal["dark", "light"] = "dark"
    keys: dict[str, str] = Field(default_factory=dict)
    folders: list[str] = Field(default_factory=list)
    bench_idle: float = Field(default=30.0, gt=0, allow_inf_nan=False)


def path() -> Path:
    """The path of the file, which need not exist."""
    return user_config_path("tauscope", appauthor=False) / "config.toml"


def read(file: Path | None = None) -> Config:
    """The settings in the user's file, or the defaults without a file.

    Folders in it are relative to its folder, and `~` is the home folder. Raises StudyError naming
    the file, the key and the nearest valid key.
    """
    file = file or path()
    try:
        data = toml.read(file, "The settings in")
    except FileNotFoundError:
        return Config()
    try:
        settings = Config(**data)
    except ValidationError as error:
        raise _wrong(file, error) from None
    return settings.model_copy(update={"folders": [_absolute(f, file) for f in settings.folders]})


def add_folder(folder: Path, file: Path | None = None) -> Config:
    """The settings with one more folder of models, written into the user's file.

    The rest of the file stays as it is, and so does a link to it. Raises StudyError, and changes
    nothing, if the file can't be read or written, or has its folders in a form that can't be added
    to.
    """
    file = file or path()
    read(file)  # a file with faults stays as it is
    text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
    settings = tomllib.loads(text)
    folders = [*settings.get("folders", []), str(folder)]
    line = f"folders = {json.dumps(folders, ensure_ascii=False)}"
    # A list that may be over several lines; without one, the first line, before any table.
    match = re.search(r"^folders\s*=\s*\[[^\]]*\]", text, re.MULTILINE)
    changed = f"{line}\n{text}"
    if match:
        changed = text[: match.start()] + line + text[match.end() :]
    if _told(changed) != {**settings, "folders": folders}:
        raise StudyError(
            f"{file}: the folder can't be added.", hint=f"Add it to folders by hand: {folder}"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with placed(resolved(file)) as new:
            new.write_text(changed, encoding="utf-8")
    except UnicodeEncodeError:
        raise StudyError(
            f"The path {folder} contains bytes that are not UTF-8.",
            hint="Rename the folder, or link to it by another name.",
        ) from None
    except OSError as error:
        raise StudyError(f"{file} can't be written: {error.strerror or error}.") from None
    return read(file)


def check_keys(config: Config, known: Collection[str], file: Path | None = None) -> None:
    """Raise StudyError for an unknown action, or for empty keys."""
    for action, keys in config.keys.items():
        if action not in known:
            raise StudyError(
                f"{file or path()}: there is no action '{action}'.",
                hint=did_you_mean(action, known),
            )
        if not all(key.strip() for key in keys.split(",")):
            raise StudyError(
                f"{file or path()}: the keys of '{action}' are empty.",
                hint='Write for example "x", "ctrl+x" or "x,left".',
            )


def _told(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}


def _absolute(folder: str, file: Path) -> str:
    try:
        return str(file.absolute().parent / Path(folder).expanduser())
    except RuntimeError:
        raise StudyError(f"{file}: folders: there is no home folder for {folder}.") from None


def _wrong(file: Path, error: ValidationError) -> StudyError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return StudyError(
            f"{file}: there is no setting '{place}'.",
            hint=did_you_mean(place, Config.model_fields),
        )
    return StudyError(f"{file}: {place}: {first['msg']}.")
