"""The probe sets of a study, opened: their documents as the token ids of the study's tokeniser.

Owns the choice of the built-in set for a study without one, and the doubts about probe sets.
Callers pass the function from a model's folder to its encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import CheckpointError, ProbeError
from core.models.checkpoint import locate
from core.models.family import Family
from core.models.naming import POSITIONS
from core.sizes import counted
from core.study.study import SOLE, Probe, Study
from core.texts import probe as probes
from core.texts.documents import source
from core.texts.documents.fields import Document
from core.texts.probe import Encode, ProbeSet

OTHERWISE = "general"
"""The built-in set for a study without a probe set."""

Notes = list[tuple[str, str]]


def open_sets(
    study: Study, family: Family, encoder: Callable[[Path], Encode]
) -> tuple[dict[str, ProbeSet], Notes]:
    """The probe sets by name, and the doubts about them; the built-in set if the study has none.

    Empty if the study has none and the base has no tokeniser. Raises CheckpointError, ProbeError.
    """
    asked = study.probe_sets()
    folder = locate(study.models.tokenizer) if study.models.tokenizer else family.base.folder
    try:
        encode = encoder(folder)
    except CheckpointError:
        if asked:
            raise
        return {}, [("probe", "The study has none, and the base has no tokeniser for texts.")]
    notes: Notes = []
    if not asked:
        asked = {OTHERWISE: Probe(builtin=OTHERWISE)}
        notes.append(("probe", f"The study has none: the built-in set '{OTHERWISE}' stands in."))
    sets = {}
    for name, wanted in asked.items():
        sets[name], doubts = _opened(name, wanted, study, family, encode)
        notes += doubts
    return sets, notes + _split_otherwise(sets, asked, family, encoder)


def _opened(
    name: str, wanted: Probe, study: Study, family: Family, encode: Encode
) -> tuple[ProbeSet, Notes]:
    about = name if name == SOLE else f"probes.{name}"
    try:
        given = _documents(wanted, study)
        probe_set = probes.encoded(
            given,
            encode,
            documents=wanted.documents,
            max_tokens=wanted.max_tokens,
            context=min(_contexts(family), default=None),
        )
    except ProbeError as error:
        if name == SOLE:
            raise
        raise ProbeError(f"{about}: {error.title}", hint=error.hint) from error
    notes = [(about, note) for note in probe_set.notes]
    if len(given) < wanted.documents and "documents" in wanted.model_fields_set:
        words = (
            f"holds {counted(len(given), 'document')}, fewer than the requested {wanted.documents}."
        )
        notes.append((about, words))
    return probe_set, notes


def _split_otherwise(
    sets: Mapping[str, ProbeSet],
    asked: Mapping[str, Probe],
    family: Family,
    encoder: Callable[[Path], Encode],
) -> Notes:
    """The tuned models whose own tokenisers split documents differently."""
    notes = []
    for model, member in family.tuned.items():
        try:
            encode = encoder(member.folder)
        except CheckpointError:
            continue  # it has no tokeniser, so nothing differs
        other = sum(
            probes.split_otherwise(
                probe_set, encode, min([asked[name].max_tokens, *_contexts(family)])
            )
            for name, probe_set in sets.items()
        )
        if other:
            documents = sum(len(probe_set.ids) for probe_set in sets.values())
            words = f"its tokeniser splits {other} of {documents} probe documents differently"
            notes.append((model, f"{words}; it reads the token ids of the base's."))
    return notes


def _documents(wanted: Probe, study: Study) -> list[Document]:
    if wanted.builtin is not None:
        return probes.builtin(wanted.builtin)
    if wanted.file is not None:
        return source.read(Path(wanted.file), wanted.documents)
    from core.evaluation import examples

    assert wanted.task is not None
    include = study.evaluation.include if study.evaluation else None
    trusted = study.evaluation is not None and study.evaluation.trust_task_code
    texts = examples.documents(
        wanted.task, include=include, limit=wanted.documents, trusted=trusted
    )
    return [Document(text) for text in texts]


def _contexts(family: Family) -> list[int]:
    """The context lengths that the models state."""
    members = (family.base, *family.tuned.values())
    return [c for m in members if (c := _context(m.checkpoint.config)) is not None]


def _context(config: Mapping[str, Any]) -> int | None:
    text = config.get("text_config") or config
    length = next((text[key] for key in POSITIONS if text.get(key)), None)
    return int(length) if length else None
