"""Studies from a TOML file, from its data, or from bare names of models.

Owns the errors of a study file, with file and key, and the resolution of relative paths against the
file. The contents of a study are declared in core.study.study.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.engine import registry
from core.errors import StudyError
from core.files import toml
from core.study import mistakes, series
from core.study.models import Model, Models
from core.study.places import below, is_there, looks_local, working_folder
from core.study.study import PLACES, Study


def read(path: Path) -> Study:
    """The study in a TOML file. Raises StudyError naming the file, the key and the nearest valid
    one."""
    try:
        data = toml.read(path, "The study file")
    except FileNotFoundError:
        raise StudyError(f"There is no study file {path}.") from None
    try:
        return parsed(data, path.resolve().parent)
    except StudyError as error:
        raise StudyError(f"{path}: {error.title}", hint=error.hint) from None


def parsed(data: Mapping[str, Any], folder: Path) -> Study:
    """The study in the data of a file in `folder`, with the members of its series. Raises
    StudyError naming the key."""
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        raise StudyError(mistakes.explained(error, Study.model_fields)) from None
    return series.expanded(_with_absolute_paths(study, folder))


def faults(data: Mapping[str, Any]) -> dict[str, str]:
    """All faults of the data of a study file, by their keys (`probe.limit`).

    A fault among several keys is at the key of their section.
    """
    by_key: dict[str, str] = {}
    for analysis, given in data.get("analyses", {}).items():
        if analysis in registry.names():
            try:
                registry.get(analysis).parameters.model_validate(given)
            except ValidationError as error:
                by_key |= mistakes.by_key(error, f"analyses.{analysis}.")
    try:
        Study.model_validate({**data, "analyses": {}} if by_key else data)
    except ValidationError as error:
        by_key |= mistakes.by_key(error)
    return by_key


def of_models(base: str, tuned: Iterable[str]) -> Study:
    """A study of bare model paths or hub ids. Each model is named after the last part of its path
    (a GGUF file without its suffix), and the study after its models. A folder of a trainer's
    checkpoints is a series."""
    named: dict[str, Model] = {}
    for path in tuned:
        name = free_name(Path(path.rstrip("/")).name.removesuffix(".gguf"), named)
        place = _absolute(path, working_folder())
        pattern = series.TRAINER if series.looks_like_series(Path(place)) else None
        named[name] = Model(path=place, checkpoints=pattern)
    if not named:
        raise StudyError("Name at least one tuned model after the base.")
    base_model = Model(path=_absolute(base, working_folder()))
    study = Study(name=_title(list(named)), models=Models(base=base_model, tuned=named))
    return series.expanded(study)


def _title(names: Sequence[str]) -> str:
    """The title of a run of these tuned models: `medical`, `medical, maths and 2 more`."""
    if len(names) > 3:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def free_name(wanted: str, taken: Collection[str]) -> str:
    """A valid, unused name for a tuned model, close to the wanted one."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-") or "tuned"
    stem = stem if stem != "base" else "base-tuned"
    name, count = stem, 2
    while name in taken:
        name, count = f"{stem}-{count}", count + 1
    return name


def _with_absolute_paths(study: Study, folder: Path) -> Study:
    tokenizer = study.models.tokenizer
    update: dict[str, Any] = {
        "models": study.models.model_copy(
            update={
                "base": _anchored(study.models.base, folder),
                "tuned": {n: _anchored(m, folder) for n, m in study.models.tuned.items()},
                "tokenizer": _absolute(tokenizer, folder) if tokenizer else tokenizer,
            }
        )
    }
    for name, key in PLACES:
        if (part := getattr(study, name)) is not None:
            update[name] = _placed(part, key, folder)
    update["probes"] = {n: _placed(each, "file", folder) for n, each in study.probes.items()}
    return study.model_copy(update=update)


def _placed(part: Any, key: str, folder: Path) -> Any:
    """A part of a study with the path under `key`, if any, resolved against the folder."""
    if not getattr(part, key):
        return part
    place = str(below(folder, getattr(part, key)))
    _refuse_undecodable(place)
    return part.model_copy(update={key: place})


def _anchored(model: Model, folder: Path) -> Model:
    path = str(below(folder, model.path)) if model.checkpoints else model.path  # it may come later
    return model.model_copy(update={"path": _absolute(path, folder)})


def _absolute(path: str, folder: Path) -> str:
    """A local directory as an absolute path; a path that does not exist stays a hub id."""
    local = below(folder, path)
    absolute = os.path.realpath(local) if is_there(local) or looks_local(path) else path
    _refuse_undecodable(absolute)
    return absolute


def _refuse_undecodable(path: str) -> None:
    """Raise StudyError for a path that a study file or a database can't store."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise StudyError(
            f"The path {path} contains bytes that are not UTF-8.",
            hint="Rename the file or folder, or link to it by another name.",
        ) from None
