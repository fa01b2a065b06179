"""The study file as frozen data: what to compare, on what, and how. Reads TOML; loads no model.

Unknown keys are refused with the nearest known one. Relative paths are relative to the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core import registry
from core.errors import StudyError, did_you_mean
from core.measurement import content_key

NAME = re.compile(r"[A-Za-z0-9._-]+")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(_Part):
    """One model: where it is, which revision of it, what it was tuned from, and its role."""

    path: str
    revision: str | None = None
    parent: str | None = None
    role: Literal["tuned", "control"] = "tuned"


class Models(_Part):
    """The base and the models tuned from it, by name."""

    base: Model
    tuned: dict[str, Model] = Field(min_length=1)
    tokenizer: str | None = None
    trust_remote_code: bool = False

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
    def _names_and_parents(self) -> Models:
        for name, model in self.tuned.items():
            if not NAME.fullmatch(name) or name == "base":
                raise ValueError(
                    f"a tuned model can't be called '{name}': names are made of letters, digits, "
                    "'.', '_' and '-', and 'base' is reserved"
                )
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

    file: str | None = None
    builtin: Literal["code", "general", "maths", "medical"] | None = None
    task: str | None = None
    documents: int = Field(default=500, ge=1)
    max_tokens: int = Field(default=1024, ge=1)
    token: Literal["mean", "last"] = "mean"

    @model_validator(mode="after")
    def _one_source(self) -> Probe:
        if sum(source is not None for source in (self.file, self.builtin, self.task)) != 1:
            raise ValueError("needs one of 'file', 'builtin' and 'task'")
        return self


class Evaluation(_Part):
    """Tasks by domain, and how they are run."""

    tasks: dict[str, tuple[str, ...]]
    include: str | None = None
    limit: int | None = Field(default=None, ge=1)
    reference: dict[str, str] = {}
    fewshot: int | None = Field(default=None, ge=0)
    chat_template: bool = False
    bootstrap: int = Field(default=1000, ge=1)


class Run(_Part):
    """Where and in what precision it is computed."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    max_memory: dict[str, str] | None = None
    offload_folder: str | None = None
    batch_size: int | Literal["auto"] = "auto"
    attention: str = "auto"
    seed: int = 0

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda, cuda:<number> or mps")
        return value


class Study(_Part):
    """A whole study. `analyses` maps an analysis to the parameters given for it."""

    name: str = Field(min_length=1)
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
        study = Study(**data)
    except ValidationError as error:
        raise StudyError(f"{path}: {_explain(error, Study.model_fields)}") from None
    return _with_absolute_paths(study, path.resolve().parent)


def of_models(base: str, tuned: Iterable[str]) -> Study:
    """A study of bare model paths or hub ids, each named after its last part."""
    named: dict[str, Model] = {}
    for path in tuned:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path.rstrip("/")).name).strip("-") or "tuned"
        stem = stem if stem != "base" else "base-tuned"
        name, count = stem, 2
        while name in named:
            name, count = f"{stem}-{count}", count + 1
        named[name] = Model(path=_absolute(path, Path.cwd()))
    if not named:
        raise StudyError("Name at least one tuned model after the base.")
    base_model = Model(path=_absolute(base, Path.cwd()))
    return Study(
        name=Path(base_model.path).name or base,
        models=Models(base=base_model, tuned=named),
    )


def _with_absolute_paths(study: Study, folder: Path) -> Study:
    models = study.models.model_copy(
        update={
            "base": _anchored(study.models.base, folder),
            "tuned": {n: _anchored(m, folder) for n, m in study.models.tuned.items()},
        }
    )
    update: dict[str, Any] = {"models": models}
    if study.probe and study.probe.file:
        file = str(folder / study.probe.file)
        update["probe"] = study.probe.model_copy(update={"file": file})
    if study.evaluation and study.evaluation.include:
        include = str(folder / study.evaluation.include)
        update["evaluation"] = study.evaluation.model_copy(update={"include": include})
    return study.model_copy(update=update)


def _anchored(model: Model, folder: Path) -> Model:
    return model.model_copy(update={"path": _absolute(model.path, folder)})


def _absolute(path: str, folder: Path) -> str:
    """A local directory as an absolute path; what exists nowhere below stays as a hub id."""
    local = folder / Path(path).expanduser()
    looks_local = path.startswith((".", "/", "~")) or path.count("/") > 1
    return str(local.resolve()) if local.exists() or looks_local else path


def _explain(error: ValidationError, fields: Mapping[str, Any], prefix: str = "") -> str:
    """The first thing that is wrong, by its key; the nearest valid key where one is unknown."""
    # A misspelt key is also a missing one: the former says what to do.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = prefix + ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1], fields)
        return f"unknown key '{where}'. {did_you_mean(str(first['loc'][-1]), known)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _keys_at(location: tuple[str | int, ...], fields: Mapping[str, Any]) -> list[str]:
    """The valid keys of the part of a study that a location points into."""
    for step in location:
        annotation = fields[step].annotation if isinstance(step, str) and step in fields else None
        parts = [annotation, *getattr(annotation, "__args__", ())]
        nested = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
        if nested:
            fields = nested[0].model_fields
    return list(fields)
