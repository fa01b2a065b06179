"""A study as frozen data: models, texts, tasks and settings. Reads no file; loads no model.

Owns the declarations, which refuse unknown keys and wrong values. Every form, prompt and comment
uses a field's description.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core import trust
from core.engine import registry
from core.engine.measurement import content_key
from core.errors import did_you_mean
from core.study import mistakes, task_sets
from core.study.models import NAME, Models, Part

LARGEST = 10**18
"""The largest count in a study, near the limit of Python's iterators."""

SEEDS = 2**32 - 1
"""The largest seed of numpy's generators, which the harness uses."""

STORED = "stored"
"""The context in which the study of a stored run is validated."""

SOLE = "probe"
"""The name of the probe set of [probe]."""

PLACES = (("probe", "file"), ("evaluation", "include"), ("run", "offload_folder"))
"""Sections and keys of paths in a study, besides models and tokeniser."""


class Probe(Part):
    """The texts on which activations are measured: from a file, a built-in set or a task."""

    file: str | None = Field(
        default=None,
        description='.jsonl, .json, .csv, .parquet with "text"; .txt, a text per line.',
        examples=["abstracts.jsonl"],
    )
    builtin: Literal["code", "general", "maths", "medical"] | None = Field(
        default=None,
        description="A set of texts that ships with the program.",
        examples=["medical"],
    )
    task: str | None = Field(
        default=None, description="The items of a task, as texts.", examples=["pubmedqa"]
    )
    documents: int = Field(default=500, ge=1, le=LARGEST, description="Number of texts, at most.")
    max_tokens: int = Field(
        default=1024, ge=1, le=LARGEST, description="Tokens of each text, at most."
    )
    token: Literal["mean", "last"] = Field(
        default="mean", description="Pattern of a text: the mean over tokens, or the last token."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Probe:
        given = [name for name in ("file", "builtin", "task") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(map(repr, given))}, but may have only one of them")
        if not given:
            raise ValueError("needs one of 'file', 'builtin' and 'task'")
        return self


def _free(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"a probe set can't be called '{name}': names are made of letters, digits, '.', '_' "
            "and '-'"
        )
    return name


def _refuse(info: ValidationInfo, words: str) -> None:
    """Refuse a value in a new study. A run that was stored with it before stays readable."""
    if info.context != STORED:
        raise ValueError(words)


def _some(tasks: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if not tasks:
        _refuse(info, "needs at least one task")
    return tasks


class Evaluation(Part):
    """Tasks by domain, and their settings."""

    tasks: dict[str, Annotated[tuple[str, ...], AfterValidator(_some)]] = Field(
        description="Tasks of lm-evaluation-harness by domain, or set:safety; a domain named as a "
        "model is its own."
    )
    include: str | None = Field(
        default=None,
        description="Folder of your own task files, besides the harness's.",
        examples=["tasks"],
    )
    trust_task_code: bool = Field(
        default=False, description="Let code in your own task files run: only if you trust it."
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST,
        description="Number of items per task; default: all.",
        examples=[200],
    )
    reference: dict[str, str] = Field(
        default={},
        description="Domain = its own model, if their names differ.",
        examples=[{"general": "instruct"}],
    )
    fewshot: int | None = Field(
        default=None,
        ge=0,
        le=LARGEST,
        description="Number of examples before each item; default: the task's own.",
        examples=[5],
    )
    chat_template: bool = Field(
        default=False,
        description="Ask items as a chat; models.template chooses the template.",
    )
    bootstrap: int = Field(
        default=1000, ge=1, le=LARGEST, description="Resamples behind each interval."
    )

    @field_validator("tasks")
    @classmethod
    def _whole_sets(
        cls, value: dict[str, tuple[str, ...]], info: ValidationInfo
    ) -> dict[str, tuple[str, ...]]:
        if not value:
            _refuse(info, "needs at least one domain")
        return {domain: task_sets.expanded(names) for domain, names in value.items()}


PLACING = ("engine", "address", "workers", "timeout")
"""The settings of `run` that say where units are computed; no result depends on them."""


class Run(Part):
    """Device, precision and memory of the computation."""

    device: str = Field(
        default="auto", description="auto, cpu, cuda, cuda:1 or mps; auto: over all GPUs."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto", description="Precision of the models that run; auto: as on disk."
    )
    max_memory: dict[str, str] | None = Field(
        default=None,
        description="Maximum memory per device, such as 0=60GiB, cpu=100GiB.",
        examples=[{"0": "60GiB", "cpu": "100GiB"}],
    )
    offload_folder: str | None = Field(
        default=None,
        description="Folder on a fast disk for layers that fit nowhere else.",
        examples=["offload"],
    )
    batch_size: int | Literal["auto"] = Field(
        default="auto", description="Texts per batch; halved automatically if memory runs out."
    )
    attention: str = Field(
        default="auto", description="Attention implementation, such as sdpa or eager."
    )
    seed: int = Field(default=0, description="Random seed.")
    engine: Literal["local", "ray"] = Field(
        default="local", description="local: in one process; ray: over GPUs and hosts."
    )
    address: str | None = Field(
        default=None,
        description="With ray: HOST:PORT of a running cluster; default: this host alone.",
        examples=["node1:6379"],
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="With ray on this host alone: processes; default: one per GPU.",
        examples=[4],
    )
    timeout: int = Field(
        default=30,
        ge=1,
        le=LARGEST,
        description="With ray: minutes without progress after which a worker is replaced.",
    )

    @field_validator("max_memory")
    @classmethod
    def _sizes(cls, value: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        if value == {}:
            _refuse(info, "needs at least one device")
        for device, size in (value or {}).items():
            if not re.fullmatch(r"\d+|cpu|mps|disk", device, re.ASCII):
                _refuse(info, f"'{device}' must be the number of a GPU, cpu, mps or disk")
            if not re.fullmatch(r"\d+(\.\d+)? *[KMG]i?B", size, re.ASCII | re.IGNORECASE):
                _refuse(info, f"{device} must be a size such as 60GiB, not '{size}'")
        return value

    @field_validator("batch_size")
    @classmethod
    def _counts_texts(
        cls, value: int | Literal["auto"], info: ValidationInfo
    ) -> int | Literal["auto"]:
        if value != "auto" and not 1 <= value <= LARGEST:
            _refuse(info, "must be 1 or more, or auto")
        return value

    @field_validator("seed")
    @classmethod
    def _fits_every_generator(cls, value: int, info: ValidationInfo) -> int:
        if not 0 <= value <= SEEDS:
            _refuse(info, f"must be from 0 to {SEEDS}")
        return value

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w.:\[\]-]+:\d{1,5}", value):
            raise ValueError("must be HOST:PORT, such as node1:6379")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda, cuda:<number> or mps")
        return value


class Study(Part):
    """A whole study. `analyses` maps an analysis to its given parameters."""

    name: str = Field(min_length=1, description="Title of its runs.")
    models: Models
    probe: Probe | None = None
    probes: dict[Annotated[str, AfterValidator(_free)], Probe] = Field(default={})
    evaluation: Evaluation | None = None
    analyses: dict[str, dict[str, Any]] = Field(default={})
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
    def _one_set_a_name(self) -> Study:
        if self.probe is not None and SOLE in self.probes:
            raise ValueError(f"probes.{SOLE}: [probe] is the probe set of this name")
        return self

    @model_validator(mode="after")
    def _known_references(self) -> Study:
        if self.evaluation is not None:
            for domain, model in self.evaluation.reference.items():
                known = self.evaluation.tasks
                if domain not in known:
                    raise ValueError(
                        f"evaluation.reference: '{domain}' is not a domain of evaluation.tasks. "
                        + did_you_mean(domain, known)
                    )
                if wrong := self.models.missing(model):
                    raise ValueError(f"evaluation.reference: '{model}' is {wrong}")
        return self

    def parameters(self, analysis: str) -> registry.Parameters:
        """The parameters of an analysis: the given ones, and defaults."""
        try:
            return registry.get(analysis).parameters(**self.analyses.get(analysis, {}))
        except ValidationError as error:
            known = registry.get(analysis).parameters.model_fields
            words = mistakes.explained(error, known, prefix=f"analyses.{analysis}.")
            raise ValueError(words) from None

    def probe_sets(self) -> dict[str, Probe]:
        """The probe sets by name: [probe] first, then [probes]."""
        return {**({SOLE: self.probe} if self.probe else {}), **self.probes}

    def first_probe(self) -> Probe | None:
        """The first probe set, for analyses that read one."""
        return next(iter(self.probe_sets().values()), None)

    def controls(self) -> frozenset[str]:
        """The names of the models in the role of a control."""
        return frozenset(n for n, m in self.models.tuned.items() if m.role == "control")

    def key(self, analyses: Iterable[str]) -> str:
        """The key of this study with these analyses, independent of trusted code.

        A series counts as declared: new checkpoints leave the key as it is.
        """
        models = self.models.model_copy(update={"tuned": self.models.as_written()})
        written = self.model_copy(update={"models": models})
        content = trust.granted(written, trust.NOBODY).model_dump(mode="json")
        # Earlier studies had no such keys; their keys must not change.
        for model in (content["models"]["base"], *content["models"]["tuned"].values()):
            for name in ("checkpoints", "group"):
                if model[name] is None:
                    del model[name]
        for name in PLACING:
            del content["run"][name]
        if self.models.template == "base":
            del content["models"]["template"]
        if not self.probes:
            del content["probes"]
        if content["evaluation"] is not None:
            del content["evaluation"]["trust_task_code"]
        return content_key({"study": content, "only": sorted(analyses)})
