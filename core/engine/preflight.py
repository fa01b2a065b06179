"""The cost of a run before it starts: units, reading, memory, requests, and time.

Opens and plans a study as the runner does, and counts; loads no model and computes nothing. Knows
no database: callers pass the finished units and the durations of earlier ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import trust
from core.engine import registry, runner
from core.engine.measurement import Unit
from core.engine.pacing import Pace, Pacing, parameters, piece_bytes, stored, weights_read
from core.engine.spread import COUNTS, Spread, spread, tasks_of
from core.models.identity import Identities
from core.models.placement import DeviceShare
from core.study.study import Run, Study
from core.trust import NOBODY, Trust

COPIES = 10
"""Copies in float32 of the largest matrix that the analyses of its singular values hold at once.
All analyses together held 9.8, of matrices of 9472 × 1792 and of 18944 × 3584 (measured)."""

Finished = Callable[[Collection[str]], set[str]]
"""The keys of finished units among these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisShare:
    """One analysis of a run: its units, the finished ones, and the work of the others.

    `asked` maps a task to its number of scorings and the items of each; `forward` and `backward`:
    tokens of the probe set; `ranked`: items for scoring neurons; `stored`: bytes of states that are
    stored beside the database; `seconds`: the remaining time, a rough guess unless `measured`:
    derived from finished units, or 0 because no unit is open.
    """

    analysis: str
    units: int
    finished: int
    asked: tuple[tuple[str, int, int], ...]
    forward: int
    backward: int
    ranked: int
    stored: int
    seconds: float
    measured: bool

    @property
    def items(self) -> int:
        """The items of all scorings together."""
        return sum(times * items for _, times, items in self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """One model of a run: its reading, its loads and its placement.

    `read`: bytes of its weights in the pass over the files; `loads`: number of loads for running
    it; `as_vector`: number of loads of its weights as a vector; `stored`: its bytes on disk, read
    at each load; `places`: device, modules, bytes.
    """

    model: str
    parameters: int
    read: int
    loads: int
    as_vector: int
    stored: int
    places: tuple[tuple[str, tuple[str, ...], int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The cost of a run. `needed`: the peak bytes of weights on each device; activations come on
    top. `spread`: the same run on several cards; `here`: the cards of this host, or the workers for
    which the study asks."""

    study: str
    device: str
    shares: tuple[AnalysisShare, ...]
    models: tuple[ModelCost, ...]
    needed: Mapping[str, int]
    loading_seconds: float
    notes: tuple[tuple[str, str], ...]
    spread: tuple[Spread, ...]
    here: int
    trust: Trust = NOBODY

    @property
    def seconds(self) -> float:
        """The estimated remaining seconds."""
        return self.loading_seconds + sum(share.seconds for share in self.shares)

    @property
    def rough(self) -> bool:
        """Is any analysis estimated by a rough rate? Loading always is."""
        return any(not share.measured for share in self.shares)


def look_ahead(
    study: Study,
    analyses: Sequence[str],
    *,
    finished: Finished,
    pace: Pace,
    identities: Identities | None = None,
) -> Preflight:
    """The cost of a run of these analyses. `identities` caches the hashes of the models.

    Raises the errors of `runner.run` before it computes.
    """
    from core.engine.subject import open_subject
    from core.models import cards

    device = cards.wanted(study.run.device)
    subject = open_subject(study, [registry.get(name).needs for name in analyses], identities)
    units = runner.planned_units(subject, analyses)
    done = finished([unit.key for unit in units])
    todo = [unit for unit in units if unit.key not in done]
    pacing = Pacing(subject, units, done, device, pace)
    read, beside_pass = Counter(weights_read(subject.family, todo)), Counter[str]()
    for name in dict.fromkeys(unit.analysis for unit in todo):
        further = registry.get(name).further([u for u in todo if u.analysis == name], subject)
        beside_pass.update(further)
    in_pass = _pass_bytes(subject, todo, read) + beside_pass["base"]
    read.update(beside_pass)
    beside = {name for unit in todo for name in pacing.work[unit.key].beside}
    models = _models(subject, read, pacing.loads, beside)
    shares = tuple(
        _share([u for u in units if u.analysis == name], done, pacing)
        for name in dict.fromkeys(unit.analysis for unit in units)
    )
    loading = pacing.loading + pacing.vectors(m.model for m in models if m.as_vector)
    here = study.run.workers or cards.count(device)
    card = min((total for _, total in cards.listed()), default=0) if device.type == "cuda" else 0
    needed = cards_needed(study.run, largest_bytes(subject, units) if card else 0, card)
    return Preflight(
        study=study.name,
        device=str(device),
        shares=shares,
        models=models,
        needed=_needed(models, str(device), in_pass),
        loading_seconds=loading,
        notes=tuple(subject.notes),
        spread=spread(
            tasks_of(todo, pacing),
            sorted({*COUNTS, here}),
            pacing=pacing,
            needs=dict.fromkeys(subject.models, needed),
            alone=loading + sum(share.seconds for share in shares),
        ),
        here=here,
        trust=trust.of(study),
    )


def largest_bytes(subject: Any, units: Sequence[Unit]) -> int:
    """The bytes in memory of the largest model that these units load; for arithmetic, the base
    counts twice, since a copy lies beside it. 0 if they load none."""
    from core.models import loading

    study = subject.study
    loads = {(unit.loads, unit.analysis == "arithmetic") for unit in units if unit.loads}
    sizes = {
        name: sum(
            share.nbytes
            for share in loading.placement_of(
                subject.models[name], study.run,
                trust_remote_code=study.models.trust_remote_code,
            )
        )
        for name in {name for name, _ in loads}
    }  # fmt: skip
    return max((sizes[name] * (1 + mixed) for name, mixed in loads), default=0)


def cards_needed(run: Run, largest: int, card: int) -> int:
    """The cards of each worker, of `card` bytes each (0: unknown), for models of up to `largest`
    bytes."""
    from core.models.cards import ROOM

    if run.max_memory is not None:
        return max(1, sum(name.isdigit() for name in run.max_memory))
    return max(1, math.ceil(largest / (ROOM * card))) if card else 1


def _models(
    subject: Any,
    read: Mapping[str, int],
    visited: Sequence[str],
    beside: Collection[str],
) -> tuple[ModelCost, ...]:
    from core.models import loading

    run, trusted = subject.study.run, subject.study.models.trust_remote_code
    costs = []
    for name, member in subject.models.items():
        places: Sequence[DeviceShare] = ()
        if name in visited or name in beside:
            places = loading.placement_of(member, run, trust_remote_code=trusted)
        costs.append(
            ModelCost(
                model=name,
                parameters=parameters(member),
                read=read.get(name, 0),
                loads=visited.count(name),
                as_vector=int(name in beside),
                stored=stored(member),
                places=tuple((p.device, p.modules, p.nbytes) for p in places),
            )
        )
    return tuple(costs)


def _needed(models: Sequence[ModelCost], device: str, in_pass: int) -> dict[str, int]:
    """The peak bytes on each device: one model, the vectors' models beside the base, and on
    `device` the bytes `in_pass` over the weights."""
    needed: dict[str, int] = {}
    vectors = sum(nbytes for m in models if m.as_vector for _, _, nbytes in m.places)
    for model in models:
        by_device = {place: nbytes for place, _, nbytes in model.places} if model.loads else {}
        if model.model == "base" and vectors:
            # A sweep holds a copy of the base beside it, and the vectors on the CPU.
            by_device = {place: 2 * nbytes for place, nbytes in by_device.items()}
            by_device["cpu"] = by_device.get("cpu", 0) + vectors
        for place, nbytes in by_device.items():
            needed[place] = max(nbytes, needed.get(place, 0))
    if in_pass:
        needed[device] = max(in_pass, needed.get(device, 0))
    return needed


def _pass_bytes(subject: Any, todo: Sequence[Unit], read: Mapping[str, int]) -> int:
    """The peak bytes of the pass over the weights, without the vocabulary: one matrix of every
    model in it, and the copies that its analyses compute with."""
    family = subject.family
    reading = [m for m in (family.base, *family.tuned.values()) if read.get(m.name)]
    matrices = [p for p in family.anatomy.pieces if p.is_matrix and p.layer is not None]
    if not reading or not matrices:
        return 0
    held = max(sum(piece_bytes(m, family, piece) for m in reading) for piece in matrices)
    largest: int = max(piece.size for piece in matrices)
    return held + COPIES * 4 * largest * _decomposes(subject, todo)


def _decomposes(subject: Any, todo: Sequence[Unit]) -> bool:
    """Do any units of the weights look at whole updates, rather than at sums over elements?"""
    first = {
        unit.analysis: unit
        for unit in todo
        if unit.layer is not None and not unit.loads and not unit.requires
    }
    return any(
        registry.get(name).compute([unit], subject.study.parameters(name)).updates_of
        for name, unit in first.items()
    )


def _share(units: Sequence[Unit], done: Collection[str], pacing: Pacing) -> AnalysisShare:
    loads = [pacing.work[unit.key] for unit in units if unit.key not in done]
    asked: dict[tuple[str, int], int] = {}
    for each in loads:
        for question in each.asked:
            asked[question] = asked.get(question, 0) + 1
    name = units[0].analysis
    return AnalysisShare(
        analysis=name,
        units=len(units),
        finished=len(units) - len(loads),
        asked=tuple((task, times, items) for (task, items), times in asked.items()),
        forward=sum(w.forward for w in loads),
        backward=sum(w.backward for w in loads),
        ranked=sum(w.ranked for w in loads),
        stored=sum(w.stored for w in loads),
        seconds=pacing.of(name),
        measured=pacing.is_known(name) or not loads,
    )
