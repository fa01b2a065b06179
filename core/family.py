"""A base model and the models tuned from it: identity, compatibility, and what is doubtful.

Opens the checkpoints of a study, matches their tensors by name, and refuses what can't be held
against the base. Reads headers and fingerprints only; the weights are read in `core.weights`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core import checkpoint
from core.adapter import Adapter
from core.checkpoint import Checkpoint
from core.errors import CheckpointError
from core.headers import ADAPTER, read_json
from core.measurement import content_key
from core.models import anatomy as anatomies
from core.models import configs, folders, matching, settings
from core.models import outline as outlines
from core.models.anatomy import Anatomy
from core.models.identity import Identities
from core.models.parameters import Parameters
from core.models.pieces import Cut, Piece, pieces_of
from core.models.quantised import checkpoint as quantised
from core.study import Model, Models

_NEW_MODULES = ("mixer", "latent", "other")
"""Modules that units of earlier versions did not count: they are part of a unit's key."""


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
                **({"modules": found} if (found := self._new_modules(layer)) else {}),
                **more,
            }
        )

    def _new_modules(self, layer: int | str | None) -> dict[str, int]:
        """How many pieces of a slice (of all, for "all") are in modules that are new."""
        own = [p for p in self.anatomy.pieces if layer in ("all", p.layer)]
        counts = {m: sum(p.module == m for p in own) for m in _NEW_MODULES}
        return {module: count for module, count in counts.items() if count}

    def parent(self, name: str) -> str | None:
        """The tuned model that `name` was tuned from; None when that is the base."""
        parent = self.tuned[name].parent
        return None if parent == "base" else parent


def open_family(models: Models, identities: Identities | None = None) -> Family:
    """Open and compare the models of a study. `identities` remembers what identifies their files.

    Raises CheckpointError for a model that can't be read and FamilyError for models that can't be
    held against each other, naming the tensors.
    """
    identities = identities or Identities()
    trusted = models.trust_remote_code
    base_folder, opened = _open(models.base, None, trusted, identities)
    anatomy = anatomy_of(opened)
    warnings = [("base", note) for note in (*anatomy.warnings, *_notes(opened))]
    over: dict[str, Checkpoint] = {"base": opened}
    places: dict[str, Path] = {}
    for name in _parents_first(models.tuned):
        model = models.tuned[name]
        places[name], over[name] = _open(model, over[model.parent or "base"], trusted, identities)
        warnings += [(name, note) for note in _notes(over[name])]
    names = _base_names(opened, [over[name] for name in models.tuned])
    anatomy = _with_heads(anatomy, opened, names)
    shapes = {ours: opened.tensors[own].shape for ours, own in names.items()}
    matches = {
        name: matching.match(
            name, anatomy.pieces, shapes, over[name], _aliases(over[name]),
            is_classifier=_is_classifier(over[name]),
        )
        for name in models.tuned
    }  # fmt: skip
    absent = {tensor for match in matches.values() for tensor in match.absent}
    anatomy = replace(anatomy, pieces=tuple(p for p in anatomy.pieces if p.tensor not in absent))
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
            model.role == "control", matches[name].names,
        )  # fmt: skip
        warnings += [(name, note) for note in matches[name].notes]
    for name, member in tuned.items():
        parent = tuned.get(member.parent or "base", base)
        warnings += [(name, note) for note in _doubts(base, member, parent)]
    warnings += [
        ("base", f"{tensor}: of every model only the {rows} rows that all have are compared.")
        for tensor, rows in common.items()
    ]
    warnings += _quantisation([base, *tuned.values()])
    warnings += _twins([base, *tuned.values()])
    return Family(base, tuned, anatomy, common, tuple(warnings))


def _open(
    model: Model, over: Checkpoint | None, trusted: bool, identities: Identities
) -> tuple[Path, Checkpoint]:
    folder = checkpoint.locate(model.path, model.revision)
    if not folders.is_adapter(folder):
        return folder, _parameters(folder, trusted, identities)
    if over is None:
        named = str(read_json(folder / ADAPTER).get(
            "base_model_name_or_path") or "")  # fmt: skip
        if not named:
            raise CheckpointError(f"{folder} is an adapter that doesn't name its base model.")
        if checkpoint.locate(named) == folder:
            raise CheckpointError(f"{folder} is an adapter that names itself as its base model.")
        _, over = _open(Model(path=named), None, trusted, identities)
    return folder, Adapter(folder, over)


def _parameters(folder: Path, trusted: bool, identities: Identities) -> Parameters:
    """The checkpoint in a folder, seen through its model's parameters."""
    stored = checkpoint.open_directory(folder, identities)
    held = sum(info.dtype is not None for info in stored.tensors.values())
    made = outlines.outline(folder, stored.config, layers=held, trust_remote_code=trusted)
    return Parameters(stored, made)


def _below(opened: Checkpoint) -> Parameters:
    """The whole model below any adapters."""
    while isinstance(opened, Adapter):
        opened = opened.over
    assert isinstance(opened, Parameters)
    return opened


def _aliases(opened: Checkpoint) -> dict[str, str]:
    """Tied parameters that no file of a model holds on their own."""
    return {a: s for a, s in _below(opened).aliases.items() if a not in opened.tensors}


def _is_classifier(opened: Checkpoint) -> bool:
    made = _below(opened).outline
    return made is not None and made.is_classifier


def anatomy_of(opened: Checkpoint) -> Anatomy:
    """A model's own anatomy, by the names that its parameters have in memory."""
    below = _below(opened)
    aliases = _aliases(opened)
    # A tied parameter is a place in the model, but no weights of its own.
    tied = {a: opened.tensors[source].shape for a, source in aliases.items() if source in
            opened.tensors}  # fmt: skip
    found = _read(opened, below, tied | _shapes(opened))
    return replace(found, pieces=tuple(p for p in found.pieces if p.tensor not in tied))


def _read(opened: Checkpoint, below: Parameters, shapes: dict[str, tuple[int, ...]]) -> Anatomy:
    kind = str(opened.config.get("model_type") or "")
    try:
        if below.outline is not None:
            return anatomies.read(below.outline.name, shapes, below.outline.body, kind)
        return anatomies.read(
            "read by names", shapes, anatomies.guessed(opened.config, shapes), kind
        )
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        raise CheckpointError(
            f"{opened.where}: config.json has values of the wrong kind.",
            hint="Compare it with the one that the model was published with.",
        ) from None


def _notes(opened: Checkpoint) -> list[str]:
    """What is doubtful about one model by itself."""
    below, notes = _below(opened), []
    if below.outline is None:
        kind = opened.config.get("model_type")
        notes.append(f"is of a type that transformers does not know ({kind}): read by its names.")
    if below.untied:
        notes.append(
            f"stores {', '.join(below.untied)} apart, though its configuration ties it: both are "
            "compared."
        )
    if below.extra:
        listed = ", ".join(sorted(below.extra)[:3]) + (" …" if len(below.extra) > 3 else "")
        notes.append(f"holds {len(below.extra)} tensors outside of its model's class: {listed}.")
    if below.missing and below.outline is not None:
        held = {**opened.tensors, **below.stored.tensors}
        absent = [name for name in below.missing if name not in held]
        wanted = [n for n in absent if n.startswith(below.outline.body.layers)]
        if wanted:
            raise CheckpointError(
                f"{opened.where} lacks {len(wanted)} weights: {', '.join(wanted[:3])}.",
            )
    return notes


def _base_names(base: Checkpoint, tuned: Iterable[Checkpoint]) -> dict[str, str]:
    """The base's parameters by name; tied ones too where a tuned model has them apart."""
    names = {name: name for name, info in base.tensors.items() if info.dtype is not None}
    own = {matching.bare(name) for each in tuned for name in each.tensors}
    apart = {t: s for t, s in _aliases(base).items() if matching.bare(t) in own and s in names}
    return names | apart


def _with_heads(anatomy: Anatomy, base: Checkpoint, names: Mapping[str, str]) -> Anatomy:
    """The anatomy with the tied parameters that a tuned model has apart."""
    more = []
    for tensor, own in names.items():
        if tensor != own:
            shape = base.tensors[own].shape
            more += pieces_of(tensor, shape, None, Cut(("unembedding",)))
    return replace(anatomy, pieces=(*anatomy.pieces, *more))


def _parents_first(tuned: Mapping[str, Model]) -> Iterable[str]:
    done: dict[str, None] = {}
    while len(done) < len(tuned):
        for name, model in tuned.items():
            if model.parent in (None, "base") or model.parent in done:
                done[name] = None
    return done


def _shapes(opened: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {n: i.shape for n, i in opened.tensors.items() if i.dtype is not None}


def _doubts(base: Member, tuned: Member, over: Member) -> list[str]:
    """What makes a comparison doubtful without making it impossible."""
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
