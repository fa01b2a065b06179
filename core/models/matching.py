"""The tuned model's parameter for each parameter of the base, and parameters without a match.

Owns the accepted differences: prefixes, changed vocabularies, output heads tied in one model only,
parts missing in one model. Other differences are refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import FamilyError
from core.models.checkpoint import Checkpoint
from core.models.pieces import Piece
from core.sizes import counted

_PREFIX = re.compile(r"^(?:(?:model|transformer|language_model|gpt_neox|decoder)\.)+")
_BY_TOKEN = ("embedding", "unembedding")


@dataclass(slots=True)
class Match:
    """`names`: the tuned model's parameters by the base's; `common`: the common rows of a changed
    vocabulary; `absent`: parameters of the base that the tuned model may lack."""

    names: dict[str, str] = field(default_factory=dict)
    common: dict[str, int] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def bare(name: str) -> str:
    """A parameter's name without the prefixes of wrappers."""
    return _PREFIX.sub("", name)


def match(
    name: str,
    pieces: Sequence[Piece],
    base: Mapping[str, tuple[int, ...]],
    tuned: Checkpoint,
    aliases: Mapping[str, str],
    *,
    base_ties: Collection[str] = (),
    is_classifier: bool = False,
) -> Match:
    """Match the parameters of the tuned model `name` to the base's (shapes by name).

    `aliases`: tied parameters of the tuned model, by the stored parameter; `base_ties`: parameters
    that the base ties and another model of the family unties. Raises FamilyError, naming the
    tensors that are missing or of another shape.
    """
    there = _names(tuned, aliases)
    matched = Match()
    missing: dict[str, Piece] = {}
    misshapen: list[str] = []
    for piece in pieces:
        stored_name = there.get(bare(piece.tensor))
        if stored_name is None:
            missing[piece.tensor] = piece
            continue
        matched.names[piece.tensor] = stored_name
        ours, theirs = base[piece.tensor], tuned.tensors[stored_name].shape
        if ours == theirs:
            continue
        if piece.module in _BY_TOKEN and ours[1:] == theirs[1:]:
            matched.common[piece.tensor] = min(ours[0], theirs[0])
        else:
            misshapen.append(f"{piece.tensor} is {list(theirs)}, in the base {list(ours)}")
    _refuse(name, _borne(matched, missing, is_classifier=is_classifier), misshapen)
    _note(matched, base, tuned, aliases, base_ties)
    return matched


def _names(tuned: Checkpoint, aliases: Mapping[str, str]) -> dict[str, str]:
    names = {bare(n): n for n, info in tuned.tensors.items() if info.dtype is not None}
    return {**{bare(target): source for target, source in aliases.items()}, **names}


def _borne(matched: Match, missing: Mapping[str, Piece], *, is_classifier: bool) -> list[str]:
    """Note the missing parameters that the comparison can do without; return the others.

    Parts outside of the decoder (towers, extra layers) may be missing, and so may the output head
    of a classifier.
    """
    refused = []
    parts: list[str] = []
    for tensor, piece in missing.items():
        if piece.module == "unembedding" and is_classifier:
            matched.absent.add(tensor)
            matched.notes.append(
                "is a classifier without an output head: the base's head is used, its update is "
                "zero."
            )
        elif piece.module == "other" and piece.layer is None:
            matched.absent.add(tensor)
            parts.append(tensor)
        else:
            refused.append(tensor)
    if parts:
        matched.notes.append(
            f"lacks {counted(len(parts), 'tensor')} of the base outside of its decoder: its update "
            f"there is zero: {_listed(parts)}."
        )
    return refused


def _note(
    matched: Match,
    base: Mapping[str, tuple[int, ...]],
    tuned: Checkpoint,
    aliases: Mapping[str, str],
    base_ties: Collection[str],
) -> None:
    tied = set(aliases.values())
    for ours, stored in matched.names.items():
        shares = stored in tied and bare(ours) != bare(stored)
        if ours in base_ties and not shares:
            matched.notes.append("has an output head apart from its embedding; the base ties them.")
        elif shares and ours not in base_ties:
            matched.notes.append("ties its output head to its embedding, the base does not.")
    for tensor, rows in matched.common.items():
        theirs = tuned.tensors[matched.names[tensor]].shape[0]
        matched.notes.append(
            f"{tensor} has {theirs} rows, the base {base[tensor][0]}: the common {rows} are "
            f"compared, {abs(theirs - base[tensor][0])} are left out."
        )
    used = set(matched.names.values())
    extra = [n for n, info in tuned.tensors.items() if info.dtype is not None and n not in used]
    if extra:
        matched.notes.append(
            f"has {counted(len(extra), 'tensor')} that the base lacks, not compared: "
            f"{_listed(extra)}."
        )
    matched.notes[:] = dict.fromkeys(matched.notes)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (" …" if len(names) > 3 else "")


def _refuse(name: str, missing: Sequence[str], misshapen: Sequence[str]) -> None:
    if misshapen:
        raise FamilyError(
            f"'{name}' doesn't fit the base in {counted(len(misshapen), 'tensor')}: "
            f"{'; '.join(misshapen[:3])}.",
            hint="A tuning vector needs tensors of one shape in both models.",
        )
    if missing:
        raise FamilyError(
            f"'{name}' lacks {counted(len(missing), 'tensor')} of the base: "
            f"{', '.join(missing[:3])}.",
            hint="A tuning vector needs every tensor of the base's decoder in the tuned model.",
        )
