"""A base model and the models tuned from it: identity, compatibility, and what is doubtful.

Opens the checkpoints of a study, matches their tensors by name, and refuses what can't be held
against the base. Reads headers and fingerprints only; the weights are read in `core.weights`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core import architecture, checkpoint
from core.adapter import Adapter, is_adapter
from core.architecture import Anatomy, Piece
from core.checkpoint import Checkpoint
from core.errors import CheckpointError, FamilyError
from core.headers import ADAPTER, read_json
from core.measurement import content_key
from core.models.quantised import checkpoint as quantised
from core.study import Model, Models

_MEANINGFUL = (
    "model_type", "rope_theta", "rope_scaling", "rope_parameters", "rotary_pct",
    "tie_word_embeddings", "hidden_act", "activation_function", "rms_norm_eps", "layer_norm_eps",
    "num_attention_heads", "num_key_value_heads", "sliding_window", "max_position_embeddings",
)  # fmt: skip
_PREFIX = re.compile(r"^(?:(?:model|transformer|language_model|gpt_neox|decoder)\.)+")


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a family. `names` maps the base's tensor names to this model's."""

    name: str
    where: str
    folder: Path
    checkpoint: Checkpoint
    fingerprint: str
    parent: str | None
    control: bool
    names: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Family:
    """A base, its tuned models in the study's order, and the base's tensors as pieces.

    `common_rows` holds, for a tensor whose rows differ in number between base and a tuned model
    (embeddings of a changed vocabulary), how many rows all members share. `warnings` are pairs of
    a model's name and what is doubtful about it.
    """

    base: Member
    tuned: Mapping[str, Member]
    anatomy: Anatomy
    common_rows: Mapping[str, int]
    warnings: tuple[tuple[str, str], ...]

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The slices of one pass: every layer, then None for what stands outside of layers."""
        return (*range(self.anatomy.layers), None)

    def pieces(self, layer: int | None) -> tuple[Piece, ...]:
        """The pieces of one slice, those of one module together."""
        return tuple(p for p in self.anatomy.pieces if p.layer == layer)

    def key(
        self,
        analysis: str,
        version: int,
        parameters: BaseModel,
        models: Iterable[str],
        layer: int | str | None,
        **more: Any,
    ) -> str:
        """The content key of a unit over these models: their names and weights, the parameters,
        and whatever else the result depends on (JSON)."""
        return content_key(
            {
                "analysis": [analysis, version, parameters.model_dump(mode="json")],
                "base": self.base.fingerprint,
                "models": [[n, self.tuned[n].fingerprint] for n in models],
                "layer": layer,
                # Which rows of a changed vocabulary are compared depends on the whole family.
                "rows": None if isinstance(layer, int) else sorted(self.common_rows.items()),
                **more,
            }
        )

    def parent(self, name: str) -> str | None:
        """The tuned model that `name` was tuned from; None when that is the base."""
        parent = self.tuned[name].parent
        return None if parent == "base" else parent


def open_family(models: Models) -> Family:
    """Open and compare the models of a study.

    Raises CheckpointError for a model that can't be read and FamilyError for models that can't be
    held against each other, naming the tensors.
    """
    base_folder, base_checkpoint = _open(models.base, None)
    anatomy = _anatomy(base_checkpoint)
    anatomy = _untied_if_needed(anatomy, base_checkpoint)
    base = Member(
        "base", models.base.path, base_folder, base_checkpoint, base_checkpoint.fingerprint(),
        None, False, {p.tensor: p.tensor for p in anatomy.pieces},
    )  # fmt: skip
    warnings = [("base", note) for note in anatomy.warnings]
    tuned: dict[str, Member] = {}
    common: dict[str, int] = {}
    for name in _parents_first(models.tuned):
        model = models.tuned[name]
        over = tuned.get(model.parent or "base", base)
        folder, opened = _open(model, over.checkpoint)
        matched = _match(name, anatomy, base_checkpoint, opened)
        for tensor, rows in matched.common.items():
            common[tensor] = min(rows, common.get(tensor, rows))
        tuned[name] = Member(
            name, model.path, folder, opened, opened.fingerprint(), model.parent,
            model.role == "control", matched.names,
        )  # fmt: skip
        warnings += [(name, note) for note in matched.notes]
        warnings += [(name, note) for note in _doubts(base, tuned[name], over)]
    tuned = {name: tuned[name] for name in models.tuned}
    warnings += [
        ("base", f"{tensor}: of every model only the {rows} rows that all have are compared.")
        for tensor, rows in common.items()
    ]
    warnings += _quantisation([base, *tuned.values()])
    warnings += _twins([base, *tuned.values()])
    return Family(base, tuned, anatomy, common, tuple(warnings))


def _open(model: Model, over: Checkpoint | None) -> tuple[Path, Checkpoint]:
    folder = checkpoint.locate(model.path, model.revision)
    if not is_adapter(folder):
        return folder, checkpoint.open_directory(folder)
    if over is None:
        named = str(read_json(folder / ADAPTER).get(
            "base_model_name_or_path") or "")  # fmt: skip
        if not named:
            raise CheckpointError(f"{folder} is an adapter that doesn't name its base model.")
        if checkpoint.locate(named) == folder:
            raise CheckpointError(f"{folder} is an adapter that names itself as its base model.")
        _, over = _open(Model(path=named), None)
    return folder, Adapter(folder, over)


def _anatomy(opened: Checkpoint) -> Anatomy:
    try:
        return architecture.describe(opened.config, _shapes(opened))
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        raise CheckpointError(
            f"{opened.where}: config.json has values of the wrong kind.",
            hint="Compare it with the one that the model was published with.",
        ) from None


def _parents_first(tuned: Mapping[str, Model]) -> Iterable[str]:
    done: dict[str, None] = {}
    while len(done) < len(tuned):
        for name, model in tuned.items():
            if model.parent in (None, "base") or model.parent in done:
                done[name] = None
    return done


def _shapes(opened: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {n: i.shape for n, i in opened.tensors.items() if i.dtype is not None}


def _untied_if_needed(anatomy: Anatomy, opened: Checkpoint) -> Anatomy:
    """Drop a stored copy of the embedding that a tied model does not use as its output head."""
    if not anatomy.tied:
        return anatomy
    kept = tuple(p for p in anatomy.pieces if p.module != "unembedding" or "project" in p.tensor)
    return Anatomy(
        anatomy.architecture, kept, anatomy.layers, anatomy.heads, True, anatomy.warnings,
        anatomy.unread,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Match:
    names: dict[str, str]
    common: dict[str, int]
    notes: list[str]


def _match(name: str, anatomy: Anatomy, base: Checkpoint, tuned: Checkpoint) -> _Match:
    """Match a tuned model's tensors to the base's by name, whatever prefix they carry."""
    bare = {_PREFIX.sub("", t): t for t, i in tuned.tensors.items() if i.dtype is not None}
    found = _Match({}, {}, [])
    missing, misshapen = [], []
    for piece in anatomy.pieces:
        there = bare.get(_PREFIX.sub("", piece.tensor))
        if there is None and piece.module == "unembedding":
            there = _embedding(bare)
            found.notes.append("ties its output head to its embedding, the base does not.")
        if there is None:
            missing.append(piece.tensor)
            continue
        found.names[piece.tensor] = there
        ours, theirs = base.tensors[piece.tensor].shape, tuned.tensors[there].shape
        if ours == theirs:
            continue
        if piece.module in ("embedding", "unembedding") and ours[1:] == theirs[1:]:
            found.common[piece.tensor] = min(ours[0], theirs[0])
            found.notes.append(
                f"{piece.tensor} has {theirs[0]} rows, the base {ours[0]}: the common "
                f"{min(ours[0], theirs[0])} are compared, "
                f"{abs(theirs[0] - ours[0])} are left out."
            )
        else:
            misshapen.append(f"{piece.tensor} is {list(theirs)}, in the base {list(ours)}")
    _refuse(name, missing, misshapen)
    known = {_PREFIX.sub("", p.tensor) for p in anatomy.pieces} | {
        _PREFIX.sub("", t) for t in anatomy.unread
    }
    extra = [
        t
        for b, t in bare.items()
        if b not in known and not architecture.is_ignored(anatomy.architecture, t)
    ]
    if anatomy.tied:
        heads = [t for t in extra if t.endswith(("lm_head.weight", "embed_out.weight"))]
        extra = [t for t in extra if t not in heads]
        if heads and not tuned.config.get("tie_word_embeddings"):
            found.notes.append("has an output head of its own, which the base ties: not compared.")
    if extra:
        found.notes.append(
            f"has {len(extra)} tensors that the base lacks, not compared: "
            f"{', '.join(sorted(extra)[:3])}{' …' if len(extra) > 3 else ''}."
        )
    return _Match(found.names, found.common, list(dict.fromkeys(found.notes)))


def _embedding(bare: Mapping[str, str]) -> str | None:
    return next((bare[n] for n in ("embed_tokens.weight", "wte.weight", "embed_in.weight")
                 if n in bare), None)  # fmt: skip


def _refuse(name: str, missing: list[str], misshapen: list[str]) -> None:
    wrong_base = "Is this the base that the model was tuned from?"
    if misshapen:
        raise FamilyError(
            f"'{name}' doesn't fit the base in {len(misshapen)} tensors: "
            f"{'; '.join(misshapen[:3])}.",
            hint=wrong_base,
        )
    if missing:
        raise FamilyError(
            f"'{name}' lacks {len(missing)} tensors of the base: {', '.join(missing[:3])}.",
            hint=wrong_base,
        )


def _doubts(base: Member, tuned: Member, over: Member) -> list[str]:
    """What makes a comparison doubtful without making it impossible."""
    ours, theirs = base.checkpoint.config, tuned.checkpoint.config
    notes = [
        f"{key} is {_value(theirs, key)}, in the base {_value(ours, key)}."
        for key in _MEANINGFUL
        if _value(ours, key) != _value(theirs, key)
    ]
    dtypes = [_dtypes(m.checkpoint) for m in (base, tuned)]
    if dtypes[0] != dtypes[1]:
        notes.append(f"is stored as {dtypes[1]}, the base as {dtypes[0]}.")
    vocabularies = [_vocabulary(m.folder) for m in (base, tuned)]
    if None not in vocabularies and vocabularies[0] != vocabularies[1]:
        notes.append("has another tokeniser vocabulary than the base.")
    if tuned.parent not in (None, "base"):
        notes.append(
            f"was tuned from '{tuned.parent}' and shares its tuning vector by construction; "
            "cosines relative to the parent are given too (setting vs-parent)."
        )
    if isinstance(tuned.checkpoint, Adapter):
        named = tuned.checkpoint.base_name
        if named and Path(named).name != Path(over.where).name:
            notes.append(f"is an adapter for '{named}', applied here to '{over.where}'.")
    return notes


def _value(config: Mapping[str, Any], key: str) -> Any:
    return (config.get("text_config") or config).get(key, config.get(key))


def _dtypes(opened: Checkpoint) -> str:
    found = {str(i.dtype).removeprefix("torch.") for i in opened.tensors.values() if i.dtype}
    return "/".join(sorted(found))


def _vocabulary(folder: Path) -> Any:
    """What a fast tokeniser's file says of its vocabulary; None when there is none."""
    try:
        return read_json(folder / "tokenizer.json").get("model", {}).get("vocab")
    except CheckpointError:
        return None


def _quantisation(members: list[Member]) -> list[tuple[str, str]]:
    """What is said of quantised folders, and of models that are quantised unlike their base."""
    found = {m.name: quantised.below(m.checkpoint) for m in members}
    notes = [(name, note) for name, of in found.items() if of for note in of.notes]
    how = {name: of.method if of else "" for name, of in found.items()}
    for name, method in how.items():
        if method != how["base"]:
            own, other = (
                f"quantised ({m})" if m else "not quantised" for m in (method, how["base"])
            )
            notes.append(
                (name, f"is {own}, the base {other}: part of its update is the error of that.")
            )
    return notes


def _twins(members: list[Member]) -> list[tuple[str, str]]:
    notes: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for member in members:
        twin = seen.setdefault(member.fingerprint, member.name)
        if twin != member.name:
            notes.append((member.name, f"seems to have the same weights as '{twin}'."))
    return notes
