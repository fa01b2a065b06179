"""The study file as frozen data: what to compare, on what, and how. Reads TOML; loads no model.

Unknown keys are refused with the nearest known one. Relative paths are relative to the file. The
description of a field is what every form, prompt and comment about it says.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from core import complaints, registry
from core.errors import StudyError, did_you_mean
from core.measurement import content_key
from core.places import below

NAME = re.compile(r"[A-Za-z0-9._-]+")

PLACES = (("probe", "file"), ("evaluation", "include"), ("run", "offload_folder"))
"""Parts and keys of a study that name a file or a folder, besides models and tokeniser."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _allowed(name: str) -> str:
    if not NAME.fullmatch(name) or name == "base":
        raise ValueError(
            f"a tuned model can't be called '{name}': names are made of letters, digits, "
            "'.', '_' and '-', and 'base' is reserved"
        )
    return name


class Model(_Part):
    """One model: where it is, which revision of it, what it was tuned from, and its role."""

    path: str = Field(
        min_length=1,
        description="Hub id, folder of a model, or folder of a PEFT adapter.",
        examples=["Qwen/Qwen2.5-7B"],
    )
    revision: str | None = Field(
        default=None,
        description="Branch, tag or commit on the hub; the main branch if not given.",
        examples=["main"],
    )
    parent: str | None = Field(
        default=None, description="The model of this study that it was tuned from, if not the base."
    )
    role: Literal["tuned", "control"] = Field(
        default="tuned", description="A control is drawn as what tuning on nothing new looks like."
    )

    @field_validator("path")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("no path holds a NUL character")
        return value


class Models(_Part):
    """The base and the models tuned from it, by name."""

    base: Model = Field(description="The model that the others were tuned from.")
    tuned: dict[Annotated[str, AfterValidator(_allowed)], Model] = Field(
        min_length=1, description="The models tuned from it, each under a name of yours."
    )
    tokenizer: str | None = Field(
        default=None,
        description="Hub id or folder of another tokeniser than the base's.",
        examples=["Qwen/Qwen2.5-7B"],
    )
    trust_remote_code: bool = Field(
        default=False, description="Let Python code of the model's own run: only if you trust it."
    )

    @field_validator("base", mode="before")
    @classmethod
    def _base_from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("tuned", mode="before")
    @classmethod
    def _tuned_from_paths(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: {"path": v} if isinstance(v, str) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _known_parents(self) -> Models:
        for name, model in self.tuned.items():
            _check_parent(name, model, self.tuned)
        return self


def _check_parent(name: str, model: Model, tuned: Mapping[str, Model]) -> None:
    """Parents exist and no chain of them comes back to where it began."""
    seen, parent = {name}, model.parent
    while parent not in (None, "base"):
        if parent not in tuned:
            raise ValueError(
                f"parent '{parent}' of '{name}' is no model of this study. "
                + did_you_mean(str(parent), [*tuned, "base"])
            )
        if parent in seen:
            raise ValueError(f"the parents of '{name}' come back to '{parent}'")
        seen.add(parent)
        parent = tuned[parent].parent


class Probe(_Part):
    """The texts on which activations are measured: a file's, a built-in set's, or a task's."""

    file: str | None = Field(
        default=None,
        description='.jsonl with "text" in each line, or .txt, a text a line.',
        examples=["abstracts.jsonl"],
    )
    builtin: Literal["code", "general", "maths", "medical"] | None = Field(
        default=None,
        description="A set of texts that comes with the program.",
        examples=["medical"],
    )
    task: str | None = Field(
        default=None, description="The items of a task, written out.", examples=["pubmedqa"]
    )
    documents: int = Field(default=500, ge=1, description="How many of the texts, at most.")
    max_tokens: int = Field(default=1024, ge=1, description="Each text is cut to that many tokens.")
    token: Literal["mean", "last"] = Field(
        default="mean", description="What stands for a text: the mean over tokens, or the last."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Probe:
        if sum(source is not None for source in (self.file, self.builtin, self.task)) != 1:
            raise ValueError("needs one of 'file', 'builtin' and 'task'")
        return self


class Evaluation(_Part):
    """Tasks by domain, and how they are run."""

    tasks: dict[str, tuple[str, ...]] = Field(
        description="Tasks of lm-evaluation-harness by domain; one named as a model is its own."
    )
    include: str | None = Field(
        default=None,
        description="Folder of your own task files, besides the harness's.",
        examples=["tasks"],
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="Items of each task; all of them if not given.",
        examples=[200],
    )
    reference: dict[str, str] = Field(
        default={},
        description="Domain = its tuned model, where their names differ.",
        examples=[{"general": "instruct"}],
    )
    fewshot: int | None = Field(
        default=None,
        ge=0,
        description="Examples before each item; the task's own if not given.",
        examples=[5],
    )
    chat_template: bool = Field(
        default=False, description="Put items into the template of the model's own chat."
    )
    bootstrap: int = Field(default=1000, ge=1, description="Resamples behind each interval.")


class Run(_Part):
    """Where and in what precision it is computed."""

    device: str = Field(
        default="auto", description="auto, cpu, cuda, cuda:1 or mps; auto: over all GPUs."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto", description="Precision of the models that run; auto: as on disk."
    )
    max_memory: dict[str, str] | None = Field(
        default=None,
        description="The most on each device, such as 0=60GiB, cpu=100GiB.",
        examples=[{"0": "60GiB", "cpu": "100GiB"}],
    )
    offload_folder: str | None = Field(
        default=None,
        description="Folder on a fast disk for layers that fit nowhere else.",
        examples=["offload"],
    )
    batch_size: int | Literal["auto"] = Field(
        default="auto", description="Texts at once; halved by itself where memory runs out."
    )
    attention: str = Field(
        default="auto", description="How attention is computed, such as sdpa or eager."
    )
    seed: int = Field(default=0, description="Of every random draw.")

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda, cuda:<number> or mps")
        return value


class Study(_Part):
    """A whole study. `analyses` maps an analysis to the parameters given for it."""

    name: str = Field(min_length=1, description="What its runs are called.")
    models: Models
    probe: Probe | None = None
    evaluation: Evaluation | None = None
    analyses: dict[str, dict[str, Any]] = {}
    run: Run = Run()

    @model_validator(mode="after")
    def _known_analyses(self) -> Study:
        known = registry.names()
        for name in self.analyses:
            if name not in known:
                raise ValueError(f"analyses.{name}: no such analysis. {did_you_mean(name, known)}")
        for name in self.analyses:
            self.parameters(name)
        return self

    @model_validator(mode="after")
    def _known_references(self) -> Study:
        if self.evaluation is not None:
            for domain, model in self.evaluation.reference.items():
                for name, known, what in (
                    (domain, self.evaluation.tasks, "domain of evaluation.tasks"),
                    (model, self.models.tuned, "tuned model of this study"),
                ):
                    if name not in known:
                        raise ValueError(
                            f"evaluation.reference: '{name}' is no {what}. "
                            + did_you_mean(name, known)
                        )
        return self

    def parameters(self, analysis: str) -> registry.Parameters:
        """The parameters of an analysis: those given here, defaults for the rest."""
        try:
            return registry.get(analysis).parameters(**self.analyses.get(analysis, {}))
        except ValidationError as error:
            known = registry.get(analysis).parameters.model_fields
            raise ValueError(_explain(error, known, prefix=f"analyses.{analysis}.")) from None

    def controls(self) -> frozenset[str]:
        """The names of the models in the role of a control."""
        return frozenset(n for n, m in self.models.tuned.items() if m.role == "control")

    def key(self, analyses: Iterable[str]) -> str:
        """Identifies the same study asked for the same analyses."""
        return content_key({"study": self.model_dump(mode="json"), "only": sorted(analyses)})


def read(path: Path) -> Study:
    """The study in a TOML file. Raises StudyError naming the file, the key and a near one."""
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError:
        raise StudyError(f"There is no study file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"The study file {path} can't be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path} is no valid TOML: {error}.") from None
    try:
        return parsed(data, path.resolve().parent)
    except StudyError as error:
        raise StudyError(f"{path}: {error.title}") from None


def parsed(data: Mapping[str, Any], folder: Path) -> Study:
    """The study in the data of a file that lies in `folder`. Raises StudyError naming the key."""
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        raise StudyError(_explain(error, Study.model_fields)) from None
    return _with_absolute_paths(study, folder)


def faults(data: Mapping[str, Any]) -> dict[str, str]:
    """All that is wrong with the data of a study file: what it is, by its key (`probe.limit`).

    What is wrong between several keys stands at the part that they are in.
    """
    found: dict[str, str] = {}
    for analysis, given in data.get("analyses", {}).items():
        if analysis in registry.names():
            try:
                registry.get(analysis).parameters.model_validate(given)
            except ValidationError as error:
                found |= _by_key(error, f"analyses.{analysis}.")
    try:
        Study.model_validate({**data, "analyses": {}} if found else data)
    except ValidationError as error:
        found |= _by_key(error)
    return found


def of_models(base: str, tuned: Iterable[str]) -> Study:
    """A study of bare model paths or hub ids, each named after its last part."""
    named: dict[str, Model] = {}
    for path in tuned:
        name = free_name(Path(path.rstrip("/")).name, named)
        named[name] = Model(path=_absolute(path, Path.cwd()))
    if not named:
        raise StudyError("Name at least one tuned model after the base.")
    base_model = Model(path=_absolute(base, Path.cwd()))
    return Study(
        name=Path(base_model.path).name or base,
        models=Models(base=base_model, tuned=named),
    )


def free_name(wanted: str, taken: Collection[str]) -> str:
    """A name for a tuned model, as near to the wanted one as the rules and the others allow."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-") or "tuned"
    stem = stem if stem != "base" else "base-tuned"
    name, count = stem, 2
    while name in taken:
        name, count = f"{stem}-{count}", count + 1
    return name


def looks_local(path: str) -> bool:
    """Is this a folder rather than a hub id, whether or not it is there?"""
    return path.startswith((".", "/", "~")) or path.count("/") > 1


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
        part = getattr(study, name)
        if part is not None and getattr(part, key):
            place = below(folder, getattr(part, key))
            update[name] = part.model_copy(update={key: str(place)})
    return study.model_copy(update=update)


def _anchored(model: Model, folder: Path) -> Model:
    return model.model_copy(update={"path": _absolute(model.path, folder)})


def _absolute(path: str, folder: Path) -> str:
    """A local directory as an absolute path; what exists nowhere below stays as a hub id."""
    local = below(folder, path)
    # Of os.path, which takes a name that is too long for one of nothing.
    there = os.path.exists(local)  # noqa: PTH110
    return os.path.realpath(local) if there or looks_local(path) else path


def _explain(error: ValidationError, fields: Mapping[str, Any], prefix: str = "") -> str:
    """The first thing that is wrong, by its key; the nearest valid key where one is unknown."""
    # A misspelt key is also a missing one: the former says what to do.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = prefix + _key(first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1], fields)
        return f"unknown key '{where}'. {did_you_mean(str(first['loc'][-1]), known)}"
    message = complaints.words(first)
    return f"{where}: {message}" if where else message


def _by_key(error: ValidationError, prefix: str = "") -> dict[str, str]:
    """What is wrong, each with its key; of several with one key, the first."""
    found: dict[str, str] = {}
    for fault in error.errors():
        found.setdefault((prefix + _key(fault["loc"])).rstrip("."), complaints.words(fault))
    return found


def _key(location: tuple[str | int, ...]) -> str:
    """A place in a study as its file would name it; that a name is meant goes without saying."""
    return ".".join(str(part) for part in location if part != "[key]")


def _keys_at(location: tuple[str | int, ...], fields: Mapping[str, Any]) -> list[str]:
    """The valid keys of the part of a study that a location points into."""
    for step in location:
        annotation = fields[step].annotation if isinstance(step, str) and step in fields else None
        parts = [annotation, *getattr(annotation, "__args__", ())]
        nested = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
        if nested:
            fields = nested[0].model_fields
    return list(fields)
