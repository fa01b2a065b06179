"""Models opened: a folder as the parameters of its class, with any adapters laid over it.

Owns what is read of one model before it is compared with others: its anatomy, its tied
parameters, and what is doubtful about it by itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.errors import CheckpointError
from core.models import anatomy as anatomies
from core.models import checkpoint, folders
from core.models import outline as outlines
from core.models.adapters.checkpoint import Adapter
from core.models.anatomy import Anatomy
from core.models.checkpoint import Checkpoint
from core.models.gguf import checkpoint as gguf
from core.models.headers import ADAPTER, read_json
from core.models.identity import Identities
from core.models.parameters import CheckpointParameters
from core.models.plausibility import holding
from core.study.study import Model


def open_model(
    model: Model, over: Checkpoint | None, trusted: bool, identities: Identities
) -> tuple[Path, Checkpoint]:
    """A model's folder and its parameters; an adapter is laid `over` another model, or (None) over
    the one that it names. `trusted`: may the model's own code run?

    Raises CheckpointError, FamilyError.
    """
    folder = checkpoint.locate(model.path, model.revision)
    if not folders.is_adapter(folder):
        return folder, open_folder(folder, trusted, identities)
    if over is None:
        named = str(read_json(folder / ADAPTER).get(
            "base_model_name_or_path") or "")  # fmt: skip
        if not named:
            raise CheckpointError(f"{folder} is an adapter that doesn't name its base model.")
        if checkpoint.locate(named) == folder:
            raise CheckpointError(f"{folder} is an adapter that names itself as its base model.")
        _, over = open_model(Model(path=named), None, trusted, identities)
    return folder, Adapter(folder, over)


def open_folder(folder: Path, trusted: bool, identities: Identities) -> CheckpointParameters:
    """The checkpoint in a folder or a GGUF file, seen through its model's parameters."""
    if folders.is_gguf(folder):
        return CheckpointParameters(*gguf.opened(folder, identities))
    stored = checkpoint.open_directory(folder, identities)
    held = holding({name: info.shape for name, info in stored.tensors.items()})
    made = outlines.outline(folder, stored.config, held=held, trust_remote_code=trusted)
    return CheckpointParameters(stored, made)


def below(opened: Checkpoint) -> CheckpointParameters:
    """The whole model below any adapters."""
    while isinstance(opened, Adapter):
        opened = opened.over
    assert isinstance(opened, CheckpointParameters)
    return opened


def aliases_of(opened: Checkpoint) -> dict[str, str]:
    """Tied parameters that no file of a model holds on their own."""
    return {a: s for a, s in below(opened).aliases.items() if a not in opened.tensors}


def is_classifier(opened: Checkpoint) -> bool:
    """Does it end in a head that classifies?"""
    made = below(opened).outline
    return made is not None and made.is_classifier


def anatomy_of(opened: Checkpoint) -> Anatomy:
    """A model's own anatomy, by the names that its parameters have in memory."""
    model = below(opened)
    aliases = aliases_of(opened)
    # A tied parameter is a place in the model, but no weights of its own.
    tied = {a: opened.tensors[source].shape for a, source in aliases.items() if source in
            opened.tensors}  # fmt: skip
    found = _read(opened, model, tied | _shapes(opened))
    return replace(found, pieces=tuple(p for p in found.pieces if p.tensor not in tied))


def doubts_about(opened: Checkpoint) -> list[str]:
    """What is doubtful about one model by itself."""
    model, notes = below(opened), []
    if model.outline is None:
        kind = opened.config.get("model_type")
        notes.append(f"is of a type that transformers does not know ({kind}): read by its names.")
    if model.untied:
        notes.append(
            f"stores {', '.join(model.untied)} apart, though its configuration ties it: both are "
            "compared."
        )
    if model.extra:
        listed = ", ".join(sorted(model.extra)[:3]) + (" …" if len(model.extra) > 3 else "")
        notes.append(f"holds {len(model.extra)} tensors outside of its model's class: {listed}.")
    if model.missing and model.outline is not None:
        absent = [name for name in model.missing if name not in opened.tensors]
        wanted = [n for n in absent if n.startswith(model.outline.body.layers)]
        if wanted:
            raise CheckpointError(
                f"{opened.where} lacks {len(wanted)} weights: {', '.join(wanted[:3])}.",
            )
    return notes


def _read(
    opened: Checkpoint, model: CheckpointParameters, shapes: dict[str, tuple[int, ...]]
) -> Anatomy:
    kind = str(opened.config.get("model_type") or "")
    try:
        if model.outline is not None:
            return anatomies.read(model.outline.name, shapes, model.outline.body, kind)
        return anatomies.read(
            "read by names", shapes, anatomies.guessed(opened.config, shapes), kind
        )
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        raise CheckpointError(
            f"{opened.where}: config.json has values of the wrong kind.",
            hint="Compare it with the one that the model was published with.",
        ) from None


def _shapes(opened: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {n: i.shape for n, i in opened.tensors.items() if i.dtype is not None}
