"""The inputs of a study, opened: its family, and the texts and tasks of its analyses.

Owns the order of opening a study's inputs, and the doubts about them together. Analyses plan their
units over it. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import libraries
from core.engine import probes
from core.engine.measurement import Unit, content_key
from core.engine.registry import OF_WEIGHTS
from core.errors import CheckpointError, StudyError, TaskError, TauscopeError
from core.models import family as families
from core.models.checkpoint import locate
from core.models.family import Family, Member
from core.models.identity import Identities
from core.study.study import Evaluation, Study
from core.texts import encoding, templates
from core.texts.probe import ProbeSet

if TYPE_CHECKING:
    from core.evaluation.tasks import Task

BASE = "base"


@dataclass(frozen=True, slots=True)
class Subject:
    """A study's inputs.

    `probes` are the probe sets by name, in the study's order; for a study without one, the built-in
    set where an analysis needs texts. `planned` are the units of the analyses planned so far, by
    name. `written` caches fingerprints of chat templates by model, `encoders` the fingerprint of
    the tokeniser by its name in the study.
    """

    study: Study
    family: Family
    probes: Mapping[str, ProbeSet] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    planned: dict[str, list[Unit]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    encoders: dict[str, str] = field(default_factory=dict)

    @property
    def models(self) -> Mapping[str, Member]:
        """The base and the tuned models, in the study's order."""
        return {BASE: self.family.base, **self.family.tuned}

    @property
    def probed(self) -> ProbeSet:
        """The first probe set, for analyses that need one."""
        return next(iter(self.probes.values()))

    @property
    def token(self) -> str:
        """The token of a document's pattern in the first probe set: `mean` or `last`."""
        first = self.study.first_probe()
        assert first is not None
        return first.token

    @property
    def evaluation(self) -> Evaluation:
        """The settings of evaluation, for analyses that need them."""
        assert self.study.evaluation is not None
        return self.study.evaluation

    def meets(self, needs: str) -> bool:
        """Does the study have the input `needs` of an analysis?"""
        given = {
            "weights": True, "series": self.study.models.has_series,
            "probe": bool(self.study.probe_sets()), "texts": bool(self.probes),
            "tasks": bool(self.tasks),
        }  # fmt: skip
        return given[needs]

    def own_model(self, domain: str) -> str | None:
        """The own model of a domain, to which its scores are compared: the study's reference for
        it, else the tuned model of the same name."""
        name = self.evaluation.reference.get(domain, domain)
        return name if name in self.family.tuned else None

    def key(
        self, analysis: str, version: int, parameters: Any, models: Sequence[str], **more: Any
    ) -> str:
        """The content key of a unit over loaded models: their weights, their loading, and further
        values that the result depends on (JSON)."""
        run = self.study.run
        if more.keys() & {"task", "tasks"}:  # a probe's fingerprint is of token ids
            if self.evaluation.chat_template:
                more = {**more, "templates": [self._template(model) for model in models]}
            more = {**more, "tokenizer": self._encoder()}
        return content_key(
            {
                "analysis": [analysis, version, parameters.model_dump(mode="json")],
                "models": [[model, self.models[model].fingerprint] for model in models],
                "dtype": run.dtype,
                "attention": run.attention,
                "seed": run.seed,
                **more,
            }
        )

    def tokenizer(self, model: str = BASE) -> Any:
        """The tokeniser of all models of the study, with this model's chat template."""
        shared = _tokenizer(self.study, _tokenizer_folder(self.study, self.family))
        return (
            templates.with_own(shared, model, self._own_tokenizer) if self.own_templates else shared
        )

    @property
    def own_templates(self) -> bool:
        """Does each model use its own chat template?"""
        asked = self.study.evaluation
        return asked is not None and asked.chat_template and self.study.models.template == "own"

    def _encoder(self) -> str:
        """The fingerprint of the study's tokeniser; empty if the base has none."""
        named = self.study.models.tokenizer or ""
        if named not in self.encoders:
            folder = _tokenizer_folder(self.study, self.family)
            try:
                self.encoders[named] = encoding.fingerprint(_tokenizer(self.study, folder))
            except CheckpointError:
                if named:
                    raise
                self.encoders[named] = ""  # units fail when they load the model
        return self.encoders[named]

    def _template(self, model: str) -> str:
        whose = model if self.own_templates else BASE
        if whose not in self.written:  # reading a tokeniser may take a second
            self.written[whose] = templates.fingerprint(self.tokenizer(whose))
        return self.written[whose]

    def _own_tokenizer(self, model: str) -> Any:
        return _tokenizer(self.study, self.models[model].folder)


def open_subject(
    study: Study, needs: Sequence[str], identities: Identities | None = None
) -> Subject:
    """Open the inputs of analyses with these needs: texts and tasks only if a model is loaded.

    `identities` caches the hashes of the models' files. Raises InputError, StudyError.
    """
    if "probe" in needs and not study.probe_sets():
        raise StudyError(
            "The study has no [probe], the texts on which activations are measured.",
            hint="Give it a file, a built-in set or a task.",
        )
    family = families.open_family(study.models, identities)
    subject = Subject(study, family, notes=family.warnings)
    if OF_WEIGHTS.issuperset(needs):
        return subject
    from core.models import construction

    construction.refuse_unknown_attention(study.run)
    if study.probe_sets() or "texts" in needs:
        sets, doubts = probes.open_sets(study, family, partial(_encoder, study=study))
        subject = replace(subject, probes=sets, notes=(*subject.notes, *doubts))
    if "tasks" in needs and study.evaluation is not None:
        from core.evaluation import fewshot

        if study.evaluation.chat_template:
            subject = replace(subject, notes=(*subject.notes, *_template_doubts(subject)))
        messages: list[tuple[str, str]] = []
        with libraries.heard(lambda words: messages.append(("evaluation", words))):
            tasks = _tasks(study.evaluation, study.run.seed)
        notes = (*subject.notes, *messages, *fewshot.doubts(tasks))
        subject = replace(subject, tasks=tasks, notes=notes)
    return subject


def _tasks(evaluation: Evaluation, seed: int) -> tuple[Task, ...]:
    from core.evaluation.tasks import open_tasks

    try:
        return open_tasks(evaluation, seed=seed)
    except TauscopeError:
        raise
    except Exception as error:  # the harness does not document its errors for task files
        named = ", ".join(name for names in evaluation.tasks.values() for name in names)
        raise TaskError(
            f"A task of the study ({named}) can't be read: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}",
        ) from error


def _template_doubts(subject: Subject) -> list[tuple[str, str]]:
    """The doubts about chat templates. Raises StudyError if one is missing."""
    models, own_templates = subject.study.models, subject.own_templates
    for name in subject.models if own_templates else ():
        subject.tokenizer(name)
    shared = _tokenizer(subject.study, _tokenizer_folder(subject.study, subject.family))
    named = models.tokenizer
    whose = named if named else f"the base ({subject.family.base.where})"
    if not own_templates:
        templates.refuse_none(shared, whose)
    others = (*((BASE,) if named else ()), *subject.family.tuned)
    return templates.doubts(
        shared, whose, others, subject._own_tokenizer, own_templates=own_templates
    )


def _tokenizer_folder(study: Study, family: Family) -> Path:
    return locate(study.models.tokenizer) if study.models.tokenizer else family.base.folder


def _encoder(folder: Path, study: Study) -> Callable[[str], Sequence[int]]:
    return partial(encoding.ids, _tokenizer(study, folder))


def _tokenizer(study: Study, folder: Path) -> Any:
    from core.models import loading

    return loading.tokenizer(folder, trust_remote_code=study.models.trust_remote_code)
