"""Series of checkpoints: the models of a study that a training run saved, step by step.

Owns the folders that a series' pattern finds, and which of them hold complete weights. Judges by
names, settings and headers; reads no weights, imports no torch. Optimizer states and other contents
of a checkpoint are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from core.errors import CheckpointError, StudyError
from core.models import folders, headers, steps
from core.models.steps import Checkpoint
from core.study import mistakes
from core.study.models import Model, Models
from core.study.places import expanded as at_home
from core.study.places import is_folder
from core.study.study import Study

TRAINER = "checkpoint-*"
"""The pattern of the folders that the trainer of transformers saves."""


@dataclass(frozen=True, slots=True)
class Found:
    """The folders of a series: complete ones by step, and the reason for each one passed over."""

    members: Mapping[int, Path] = field(default_factory=dict)
    passed: Mapping[str, str] = field(default_factory=dict)


def expanded(study: Study) -> Study:
    """The study with the members of each series in its place, in order of step.

    A series without complete checkpoints stays as it is. Raises StudyError if two folders have the
    same step, or if a model that the study names is not among the members.
    """
    if not study.models.pending:
        return study
    tuned: dict[str, Model] = {}
    for name, model in study.models.tuned.items():
        tuned |= _members(name, model) or {name: model}
    return with_tuned(study, tuned)


def grown(study: Study, stored: Study) -> Study:
    """The study with the further members that its series have in a stored study: their folders may
    be gone by now, and their results remain."""
    tuned = study.models.tuned
    more = {
        name: model
        for name, model in stored.models.tuned.items()
        if name not in tuned and model.checkpoints and steps.parted(name) is not None
    }
    return with_tuned(study, _by_step({**tuned, **more})) if more else study


def reopened(study: Study) -> Study:
    """The study with the checkpoints that its series have by now, and all that it had."""
    templates = study.models.as_written()
    return grown(expanded(with_tuned(study, templates)), study)


def present(study: Study) -> Study:
    """The study without the members of series whose folders are gone, as when a trainer deleted
    them. Raises StudyError if another model was tuned from one of them."""
    gone = absent(study.models)
    if not gone:
        return study
    return with_tuned(study, {n: m for n, m in study.models.tuned.items() if n not in gone})


def with_tuned(study: Study, tuned: Mapping[str, Model]) -> Study:
    """The study with other tuned models, checked again. Raises StudyError."""
    data = study.model_dump(exclude_unset=True)
    data["models"]["tuned"] = {n: m.model_dump(exclude_unset=True) for n, m in tuned.items()}
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        raise StudyError(mistakes.explained(error, Study.model_fields)) from None


def absent(models: Models) -> frozenset[str]:
    """The members of series whose folders are gone."""
    return frozenset(
        name
        for name, model in models.tuned.items()
        if model.checkpoints and steps.parted(name) and not is_folder(Path(model.path))
    )


def notes(models: Models) -> Iterator[tuple[str, str]]:
    """The doubts about series: folders that are no members, each with the reason."""
    for name, members in _taken(models).items():
        model = models.tuned[members[0].name]
        known = {models.tuned[member.name].path for member in members}
        checkpoints = find(Path(model.path).parent, str(model.checkpoints))
        later = [path.name for path in checkpoints.members.values() if str(path) not in known]
        for folder, reason in checkpoints.passed.items():
            yield name, f"{folder} is skipped: {reason}"
        for folder in later:
            yield name, f"{folder} appeared after the run's start; run the study again to add it."


def refuse_empty(models: Models) -> None:
    """Raise CheckpointError if a series has no complete checkpoint."""
    for name in models.pending:
        model = models.tuned[name]
        folder = at_home(model.path)
        if not is_folder(folder):
            raise CheckpointError(
                f"There is no directory {model.path} for the checkpoints of '{name}'.",
                hint="checkpoints needs a local folder. Name revisions of a hub's model one by one:"
                f' "{name}@1000" = {{ path = "org/model", revision = "step1000" }}.',
            )
        passed = find(folder, str(model.checkpoints)).passed
        reasons = "; ".join(f"{place}: {reason}" for place, reason in list(passed.items())[:3])
        raise CheckpointError(
            f"{folder} holds no complete checkpoint named {model.checkpoints} for '{name}'.",
            hint=reasons or 'Give the pattern of its folders: checkpoints = "checkpoint-*".',
        )


def find(folder: Path, pattern: str) -> Found:
    """The checkpoints in a folder. The step is the last number in a folder's name.

    Raises StudyError if two folders have the same step.
    """
    members: dict[int, Path] = {}
    passed: dict[str, str] = {}
    for place in sorted(folder.glob(pattern)) if is_folder(folder) else ():
        numbers = re.findall(r"\d+", place.name, re.ASCII)
        if not is_folder(place):
            continue
        if not numbers:
            passed[place.name] = "its name has no step."
        elif reason := fault(place):
            passed[place.name] = reason
        elif (step := int(numbers[-1])) in members:
            raise StudyError(f"{members[step]} and {place} are both checkpoints of step {step}.")
        else:
            members[step] = place
    return Found(dict(sorted(members.items())), passed)


def fault(folder: Path) -> str:
    """The reason for which a folder is no complete model or adapter; empty if it is one."""
    try:
        headers.check(folder)
        if folders.is_adapter(folder):
            factors = folder / folders.FACTORS[0]
            if factors.is_file():
                headers.read_header(factors)
    except CheckpointError as error:
        return error.title
    return ""


def looks_like_series(folder: Path) -> bool:
    """Is this a folder of a trainer's checkpoints, without weights of its own?"""
    whole = folders.holds_weights(folder) or folders.is_adapter(folder)
    return is_folder(folder) and not whole and bool(find(folder, TRAINER).members)


def _members(name: str, model: Model) -> dict[str, Model]:
    """The members of a series by name; nothing for another model."""
    if name.count("@") or not model.checkpoints:
        return {}
    members = find(at_home(model.path), model.checkpoints).members
    return {
        Checkpoint(name, step).name: model.model_copy(update={"path": str(place)})
        for step, place in members.items()
    }


def _taken(models: Models) -> dict[str, tuple[Checkpoint, ...]]:
    """The members that a pattern found, by series."""
    return steps.series_in(name for name, model in models.tuned.items() if model.checkpoints)


def _by_step(tuned: Mapping[str, Model]) -> dict[str, Model]:
    """The models with the members of a series together, in order of step, where the first was."""
    series = steps.series_in(tuned)
    models: dict[str, Model] = {}
    for name, model in tuned.items():
        member = steps.parted(name)
        members = series[member.series] if member else ()
        models |= {each.name: tuned[each.name] for each in members} or {name: model}
    return models
