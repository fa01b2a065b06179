"""The time of a run on several cards: a schedule of its tasks, the longest first.

The schedule is an estimate: `pacing` gives the expected seconds of each task, and all cards count
as equally fast. Each card takes slices of the weights before models, as in the runner. Knows no
study.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from heapq import heapify, heappop, heappush

DRIVER = ()
"""The cards of a reduction: the run's own process computes it."""


@dataclass(frozen=True, slots=True)
class Task:
    """Units that one worker computes together: their keys and seconds, and the units that they
    require.

    `loads`: the model that must be in memory, empty for a slice of the weights and for a reduction;
    `beside`: models whose weights must be in memory as vectors.
    """

    keys: tuple[str, ...]
    seconds: float
    loads: str = ""
    requires: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()

    @property
    def is_slice(self) -> bool:
        """Is it computed from the weights on disk?"""
        return not self.loads and not self.requires


@dataclass(frozen=True, slots=True)
class Turn:
    """One task on its cards, from `start` to `end`, in seconds. `loading`: its seconds of
    loading models."""

    task: Task
    cards: tuple[int, ...]
    start: float
    end: float
    loading: float = 0.0


@dataclass(slots=True)
class _Worker:
    """A process on some cards.

    It has the model that it holds, the seconds that loading it still takes, and the time at which
    it is free.
    """

    cards: tuple[int, ...]
    model: str = ""
    loading: float = 0.0
    vectors: set[str] = field(default_factory=set)
    free: float = 0.0


def makespan(turns: Iterable[Turn]) -> float:
    """The end of the last turn, in seconds."""
    return max((turn.end for turn in turns), default=0.0)


def scheduled(
    tasks: Sequence[Task],
    cards: int,
    *,
    loading: Mapping[str, float],
    needs: Mapping[str, int],
) -> list[Turn]:
    """A schedule of tasks on this number of cards: turns in the order of their starts.

    A free worker takes the ready task of its model with the longest chain of tasks behind it. If
    there is none, a new worker with another model takes its cards, provided that loading this model
    saves time.

    `loading`: the seconds of loading each model; `needs`: the cards that each takes, one if it is
    not named. Raises ValueError if a model needs more than `cards`, or if tasks require each other.
    """
    if any(needs.get(task.loads, 1) > cards for task in tasks):
        raise ValueError(f"a model needs more than {cards} cards")
    slices = _slices([task for task in tasks if task.is_slice], cards)
    turns = _Models(tasks, cards, loading, needs, slices).turns()
    return sorted(turns, key=lambda turn: turn.start)


def _slices(tasks: Sequence[Task], cards: int) -> list[Turn]:
    """The longest task first, each to the card that is free first."""
    free = [0.0] * cards
    turns = []
    for task in sorted(tasks, key=lambda each: -each.seconds):
        card = free.index(min(free))
        turns.append(Turn(task, (card,), free[card], free[card] + task.seconds))
        free[card] += task.seconds
    return turns


class _Models:
    """A simulation of the tasks over models and of the reductions, beside and after the slices."""

    def __init__(
        self,
        tasks: Sequence[Task],
        cards: int,
        loading: Mapping[str, float],
        needs: Mapping[str, int],
        slices: Sequence[Turn],
    ) -> None:
        self._tasks, self._slices = tasks, slices
        self._loading, self._needs = loading, needs
        self._ranks = _ranks(tasks)
        planned = {key for task in tasks for key in task.keys}
        self._missing = [len(task.requires & planned) for task in tasks]
        self._behind: dict[str, list[int]] = {}
        for place, task in enumerate(tasks):
            for key in task.requires & planned:
                self._behind.setdefault(key, []).append(place)
        self._ready: dict[str, list[tuple[float, int]]] = {}
        self._left: dict[str, float] = {}
        """The seconds of the ready tasks of each model."""
        self._now = self._driver = 0.0
        ends = {turn.cards: turn.end for turn in slices}  # of a card, the last one counts
        self._workers = [_Worker((card,), free=ends.get((card,), 0.0)) for card in range(cards)]
        for place, missing in enumerate(self._missing):
            if not missing and not tasks[place].is_slice:
                self._open(place)

    def turns(self) -> list[Turn]:
        """All turns."""
        turns = list(self._slices)
        ends = [(turn.end, number, turn.task) for number, turn in enumerate(turns)]
        heapify(ends)
        while True:
            for turn in self._started():
                heappush(ends, (turn.end, len(turns), turn.task))
                turns.append(turn)
            if not ends:
                break
            self._now = ends[0][0]
            while ends and ends[0][0] <= self._now:
                self._close(heappop(ends)[-1])
        return turns

    def _open(self, place: int) -> None:
        """Add a task to the ready ones."""
        task = self._tasks[place]
        heappush(self._ready.setdefault(task.loads, []), (-self._ranks[task.keys], place))
        self._left[task.loads] = self._left.get(task.loads, 0.0) + task.seconds

    def _close(self, task: Task) -> None:
        """Finish a task: open the tasks that waited for it alone."""
        for key in task.keys:
            for place in self._behind.get(key, ()):
                self._missing[place] -= 1
                if not self._missing[place]:
                    self._open(place)

    def _pop(self, model: str) -> Task:
        """Take the ready task of a model with the longest chain of tasks behind it."""
        task = self._tasks[heappop(self._ready[model])[1]]
        self._left[model] -= task.seconds
        return task

    def _started(self) -> Iterator[Turn]:
        """The turns that begin now: reductions in the run's own process, then workers' tasks."""
        while self._ready.get(""):
            task, start = self._pop(""), max(self._driver, self._now)
            self._driver = start + task.seconds
            yield Turn(task, DRIVER, start, self._driver)
        while (worker := self._free()) is not None:
            yield self._turn(self._pop(worker.model), worker)

    def _free(self) -> _Worker | None:
        """A free worker with a ready task of its model, which may be new; None if there is none."""
        idle = [worker for worker in self._workers if worker.free <= self._now]
        holding = next((worker for worker in idle if self._ready.get(worker.model)), None)
        if holding is not None or not idle:
            return holding
        cards = sum(len(worker.cards) for worker in idle)
        for model in self._preferred():
            if self._needs.get(model, 1) <= cards and self._pays(model):
                return self._placed(model, idle)
        return None

    def _turn(self, task: Task, worker: _Worker) -> Turn:
        loading = worker.loading
        loading += sum(self._loading.get(name, 0.0) for name in task.beside - worker.vectors)
        worker.vectors |= task.beside
        worker.free = self._now + loading + task.seconds
        worker.loading = 0.0
        return Turn(task, worker.cards, self._now, worker.free, loading)

    def _preferred(self) -> list[str]:
        """The models of ready tasks; first the one with the longest chain of tasks and most work
        for each worker that would then hold it."""

        def weight(model: str) -> float:
            return -self._ready[model][0][0] + self._left[model] / (1 + self._holders(model))

        return sorted((model for model in self._ready if self._ready[model]), key=weight)[::-1]

    def _pays(self, model: str) -> bool:
        """Would the workers that hold a model take longer for its tasks than one more would take to
        load it?"""
        holders = self._holders(model)
        return not holders or self._left[model] / holders > self._loading.get(model, 0.0)

    def _holders(self, model: str) -> int:
        return sum(worker.model == model for worker in self._workers)

    def _placed(self, model: str, idle: Sequence[_Worker]) -> _Worker:
        """A new worker for a model on cards of idle workers, first of those without a model."""
        need = self._needs.get(model, 1)
        cards: list[int] = []
        for worker in sorted(idle, key=lambda each: (bool(each.model), -len(each.cards))):
            if len(cards) < need:
                self._workers.remove(worker)
                cards += worker.cards
        new = _Worker(tuple(cards[:need]), model, loading=self._loading.get(model, 0.0))
        self._workers += [_Worker((card,)) for card in cards[need:]]
        self._workers.append(new)
        return new


def _ranks(tasks: Sequence[Task]) -> dict[tuple[str, ...], float]:
    """The seconds from the start of each task to the end of the longest chain of tasks behind it.
    Raises ValueError if tasks require each other."""
    of = {key: task for task in tasks for key in task.keys}
    graph = {task.keys: {of[k].keys for k in task.requires if k in of} for task in tasks}
    ranks: dict[tuple[str, ...], float] = dict.fromkeys(graph, 0.0)
    seconds = {task.keys: task.seconds for task in tasks}
    for keys in reversed(list(TopologicalSorter(graph).static_order())):
        ranks[keys] += seconds[keys]
        for before in graph[keys]:
            ranks[before] = max(ranks[before], ranks[keys])
    return ranks
