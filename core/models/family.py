"""A base model and the models tuned from it: identity, compatibility and doubts.

Opens the checkpoints of a study, matches their tensors by name, and refuses models that can't be
compared with the base. Reads headers and fingerprints only; `core.weights.stream` reads the
weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import Tensor

from core.engine.measurement import content_key
from core.errors import CheckpointError
from core.models import checkpoint, configs, matching, settings
from core.models.adapters.checkpoint import Adapter
from core.models.anatomy import Anatomy
from core.models.checkpoint import Checkpoint
from core.models.headers import read_json
from core.models.identity import Identities
from core.models.opening import (
    aliases_of,
    anatomy_of,
    below,
    doubts_about,
    is_classifier,
    open_model,
)
from core.models.pieces import Cut, Piece, pieces_of
from core.models.quantised import checkpoint as quantised
from core.study import series
from core.study.models import Model, Models

_NEW_MODULES = ("mixer", "latent", "other")
"""Modules that earlier versions did not count. They are part of a unit's key."""


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a family. `names` maps the base's tensor names to this model's; `lacks`: tensors
    of the base that this model lacks; their update is zero."""

    name: str
    where: str
    folder: Path
    checkpoint: Checkpoint
    fingerprint: str
    parent: str | None
    control: bool
    names: Mapping[str, str] = field(repr=False)
    lacks: frozenset[str] = frozenset()

    def weights(self) -> dict[str, Tensor]:
        """Every tensor by its name in the base, whole and as stored, on the CPU."""
        return {n: checkpoint.whole(self.checkpoint, stored) for n, stored in self.names.items()}


@dataclass(frozen=True, slots=True)
class Family:
    """A base, its tuned models in the study's order, and the base's tensors as pieces.

    `common_rows`: the number of rows that all members share, for tensors whose numbers of rows
    differ (embeddings of a changed vocabulary). `warnings`: pairs of a model's name and a doubt
    about it.
    """

    base: Member
    tuned: Mapping[str, Member]
    anatomy: Anatomy
    common_rows: Mapping[str, int]
    warnings: tuple[tuple[str, str], ...]

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The slices of one pass: every layer, then None for parameters outside of layers."""
        return (*range(self.anatomy.layers), None)

    def pieces(self, layer: int | None) -> tuple[Piece, ...]:
        """The pieces of one slice, grouped by module."""
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
        """The content key of a unit over these models: their names and weights, the parameters, and
        further values that the result depends on (JSON)."""
        return content_key(
            {
                "analysis": [analysis, version, parameters.model_dump(mode="json")],
                "base": self.base.fingerprint,
                "models": [[n, self.tuned[n].fingerprint] for n in models],
                "layer": layer,
                # The compared rows of a changed vocabulary depend on the whole family.
                "rows": None if isinstance(layer, int) else sorted(self.common_rows.items()),
                **({"modules": modules} if (modules := self._new_modules(layer)) else {}),
                **({"moved": moved} if (moved := self._moved(layer)) else {}),
                **more,
            }
        )

    def _new_modules(self, layer: int | str | None) -> dict[str, int]:
        """The numbers of a slice's pieces (of all pieces, for "all") in new modules."""
        pieces = [p for p in self.anatomy.pieces if layer in ("all", p.layer)]
        counts = {m: sum(p.module == m for p in pieces) for m in _NEW_MODULES}
        return {module: count for module, count in counts.items() if count}

    def _moved(self, layer: int | str | None) -> list[str]:
        """The models that store a tied embedding as the head, in a slice with embeddings. Earlier
        versions counted it as a head apart."""
        models = () if isinstance(layer, int) else (self.base, *self.tuned.values())
        return [model.name for model in models if below(model.checkpoint).moved]

    def parent(self, name: str) -> str | None:
        """The tuned model that is the parent of `name`; None if the parent is the base."""
        parent = self.tuned[name].parent
        return None if parent == "base" else parent


def open_family(models: Models, identities: Identities | None = None) -> Family:
    """Open and compare the models of a study. `identities` caches the hashes of their files.

    Raises CheckpointError for an unreadable model, and FamilyError, naming the tensors, for models
    that can't be compared.
    """
    series.refuse_empty(models)
    identities = identities or Identities()
    trusted = models.trust_remote_code
    base_folder, opened = open_model(models.base, None, trusted, identities)
    anatomy = anatomy_of(opened)
    warnings = [("base", note) for note in (*anatomy.warnings, *doubts_about(opened))]
    over: dict[str, Checkpoint] = {"base": opened}
    places: dict[str, Path] = {}
    for name in _parents_first(models.tuned):
        model = models.tuned[name]
        places[name], over[name] = open_model(
            model, over[model.parent or "base"], trusted, identities
        )
        warnings += [(name, note) for note in doubts_about(over[name])]
    names = _base_names(opened, [over[name] for name in models.tuned])
    anatomy = _with_heads(anatomy, opened, names)
    shapes = {ours: opened.tensors[stored].shape for ours, stored in names.items()}
    matches = {
        name: matching.match(
            name, anatomy.pieces, shapes, over[name], aliases_of(over[name]),
            base_ties=[ours for ours, stored in names.items() if ours != stored],
            is_classifier=is_classifier(over[name]),
        )
        for name in models.tuned
    }  # fmt: skip
    for name, match in matches.items():
        for tensor in match.absent:  # its update is zero
            below(over[name]).borrow(tensor, opened, names[tensor])
            match.names[tensor] = tensor
    identities.model = "base"
    base = Member(
        "base", models.base.path, base_folder, opened, opened.fingerprint(), None, False, names,
    )  # fmt: skip
    tuned: dict[str, Member] = {}
    common: dict[str, int] = {}
    for name, model in models.tuned.items():
        for tensor, rows in matches[name].common.items():
            common[tensor] = min(rows, common.get(tensor, rows))
        identities.model = name
        tuned[name] = Member(
            name, model.path, places[name], over[name], over[name].fingerprint(), model.parent,
            model.role == "control", matches[name].names, frozenset(matches[name].absent),
        )  # fmt: skip
        warnings += [(name, note) for note in matches[name].notes]
    for name, member in tuned.items():
        parent = tuned.get(member.parent or "base", base)
        warnings += [(name, note) for note in _doubts(base, member, parent)]
    warnings += [
        ("base", f"{tensor}: only the {rows} rows that all models have are compared.")
        for tensor, rows in common.items()
    ]
    warnings += _quantisation([base, *tuned.values()])
    warnings += _twins([base, *tuned.values()])
    return Family(base, tuned, anatomy, common, tuple(warnings))


def _base_names(base: Checkpoint, tuned: Iterable[Checkpoint]) -> dict[str, str]:
    """The base's parameters by name; tied ones too, if a tuned model unties them."""
    names = {name: name for name, info in base.tensors.items() if info.dtype is not None}
    tuned_names = {matching.bare(name) for each in tuned for name in each.tensors}
    apart = {
        t: s for t, s in aliases_of(base).items() if matching.bare(t) in tuned_names and s in names
    }
    return names | apart


def _with_heads(anatomy: Anatomy, base: Checkpoint, names: Mapping[str, str]) -> Anatomy:
    """The anatomy with the tied parameters that a tuned model unties."""
    more = []
    for tensor, stored in names.items():
        if tensor != stored:
            shape = base.tensors[stored].shape
            more += pieces_of(tensor, shape, None, Cut(("unembedding",)))
    return replace(anatomy, pieces=(*anatomy.pieces, *more))


def _parents_first(tuned: Mapping[str, Model]) -> Iterable[str]:
    done: dict[str, None] = {}
    while len(done) < len(tuned):
        for name, model in tuned.items():
            if model.parent in (None, "base") or model.parent in done:
                done[name] = None
    return done


def _doubts(base: Member, tuned: Member, over: Member) -> list[str]:
    """Doubts that leave the comparison possible."""
    ours, theirs = base.checkpoint.config, tuned.checkpoint.config
    notes = list(map(str, settings.differences(ours, theirs, configs.whole)))
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
        notes += tuned.checkpoint.notes
    return notes


def _dtypes(opened: Checkpoint) -> str:
    names = {str(i.dtype).removeprefix("torch.") for i in opened.tensors.values() if i.dtype}
    return "/".join(sorted(names))


def _vocabulary(folder: Path) -> Any:
    """The vocabulary in a fast tokeniser's file; None if there is no file."""
    try:
        model = read_json(folder / "tokenizer.json").get("model")
    except CheckpointError:
        return None
    return model.get("vocab") if isinstance(model, dict) else None


def _quantisation(members: list[Member]) -> list[tuple[str, str]]:
    """Notes on quantised folders, and on models quantised differently from their base."""
    quantisations = {m.name: quantised.below(m.checkpoint) for m in members}
    notes = [(name, note) for name, of in quantisations.items() if of for note in of.notes]
    how = {name: of.method if of else "" for name, of in quantisations.items()}
    for name, method in how.items():
        if method != how["base"]:
            stored_as, other = (
                f"quantised ({m})" if m else "not quantised" for m in (method, how["base"])
            )
            notes.append(
                (
                    name,
                    f"is {stored_as}, the base {other}: part of its update is quantisation error.",
                )
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
