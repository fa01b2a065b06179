"""The models of a study as frozen data: the base, the models tuned from it, their parents.

Owns names of models and groups, and series of checkpoints as declared. Opens no model.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from core.errors import did_you_mean
from core.models import steps

NAME = re.compile(r"[A-Za-z0-9._-]+")
_TUNED = re.compile(rf"{NAME.pattern}(@(0|[1-9]\d{{0,17}}))?", re.ASCII)


class Part(BaseModel):
    """A part of a study: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _allowed(name: str) -> str:
    if not _TUNED.fullmatch(name) or name.partition("@")[0] == "base":
        raise ValueError(
            f"a tuned model can't be called '{name}': names are made of letters, digits, "
            "'.', '_' and '-', 'base' is reserved, and '@' stands before the step of a checkpoint"
        )
    return name


class Model(Part):
    """One model, or a series of checkpoints: place, revision, parent, role and group."""

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
        default="tuned",
        description="A control is tuned on nothing new and gives the null band.",
    )
    checkpoints: str | None = Field(
        default=None,
        min_length=1,
        description="Pattern of the folders in the path that are its checkpoints, by step.",
        examples=["checkpoint-*"],
    )
    group: str | None = Field(
        default=None,
        pattern=rf"^{NAME.pattern}$",
        description="The group of models of one recipe, such as several seeds.",
        examples=["maths"],
    )

    @field_validator("checkpoints")
    @classmethod
    def _one_folder(cls, value: str | None) -> str | None:
        if value is not None and (re.search(r"[/\\\0]", value) or value in (".", "..", "**")):
            raise ValueError("must be the name of a folder, with * for any text")
        return value

    @field_validator("path")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("no path holds a NUL character")
        return value


class Models(Part):
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
    template: Literal["base", "own"] = Field(
        default="base",
        description="Chat template: the base's for all models, or each model's own.",
    )
    trust_remote_code: bool = Field(
        default=False, description="Let the model's own Python code run: only if you trust it."
    )

    @field_validator("base", mode="before")
    @classmethod
    def _base_from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("base")
    @classmethod
    def _base_is_one(cls, value: Model) -> Model:
        if value.checkpoints or value.group:
            raise ValueError("the base is one model: it has no checkpoints and no group")
        return value

    @field_validator("tuned", mode="before")
    @classmethod
    def _tuned_from_paths(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: {"path": v} if isinstance(v, str) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _known_parents(self) -> Models:
        for name, model in self.tuned.items():
            _check_parent(name, model, self)
        return self

    @model_validator(mode="after")
    def _free_groups(self) -> Models:
        series = steps.series_in(self.tuned)
        for name, model in self.tuned.items():
            if model.group in ("base", *self.tuned, *series):
                raise ValueError(
                    f"group '{model.group}' of '{name}' is the name of a model; call it otherwise"
                )
        return self

    @property
    def pending(self) -> tuple[str, ...]:
        """The series whose members are not known yet."""
        return tuple(n for n, m in self.tuned.items() if m.checkpoints and not steps.parted(n))

    @property
    def has_series(self) -> bool:
        """Is there a series of checkpoints, however many of them there are so far?"""
        return bool(self.pending or steps.series_in(self.tuned))

    def as_written(self) -> dict[str, Model]:
        """The tuned models with each series as the study file declares it, not its members."""
        written: dict[str, Model] = {}
        for name, model in self.tuned.items():
            member = steps.parted(name)
            if member is None or not model.checkpoints:
                written[name] = model
            else:
                folder = str(PurePath(model.path).parent)
                written.setdefault(member.series, model.model_copy(update={"path": folder}))
        return written

    def missing(self, name: str) -> str:
        """The reason for which a name is no tuned model, and a hint; empty if it is one, or may be
        a member of a series that is not read yet."""
        member = steps.parted(name)
        if name in self.pending or name in steps.series_in(self.tuned):
            return f"a series of checkpoints: name one of its steps, such as '{name}@500'"
        if name in self.tuned or (member is not None and member.series in self.pending):
            return ""
        return f"not a tuned model of this study. {did_you_mean(name, self.tuned)}"


def _check_parent(name: str, model: Model, models: Models) -> None:
    """Raise ValueError if a parent does not exist, or a chain of parents is a cycle."""
    tuned = models.tuned
    seen, parent = {name}, model.parent
    while parent not in (None, "base"):
        if wrong := models.missing(str(parent)):
            raise ValueError(f"parent '{parent}' of '{name}' is {wrong}")
        if parent not in tuned:
            return  # a member of a series that is not read yet
        if parent in seen:
            raise ValueError(f"the parents of '{name}' lead back to '{parent}'")
        seen.add(parent)
        parent = tuned[parent].parent
