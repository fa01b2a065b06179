"""What a study is about, opened: its family, and its probe set where the analyses look at texts.

Owns the order in which a study's inputs are opened, and what is doubtful about them together.
Analyses plan their units over it. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core import family as families
from core import probe as probes
from core.checkpoint import locate
from core.errors import CheckpointError, StudyError
from core.family import Family, Member
from core.measurement import Unit, content_key
from core.probe import ProbeSet
from core.study import Study

BASE = "base"


@dataclass(frozen=True, slots=True)
class Subject:
    """A study's inputs. `planned` are the units of the analyses planned so far, by name."""

    study: Study
    family: Family
    probe: ProbeSet | None = None
    notes: tuple[tuple[str, str], ...] = ()
    planned: dict[str, list[Unit]] = field(default_factory=dict)

    @property
    def models(self) -> Mapping[str, Member]:
        """The base and the tuned models, in the study's order."""
        return {BASE: self.family.base, **self.family.tuned}

    @property
    def probed(self) -> ProbeSet:
        """The probe set, for analyses that need one."""
        assert self.probe is not None
        return self.probe

    def key(self, analysis: str, version: int, parameters: Any, model: str, **more: Any) -> str:
        """The content key of a unit that runs a loaded model on the probe set."""
        return content_key(
            {
                "analysis": [analysis, version, parameters.model_dump(mode="json")],
                "model": [model, self.models[model].fingerprint],
                "probe": self.probed.fingerprint,
                "dtype": self.study.run.dtype,
                "attention": self.study.run.attention,
                **more,
            }
        )


def open_subject(study: Study, needs: Sequence[str]) -> Subject:
    """Open what analyses with these needs look at. Raises InputError, StudyError."""
    if "probe" in needs and study.probe is None:
        raise StudyError(
            "The study has no [probe], the texts on which activations are measured.",
            hint="Give it a file, a built-in set or a task.",
        )
    family = families.open_family(study.models)
    if "probe" not in needs:
        return Subject(study, family, notes=family.warnings)
    probe, doubts = _probe(study, family)
    return Subject(study, family, probe, (*family.warnings, *doubts))


def _probe(study: Study, family: Family) -> tuple[ProbeSet, list[tuple[str, str]]]:
    wanted = study.probe
    assert wanted is not None
    encode = _encoder(_tokenizer_folder(study, family), study)
    members = (family.base, *family.tuned.values())
    contexts = [c for m in members if (c := _context(m.checkpoint.config)) is not None]
    context = min(contexts, default=None)
    found = probes.encoded(
        _texts(study),
        encode,
        documents=wanted.documents,
        max_tokens=wanted.max_tokens,
        context=context,
    )
    doubts = [("probe", note) for note in found.notes]
    for name, member in family.tuned.items():
        try:
            own = _encoder(member.folder, study)
        except CheckpointError:
            continue  # it brings none of its own: nothing differs
        other = probes.split_otherwise(found, own, min([wanted.max_tokens, *contexts]))
        if other:
            words = f"its tokeniser splits {other} of {len(found.ids)} probe documents otherwise"
            doubts.append((name, f"{words}; it is shown the token ids of the base's."))
    return found, doubts


def _texts(study: Study) -> list[str]:
    wanted = study.probe
    assert wanted is not None
    if wanted.builtin is not None:
        return probes.builtin(wanted.builtin)
    if wanted.file is not None:
        return probes.read(Path(wanted.file))
    from core import tasks

    assert wanted.task is not None
    include = study.evaluation.include if study.evaluation else None
    return tasks.documents(wanted.task, include=include, limit=wanted.documents)


def _tokenizer_folder(study: Study, family: Family) -> Path:
    return locate(study.models.tokenizer) if study.models.tokenizer else family.base.folder


def _encoder(folder: Path, study: Study) -> Callable[[str], Sequence[int]]:
    from core import loading

    tokenizer = loading.tokenizer(folder, trust_remote_code=study.models.trust_remote_code)
    return partial(_encode, tokenizer)


def _encode(tokenizer: Any, text: str) -> Sequence[int]:
    ids: Sequence[int] = tokenizer(text, verbose=False)["input_ids"]
    return ids


def _context(config: Mapping[str, Any]) -> int | None:
    text = config.get("text_config") or config
    found = text.get("max_position_embeddings") or text.get("n_positions")
    return int(found) if found else None
