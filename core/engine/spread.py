"""A run on several cards: its open units as tasks, and their schedules.

Knows no files and no devices: the preflight says how many cards each model needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.engine import registry
from core.engine.measurement import Unit
from core.engine.pacing import Pacing
from core.engine.schedule import Task, Turn, makespan, scheduled

COUNTS = (1, 2, 4, 8)
"""The numbers of cards for which the time is estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardShare:
    """The share of one card, or of one worker on the CPU: the slices of the weights and the units
    of each model that it computes.

    `busy`: its seconds of computing and of loading models.
    """

    slices: int
    units: tuple[tuple[str, int], ...]
    busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The schedule of a run on `cards` cards, or on as many workers on the CPU.

    `seconds`: its duration, None if a model does not fit.
    """

    cards: int
    seconds: float | None
    shares: tuple[CardShare, ...] = ()


def tasks_of(todo: Sequence[Unit], pacing: Pacing) -> list[Task]:
    """The open units as tasks, each for one worker.

    A task is a slice of the weights, a forward pass that readers share, or a single unit.
    """
    together: dict[tuple[object, ...], list[Unit]] = {}
    for unit in todo:
        place: tuple[object, ...] = (unit.key,)
        if not unit.loads and not unit.requires:
            place = ("slice", unit.layer)
        elif unit.loads and registry.get(unit.analysis).reader:
            place = ("pass", unit.loads, unit.options["stored"])
        together.setdefault(place, []).append(unit)
    tasks = []
    for units in together.values():
        keys = tuple(unit.key for unit in units)
        tasks.append(
            Task(
                keys,
                sum(map(pacing.expected, units)),
                units[0].loads,
                frozenset(key for unit in units for key in unit.requires).difference(keys),
                frozenset(name for unit in units for name in pacing.work[unit.key].beside),
            )
        )
    return tasks


def spread(
    tasks: Sequence[Task],
    counts: Sequence[int],
    *,
    pacing: Pacing,
    needs: Mapping[str, int],
    alone: float,
) -> tuple[Spread, ...]:
    """The run on each number of cards, in ascending order. `needs`: the number of cards of each
    model; `alone`: the seconds of the run in one process, or on one card. More cards never take
    longer: some may stay free."""
    names = {task.loads for task in tasks if task.loads}.union(*(task.beside for task in tasks))
    loading = {name: pacing.vectors([name]) for name in names}
    spreads: list[Spread] = []
    for count in counts:
        if any(needs.get(name, 1) > count for name in names):
            spreads.append(Spread(cards=count, seconds=None))
            continue
        turns = scheduled(tasks, count, loading=loading, needs=needs)
        fewer = [each.seconds for each in spreads if each.seconds is not None]
        seconds = alone if count == 1 else min([makespan(turns), *fewer])
        shares = tuple(_share_of(card, turns) for card in range(count))
        spreads.append(Spread(cards=count, seconds=seconds, shares=shares))
    return tuple(spreads)


def _share_of(card: int, turns: Sequence[Turn]) -> CardShare:
    mine = [turn for turn in turns if card in turn.cards]
    units: Counter[str] = Counter()
    for turn in mine:
        if not turn.task.is_slice:
            units[turn.task.loads] += len(turn.task.keys)
    return CardShare(
        slices=sum(turn.task.is_slice for turn in mine),
        units=tuple(units.items()),
        busy=sum(turn.end - turn.start for turn in mine),
    )
