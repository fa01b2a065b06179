"""What a run will take before it starts: units, reading, memory, askings, and time.

Opens and plans a study as the runner does and counts; loads no model and computes nothing. Owns
the rough rates that stand in where nothing like it has been run yet. Knows no database: which
units are finished, and how long such units took, it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import registry, runner
from core.adapter import Adapter
from core.measurement import Unit
from core.study import Study

Finished = Callable[[Collection[str]], set[str]]
"""Those of these units' keys whose results are there already."""

Pace = Callable[[str, int, str], float | None]
"""The mean seconds of finished units: by analysis, parameters of the base, and device."""

TOKENS_AN_ITEM = 500
"""Tokens that an item of a task costs in the rough estimate: its choices or its answer together."""

SECONDS_AN_ITEM = 0.015
"""What an item of a task costs however small the model: the harness's own work on it."""

BACKWARD = 3
"""A forward and a backward pass cost this many forward passes."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rough speeds of a kind of device, to be right within a factor of a few.

    `sums` and `bases`: bytes a second of the pass over the weights, for sums over elements and for
    singular bases; `loading`: bytes a second into memory; `flops`: of a forward pass; `token`:
    seconds that a token of the probe set costs however small the model.
    """

    sums: float
    bases: float
    loading: float
    flops: float
    token: float


CPU = Rates(sums=1e9, bases=3e7, loading=1e9, flops=2e11, token=3e-5)
ACCELERATOR = Rates(sums=3e9, bases=5e8, loading=1e9, flops=1e14, token=1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
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
    shares: tuple[Share, ...]
    models: tuple[ModelCost, ...]
    needed: Mapping[str, int]
    loading_seconds: float
    notes: tuple[tuple[str, str], ...]

    @property
    def seconds(self) -> float:
        """The estimate for all that is left."""
        return self.loading_seconds + sum(share.seconds for share in self.shares)

    @property
    def rough(self) -> bool:
        """Is any analysis guessed by a rough rate? The loading always is."""
        return any(not share.measured for share in self.shares)


def look_ahead(
    study: Study, analyses: Sequence[str], *, finished: Finished, pace: Pace
) -> Preflight:
    """What a run of these analyses will take.

    Raises what `runner.run` raises before it computes.
    """
    from core.subject import open_subject

    device = runner.device_of(study)
    subject = open_subject(study, [registry.get(name).needs for name in analyses])
    units = runner.planned_units(subject, analyses)
    done = finished([unit.key for unit in units])
    todo = [unit for unit in units if unit.key not in done]
    read = weights_read(subject.family, todo)
    visited = visits(units, done, tuple(subject.models))
    work = {unit.key: _workload(unit, subject) for unit in todo}
    models = _models(subject, read, visited, work.values())
    rates = CPU if device.type == "cpu" else ACCELERATOR
    size = models[0].parameters
    shares = tuple(
        _share(
            [u for u in units if u.analysis == name], [u for u in todo if u.analysis == name],
            work, subject, rates, size, pace(name, size, str(device)),
        )
        for name in dict.fromkeys(unit.analysis for unit in units)
    )  # fmt: skip
    return Preflight(
        study=study.name,
        device=str(device),
        shares=shares,
        models=models,
        needed=_needed(subject.family, models, read),
        loading_seconds=sum(m.stored * (m.loads + m.as_vector) for m in models) / rates.loading,
        notes=tuple(subject.notes),
    )


def weights_read(family: Any, todo: Iterable[Unit]) -> dict[str, int]:
    """The bytes of each model that one pass over the weights reads for these units.

    In a slice the base is read whatever is wanted, and each tuned model that any unit is of. What
    an adapter adds is in memory from its opening.
    """
    wanted: dict[int | None, set[str]] = {}
    for unit in todo:
        if not unit.requires and not unit.loads:
            wanted.setdefault(unit.layer, {"base"}).update((unit.model, *unit.reads))
    members = {"base": family.base, **family.tuned}
    found = dict.fromkeys(members, 0)
    for layer, names in wanted.items():
        for piece in family.pieces(layer):
            for name in names & set(members):
                if not _in_memory(members[name], family, piece):
                    found[name] += _stored(members[name], family, piece)
    return found


def visits(units: Sequence[Unit], done: Collection[str], models: Sequence[str]) -> list[str]:
    """The models that the runner will load, in its order: one may come again when what it was
    waiting for takes another model."""
    known, found = set(done), []

    def is_open(unit: Unit, loads: str) -> bool:
        return unit.loads == loads and unit.key not in known and known.issuperset(unit.requires)

    def settle(loads: str) -> None:
        while ready := [unit.key for unit in units if is_open(unit, loads)]:
            known.update(ready)

    settle("")
    while (model := next((m for m in models if any(is_open(u, m) for u in units)), "")) != "":
        found.append(model)
        settle(model)
        settle("")
    return found


def _workload(unit: Unit, subject: Any) -> registry.Workload:
    parameters = subject.study.parameters(unit.analysis)
    return registry.get(unit.analysis).workload(unit, parameters, subject)


def _in_memory(member: Any, family: Any, piece: Any) -> bool:
    """Does a member give a piece without reading it: as an update of the base, or replaced?"""
    adapter = member.checkpoint
    return isinstance(adapter, Adapter) and (
        adapter.over is family.base.checkpoint or member.names[piece.tensor] in adapter.replaced
    )


def _stored(member: Any, family: Any, piece: Any) -> int:
    """The bytes of a piece as a member stores it; of a changed vocabulary the common rows."""
    info = member.checkpoint.tensors[member.names[piece.tensor]]
    common = family.common_rows.get(piece.tensor)
    rows = sum(stop - start for start, stop in piece.rows) if common is None else common
    columns = info.columns if piece.columns is None else piece.columns[1] - piece.columns[0]
    return int(rows * columns * info.dtype.itemsize)


def _models(
    subject: Any,
    read: Mapping[str, int],
    visited: Sequence[str],
    work: Iterable[registry.Workload],
) -> tuple[ModelCost, ...]:
    from core import loading

    beside = {name for each in work for name in each.beside}
    run, trusted = subject.study.run, subject.study.models.trust_remote_code
    found = []
    for name, member in subject.models.items():
        tensors = [info for info in member.checkpoint.tensors.values() if info.dtype is not None]
        places: Sequence[loading.Place] = ()
        if name in visited or name in beside:
            places = loading.placement_of(member, run, trust_remote_code=trusted)
        found.append(
            ModelCost(
                model=name,
                parameters=sum(info.rows * info.columns for info in tensors),
                read=read.get(name, 0),
                loads=visited.count(name),
                as_vector=int(name in beside),
                stored=sum(info.nbytes for info in tensors),
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
        largest = max(sum(_stored(m, family, piece) for m in reading) for piece in matrices)
        needed["cpu"] = max(largest, needed.get("cpu", 0))
    return needed


def _share(
    own: Sequence[Unit],
    todo: Sequence[Unit],
    work: Mapping[str, registry.Workload],
    subject: Any,
    rates: Rates,
    size: int,
    pace: float | None,
) -> Share:
    loads = [work[unit.key] for unit in todo]
    asked: dict[tuple[str, int], int] = {}
    for each in loads:
        for question in each.asked:
            asked[question] = asked.get(question, 0) + 1
    forward, backward = sum(w.forward for w in loads), sum(w.backward for w in loads)
    ranked, items = sum(w.ranked for w in loads), sum(n * i for (_, i), n in asked.items())
    name = own[0].analysis
    if pace is not None:
        seconds = pace * len(todo)
    else:
        passed = forward + BACKWARD * backward
        answered = items + (1 + BACKWARD) * ranked
        nbytes = sum(weights_read(subject.family, todo).values())
        pass_rate = rates.bases if name == "alignment" else rates.sums
        flops = 2.0 * size * (passed + TOKENS_AN_ITEM * answered)
        seconds = nbytes / pass_rate + flops / rates.flops
        seconds += rates.token * passed + SECONDS_AN_ITEM * answered
    return Share(
        analysis=name,
        units=len(own),
        finished=len(own) - len(todo),
        asked=tuple((task, times, items) for (task, items), times in asked.items()),
        forward=forward,
        backward=backward,
        ranked=ranked,
        seconds=seconds,
        measured=pace is not None or not todo,
    )
