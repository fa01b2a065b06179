"""Opening models: a folder as the parameters of its class, with any adapters applied.

Owns the facts about one model before any comparison: its anatomy, its tied parameters, and the
doubts about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from core.errors import CheckpointError, FamilyError
from core.models import anatomy as anatomies
from core.models import checkpoint, folders
from core.models import outline as outlines
from core.models.adapters.checkpoint import Adapter
from core.models.anatomy import Anatomy
from core.models.body import Body
from core.models.checkpoint import Checkpoint
from core.models.gguf import checkpoint as gguf
from core.models.headers import ADAPTER, read_json
from core.models.identity import Identities
from core.models.parameters import CheckpointParameters
from core.models.plausibility import extent_of
from core.sizes import counted
from core.study.models import Model


def open_model(
    model: Model, over: Checkpoint | None, trusted: bool, identities: Identities
) -> tuple[Path, Checkpoint]:
    """A model's folder and its parameters. An adapter is applied to `over`, or (None) to the base
    that it names. `trusted` allows the model's own code to run.

    Raises CheckpointError, FamilyError.
    """
    folder = checkpoint.locate(model.path, model.revision)
    if not folders.is_adapter(folder):
        return folder, open_folder(folder, trusted, identities)
    if over is None:
        over = _named_base([folder], trusted, identities)
    return folder, Adapter(folder, over)


def _named_base(adapters: list[Path], trusted: bool, identities: Identities) -> Checkpoint:
    """The parameters of the base that the last of these adapters names, at the revision that it
    names. Each adapter is the base of the one before it.

    Raises CheckpointError, naming the adapter.
    """
    folder = adapters[-1]
    stated = read_json(folder / ADAPTER)
    named, revision = (stated.get(key) for key in ("base_model_name_or_path", "revision"))
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{folder} is an adapter that doesn't name its base model.")
    revision = revision if isinstance(revision, str) and revision else None
    try:
        base = checkpoint.locate(named, revision)
        if any(base.samefile(adapter) for adapter in adapters):
            raise CheckpointError(f"{base} is its own base.")
        if not folders.is_adapter(base):
            return open_folder(base, trusted, identities)
        return Adapter(base, _named_base([*adapters, base], trusted, identities))
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder} is an adapter over '{named}': {error.title}", hint=error.hint
        ) from None


def open_folder(folder: Path, trusted: bool, identities: Identities) -> CheckpointParameters:
    """The checkpoint in a folder or a GGUF file, seen through its model's parameters."""
    with _naming(str(folder)):
        if folders.is_gguf(folder):
            return CheckpointParameters(*gguf.opened(folder, identities))
        stored = checkpoint.open_directory(folder, identities)
        extent = extent_of({name: info.shape for name, info in stored.tensors.items()})
        made = outlines.outline(folder, stored.config, extent=extent, trust_remote_code=trusted)
        return CheckpointParameters(stored, made)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Name the model in the block's FamilyErrors, which speak of a class or a parameter."""
    try:
        yield
    except FamilyError as error:
        if where in error.title:
            raise
        raise FamilyError(f"{where}: {error.title}", hint=error.hint) from None


def below(opened: Checkpoint) -> CheckpointParameters:
    """The whole model under any adapters."""
    while isinstance(opened, Adapter):
        opened = opened.over
    assert isinstance(opened, CheckpointParameters)
    return opened


def aliases_of(opened: Checkpoint) -> dict[str, str]:
    """Tied parameters that a model's files do not store separately."""
    return {a: s for a, s in below(opened).aliases.items() if a not in opened.tensors}


def is_classifier(opened: Checkpoint) -> bool:
    """Does it end in a classification head?"""
    made = below(opened).outline
    return made is not None and made.is_classifier


def anatomy_of(opened: Checkpoint) -> Anatomy:
    """A model's own anatomy, by its parameters' names in memory."""
    model = below(opened)
    aliases = aliases_of(opened)
    # A tied parameter has a place in the model, but no separate weights.
    tied = {a: opened.tensors[source].shape for a, source in aliases.items() if source in
            opened.tensors}  # fmt: skip
    anatomy = _read(opened, model, tied | _shapes(opened))
    return replace(anatomy, pieces=tuple(p for p in anatomy.pieces if p.tensor not in tied))


def layers_of(opened: Checkpoint) -> tuple[str, ...]:
    """The names of a model's decoder layers in memory."""
    body = _body(opened, below(opened))
    return tuple(f"{body.layers}.{number}" for number in range(body.count))


def doubts_about(opened: Checkpoint) -> list[str]:
    """The doubts about one model alone."""
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
        body = model.outline.body
        wanted = [n for n in absent if n.startswith(body.layers)]
        if wanted:
            raise CheckpointError(
                f"{opened.where} lacks {counted(len(wanted), 'weight')}: {', '.join(wanted[:3])}.",
            )
        own = [n for n in absent if n.startswith(body.inside) or n.rpartition(".")[0] in body.heads]
        if own:
            notes.append(
                f"lacks {counted(len(own), 'weight')} outside of its layers, not compared: "
                f"{', '.join(own[:3])}{' …' if len(own) > 3 else ''}."
            )
    return notes


def _read(
    opened: Checkpoint, model: CheckpointParameters, shapes: dict[str, tuple[int, ...]]
) -> Anatomy:
    kind = str(opened.config.get("model_type") or "")
    try:
        name = "read by names" if model.outline is None else model.outline.name
        with _naming(opened.where):
            return anatomies.read(name, shapes, _body(opened, model, shapes), kind)
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        raise CheckpointError(
            f"{opened.where}: config.json has values of the wrong kind.",
            hint="Compare it with the published one.",
        ) from None


def _body(
    opened: Checkpoint,
    model: CheckpointParameters,
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Body:
    if model.outline is not None:
        return model.outline.body
    return anatomies.guessed(opened.config, _shapes(opened) if shapes is None else shapes)


def _shapes(opened: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {n: i.shape for n, i in opened.tensors.items() if i.dtype is not None}
