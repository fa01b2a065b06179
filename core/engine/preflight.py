"""The cost of a run before it starts: units, reading, memory, requests, and time.

Opens and plans a study as the runner does and counts; loads no model and computes nothing. Knows
no database: which units are finished, and how long such units took, it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import trust
from core.engine import registry, runner
from core.engine.measurement import Unit
from core.engine.pacing import Pace, Pacing, parameters, piece_bytes, stored, weights_read
from core.models.identity import Identities
from core.study.study import Study
from core.trust import NOBODY, Trust

Finished = Callable[[Collection[str]], set[str]]
"""Those of these units' keys whose results are there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisShare:
    """One analysis of a run: its units, those that are finished, and what the others ask.

    `asked` maps a task to the times that it is asked and the items of one asking; `forward` and
    `backward` are tokens of the probe set; `ranked` items on which neurons are scored; `seconds`
    the time that is left, a rough guess unless it is `measured`: taken from finished units, or
    nothing because none is left.
    """

    analysis: str
    units: int
    finished: int
    asked: tuple[tuple[str, int, int], ...]
    forward: int
    backward: int
    ranked: int
    seconds: float
    measured: bool

    @property
    def items(self) -> int:
        """The items of all askings together."""
        return sum(times * items for _, times, items in self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """One model of a run: what is read of it, how often it is loaded, and where it would lie.

    `read`: bytes of its weights in the pass over the files; `loads`: times that it is loaded to be
    run; `as_vector`: times that its weights alone are loaded, to be added; `stored`: its bytes on
    disk, read at each; `places`: device, modules there, bytes.
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
    """What a run will take. `needed` is the most that each device holds at once, in bytes of
    weights; activations come on top."""

    study: str
    device: str
    shares: tuple[AnalysisShare, ...]
    models: tuple[ModelCost, ...]
    needed: Mapping[str, int]
    loading_seconds: float
    notes: tuple[tuple[str, str], ...]
    trust: Trust = NOBODY

    @property
    def seconds(self) -> float:
        """The estimate for all that is left."""
        return self.loading_seconds + sum(share.seconds for share in self.shares)

    @property
    def rough(self) -> bool:
        """Is any analysis guessed by a rough rate? The loading always is."""
        return any(not share.measured for share in self.shares)


def look_ahead(
    study: Study,
    analyses: Sequence[str],
    *,
    finished: Finished,
    pace: Pace,
    identities: Identities | None = None,
) -> Preflight:
    """What a run of these analyses will take. `identities` remembers what identifies the models.

    Raises what `runner.run` raises before it computes.
    """
    from core.engine.subject import open_subject

    device = runner.device_of(study)
    subject = open_subject(study, [registry.get(name).needs for name in analyses], identities)
    units = runner.planned_units(subject, analyses)
    done = finished([unit.key for unit in units])
    todo = [unit for unit in units if unit.key not in done]
    pacing = Pacing(subject, units, done, device, pace)
    read = weights_read(subject.family, todo)
    beside = {name for unit in todo for name in pacing.work[unit.key].beside}
    models = _models(subject, read, pacing.loads, beside)
    shares = tuple(
        _share([u for u in units if u.analysis == name], done, pacing)
        for name in dict.fromkeys(unit.analysis for unit in units)
    )
    return Preflight(
        study=study.name,
        device=str(device),
        shares=shares,
        models=models,
        needed=_needed(subject.family, models, read),
        loading_seconds=pacing.loading + pacing.vectors(m.model for m in models if m.as_vector),
        notes=tuple(subject.notes),
        trust=trust.of(study),
    )


def _models(
    subject: Any,
    read: Mapping[str, int],
    visited: Sequence[str],
    beside: Collection[str],
) -> tuple[ModelCost, ...]:
    from core.models import loading

    run, trusted = subject.study.run, subject.study.models.trust_remote_code
    found = []
    for name, member in subject.models.items():
        places: Sequence[loading.DeviceShare] = ()
        if name in visited or name in beside:
            places = loading.placement_of(member, run, trust_remote_code=trusted)
        found.append(
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
    return tuple(found)


def _needed(family: Any, models: Sequence[ModelCost], read: Mapping[str, int]) -> dict[str, int]:
    """The most that each device holds at once: one model, beside the base the vectors' models,
    and in the pass over the weights one matrix of every model that is read."""
    needed: dict[str, int] = {}
    vectors = sum(nbytes for m in models if m.as_vector for _, _, nbytes in m.places)
    for model in models:
        own = {device: nbytes for device, _, nbytes in model.places} if model.loads else {}
        if model.model == "base" and vectors:
            own["cpu"] = own.get("cpu", 0) + vectors
        for device, nbytes in own.items():
            needed[device] = max(nbytes, needed.get(device, 0))
    reading = [m for m in (family.base, *family.tuned.values()) if read.get(m.name)]
    matrices = [p for p in family.anatomy.pieces if p.is_matrix and p.layer is not None]
    if reading and matrices:
        largest = max(sum(piece_bytes(m, family, piece) for m in reading) for piece in matrices)
        needed["cpu"] = max(largest, needed.get("cpu", 0))
    return needed


def _share(own: Sequence[Unit], done: Collection[str], pacing: Pacing) -> AnalysisShare:
    loads = [pacing.work[unit.key] for unit in own if unit.key not in done]
    asked: dict[tuple[str, int], int] = {}
    for each in loads:
        for question in each.asked:
            asked[question] = asked.get(question, 0) + 1
    name = own[0].analysis
    return AnalysisShare(
        analysis=name,
        units=len(own),
        finished=len(own) - len(loads),
        asked=tuple((task, times, items) for (task, items), times in asked.items()),
        forward=sum(w.forward for w in loads),
        backward=sum(w.backward for w in loads),
        ranked=sum(w.ranked for w in loads),
        seconds=pacing.of(name),
        measured=pacing.is_known(name) or not loads,
    )
