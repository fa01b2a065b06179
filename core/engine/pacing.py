"""Estimates of the duration of units: rough rates, corrected by measured units.

Owns the rough rates, and the order of loading models. Units are very uneven: a slice of weights
takes a second, a task a minute. So each unit is given its seconds at the rough rates, and the
finished units of each analysis scale these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.engine import registry
from core.engine.measurement import Unit
from core.models.adapters.checkpoint import Adapter
from core.models.cards import kind

Pace = Callable[[str, int, str], float | None]
"""The mean seconds of finished units: by analysis, parameters of the base, and kind of device."""

TOKENS_AN_ITEM = 500
"""Tokens per item of a task in the rough estimate: its choices or its answer together."""

SECONDS_AN_ITEM = 0.015
"""Seconds per item of a task independent of the model: the harness's own work."""

BACKWARD = 3
"""Cost of a forward and a backward pass, in forward passes."""

LEAST = 1e-3
"""Minimum seconds of a unit, such as one that only reduces others' results."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rough speeds of a kind of device, correct within a small factor.

    `sums` and `bases`: bytes per second of the pass over the weights, for sums over elements and
    for singular bases; `loading`: bytes per second into memory; `flops`: operations per second of a
    forward pass; `token`: minimum seconds per token of the probe set.
    """

    sums: float
    bases: float
    loading: float
    flops: float
    token: float


CPU = Rates(sums=1e9, bases=3e7, loading=1e9, flops=2e11, token=3e-5)
ACCELERATOR = Rates(sums=3e9, bases=5e8, loading=1e9, flops=1e14, token=1e-6)


@dataclass(slots=True)
class _Share:
    """The units of an analysis, in number and in rough seconds: all, open and timed ones."""

    units: int = 0
    weight: float = 0.0
    open: int = 0
    left: float = 0.0
    timed: float = 0.0
    seconds: float = 0.0
    usual: float | None = None

    @property
    def is_known(self) -> bool:
        return self.usual is not None or self.timed > 0

    @property
    def scale(self) -> float:
        """Real seconds per rough second. The mean of earlier runs counts as one unit of this
        run."""
        if not self.is_known:
            return 1.0
        if self.usual is None:
            return self.seconds / self.timed
        return (self.seconds + self.usual) / (self.timed + self.weight / self.units)


class Pacing:
    """The remaining seconds of a run, updated after each unit and each model.

    `card`: the kind of device, if another process computes. `work`: each unit's work on a loaded
    model. `loads`: the models that remain to load.
    """

    def __init__(
        self,
        subject: Any,
        units: Sequence[Unit],
        done: Collection[str],
        device: Any,
        pace: Pace,
        card: str = "",
    ) -> None:
        self._rates = CPU if device.type == "cpu" else ACCELERATOR
        self._stored = {name: stored(member) for name, member in subject.models.items()}
        size = parameters(subject.family.base)
        self.work = {unit.key: _workload(unit, subject) for unit in units}
        self.loads = visits(units, done, tuple(subject.models))
        self._weights = _rough(subject.family, units, self.work, size, self._rates)
        self._shares: dict[str, _Share] = {}
        self._open = {unit.key: unit for unit in units if unit.key not in done}
        for unit in units:
            share = self._shares.setdefault(unit.analysis, _Share())
            share.units += 1
            share.weight += self._weights[unit.key]
            if unit.key in self._open:
                share.open += 1
                share.left += self._weights[unit.key]
        for name, share in self._shares.items():
            share.usual = pace(name, size, card or kind(device)) if share.left else None
        self._loaded, self._loading = 0, 0.0

    def took(self, unit: Unit, seconds: float) -> None:
        """Record a computed unit."""
        self._close(unit.key)
        share = self._shares[unit.analysis]
        share.timed += self._weights[unit.key]
        share.seconds += seconds

    def dropped(self, units: Iterable[Unit]) -> None:
        """Expect no more these units, the units that need them, and models without other units."""
        gone = {unit.key for unit in units}
        while (
            waiting := {
                key for key, unit in self._open.items() if not gone.isdisjoint(unit.requires)
            }
            - gone
        ):
            gone |= waiting
        for key in gone:
            self._close(key)
        wanted = {unit.loads for unit in self._open.values()}
        self.loads = [model for model in self.loads if model in wanted]

    def loaded(self, model: str, seconds: float) -> None:
        """Record a loaded model."""
        if model in self.loads:
            self.loads.remove(model)
        self._loaded += self._stored[model]
        self._loading += seconds

    @property
    def left(self) -> float:
        """The remaining seconds of the whole run."""
        return self.loading + sum(self.of(name) for name in self._shares)

    @property
    def longest(self) -> float:
        """The seconds of the longest unit that remains."""
        return max(map(self.expected, self._open.values()), default=0.0)

    @property
    def rough(self) -> bool:
        """Does it use only rough rates for any unfinished analysis?"""
        return any(share.left and not share.is_known for share in self._shares.values())

    @property
    def loading(self) -> float:
        """The remaining seconds of loading models."""
        a_byte = 1 / self._rates.loading
        if self._loaded:
            a_byte = self._loading / self._loaded
        return a_byte * sum(self._stored[name] for name in self.loads)

    def of(self, analysis: str) -> float:
        """The remaining seconds of an analysis's units."""
        share = self._shares[analysis]
        return share.scale * share.left

    def expected(self, unit: Unit) -> float:
        """The seconds of a unit."""
        return self._shares[unit.analysis].scale * self._weights[unit.key]

    def is_known(self, analysis: str) -> bool:
        """Has any unit of an analysis been timed, in this run or an earlier one?"""
        return self._shares[analysis].is_known

    def vectors(self, models: Iterable[str]) -> float:
        """The rough seconds of loading these models' weights as vectors."""
        return sum(self._stored[name] for name in models) / self._rates.loading

    def _close(self, key: str) -> None:
        """Take the seconds of a unit from the remaining ones, once."""
        if (unit := self._open.pop(key, None)) is not None:
            share = self._shares[unit.analysis]
            share.open -= 1
            # A sum of floats, taken apart in another order, leaves a rest.
            share.left = max(0.0, share.left - self._weights[key]) if share.open else 0.0


def parameters(member: Any) -> int:
    """The parameters that a model stores."""
    return sum(info.rows * info.columns for info in _tensors(member))


def stored(member: Any) -> int:
    """The bytes that a model stores."""
    return sum(info.nbytes for info in _tensors(member))


def piece_bytes(member: Any, family: Any, piece: Any) -> int:
    """The bytes of a piece as a member stores it; for a changed vocabulary, of the common rows."""
    info = member.checkpoint.tensors[member.names[piece.tensor]]
    common = family.common_rows.get(piece.tensor)
    rows = sum(stop - start for start, stop in piece.rows) if common is None else common
    columns = info.columns if piece.columns is None else len(range(*piece.columns))
    return int(rows * columns * info.dtype.itemsize)


def weights_read(family: Any, todo: Iterable[Unit]) -> dict[str, int]:
    """The bytes of each model that one pass over the weights reads for these units.

    A slice always reads the base, and each tuned model with a unit in it. An adapter's tensors are
    in memory from its opening.
    """
    wanted: dict[int | None, set[str]] = {}
    for unit in todo:
        if _is_of_weights(unit):
            wanted.setdefault(unit.layer, {"base"}).update((unit.model, *unit.reads))
    members = {"base": family.base, **family.tuned}
    nbytes = dict.fromkeys(members, 0)
    for layer, names in wanted.items():
        for piece in family.pieces(layer):
            for name in names & set(members):
                if not _in_memory(members[name], family, piece):
                    nbytes[name] += piece_bytes(members[name], family, piece)
    return nbytes


def visits(units: Sequence[Unit], done: Collection[str], models: Sequence[str]) -> list[str]:
    """The models that the runner will load, in its order: a model repeats if its units wait for
    another model's."""
    known, visited = set(done), []

    def is_open(unit: Unit, loads: str) -> bool:
        return unit.loads == loads and unit.key not in known and known.issuperset(unit.requires)

    def settle(loads: str) -> None:
        while ready := [unit.key for unit in units if is_open(unit, loads)]:
            known.update(ready)

    settle("")
    while (model := next((m for m in models if any(is_open(u, m) for u in units)), "")) != "":
        visited.append(model)
        settle(model)
        settle("")
    return visited


def _tensors(member: Any) -> list[Any]:
    return [info for info in member.checkpoint.tensors.values() if info.dtype is not None]


def _workload(unit: Unit, subject: Any) -> registry.Workload:
    given = subject.study.parameters(unit.analysis)
    return registry.get(unit.analysis).workload(unit, given, subject)


def _is_of_weights(unit: Unit) -> bool:
    return not unit.requires and not unit.loads


def _in_memory(member: Any, family: Any, piece: Any) -> bool:
    """Does a member have a piece in memory: as an update of the base, or replaced?"""
    adapter, name = member.checkpoint, member.names[piece.tensor]
    if not isinstance(adapter, Adapter):
        return False
    update = adapter.updates.get(name)
    if name in adapter.replaced:
        return True
    return adapter.over is family.base.checkpoint and not (update and update.reads_base)


def _rough(
    family: Any,
    units: Sequence[Unit],
    work: Mapping[str, registry.Workload],
    size: int,
    rates: Rates,
) -> dict[str, float]:
    """The seconds of each unit at the rough rates. An analysis's units of one slice of the weights
    share the time of reading the slice."""
    slices: dict[tuple[str, int | None], list[Unit]] = {}
    for unit in units:
        if _is_of_weights(unit):
            slices.setdefault((unit.analysis, unit.layer), []).append(unit)
    seconds_of = {unit.key: max(LEAST, _asking(work[unit.key], size, rates)) for unit in units}
    for (analysis, _), slice_units in slices.items():
        rate = rates.bases if analysis == "alignment" else rates.sums
        seconds = sum(weights_read(family, slice_units).values()) / rate / len(slice_units)
        seconds_of |= {unit.key: max(LEAST, seconds) for unit in slice_units}
    return seconds_of


def _asking(work: registry.Workload, size: int, rates: Rates) -> float:
    """The rough seconds of a unit's work on a loaded model of `size` parameters."""
    passed = work.forward + BACKWARD * work.backward
    answered = sum(items for _, items in work.asked) + (1 + BACKWARD) * work.ranked
    flops = 2.0 * size * (passed + TOKENS_AN_ITEM * answered)
    return flops / rates.flops + rates.token * passed + SECONDS_AN_ITEM * answered
