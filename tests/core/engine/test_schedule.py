"""Schedules against every possible one of small cases, and against Graham's bounds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engine.schedule import DRIVER, Task, Turn, makespan, scheduled

MODELS = ("base", "medical", "maths")
SECONDS = st.integers(1, 9).map(float)
LOADING = {"base": 3.0, "medical": 2.0, "maths": 4.0}


@st.composite
def chained(draw: st.DrawFn, models: Sequence[str] = MODELS, most: int = 5) -> list[Task]:
    """Tasks over models, each of which may require some of those before it."""
    tasks: list[Task] = []
    for place in range(draw(st.integers(1, most))):
        needed = draw(st.sets(st.sampled_from([t.keys[0] for t in tasks]))) if tasks else set()
        loads = draw(st.sampled_from(models))
        tasks.append(Task((f"u{place}",), draw(SECONDS), loads, frozenset(needed)))
    return tasks


def best(tasks: Sequence[Task], cards: int, loading: dict[str, float]) -> float:
    """The least end of all orders of the tasks, on all choices of cards, one card a task."""
    least = float("inf")
    for order in itertools.permutations(tasks):
        for choice in itertools.product(range(cards), repeat=len(tasks)):
            free, model = [0.0] * cards, [""] * cards
            ends: dict[str, float] = {}
            for task, card in zip(order, choice, strict=True):
                if not task.requires <= ends.keys():
                    break
                start = max([free[card], *(ends[key] for key in task.requires)])
                start += loading.get(task.loads, 0.0) if model[card] != task.loads else 0.0
                model[card] = task.loads
                free[card] = ends[task.keys[0]] = start + task.seconds
            else:
                least = min(least, max(free))
    return least


def check(
    turns: Sequence[Turn], tasks: Sequence[Task], cards: int, loading: dict[str, float]
) -> None:
    """Every task once, after what it requires, alone on its cards, with its model loaded."""
    assert sorted(turn.task.keys for turn in turns) == sorted(task.keys for task in tasks)
    ends = {key: turn.end for turn in turns for key in turn.task.keys}
    for turn in turns:
        assert turn.end == pytest.approx(turn.start + turn.loading + turn.task.seconds)
        required = [ends[key] for key in turn.task.requires]
        assert turn.start >= max(required, default=0.0)
    lanes = [DRIVER, *((card,) for card in range(cards))]
    for lane in lanes:
        mine = [t for t in turns if t.cards == lane or (lane and lane[0] in t.cards)]
        mine.sort(key=lambda t: t.start)
        free = 0.0
        held: tuple[object, ...] = ()
        for turn in mine:
            assert turn.start >= free
            free = turn.end
            if turn.task.loads and (turn.task.loads, turn.cards) != held:
                assert turn.loading >= loading.get(turn.task.loads, 0.0)
            held = turn.task.loads, turn.cards


@given(st.lists(SECONDS, min_size=1, max_size=6), st.integers(1, 3))
@settings(max_examples=60)
def test_slices_end_within_grahams_bound_of_the_best(seconds: list[float], cards: int) -> None:
    tasks = [Task((f"u{place}",), each) for place, each in enumerate(seconds)]
    turns = scheduled(tasks, cards, loading={}, needs={})
    check(turns, tasks, cards, {})
    shares = itertools.product(range(cards), repeat=len(seconds))
    least = min(
        max(
            sum(s for s, c in zip(seconds, share, strict=True) if c == card)
            for card in range(cards)
        )
        for share in shares
    )
    assert least <= makespan(turns) <= (4 / 3 - 1 / (3 * cards)) * least + 1e-9


@given(chained(models=("base",)), st.integers(1, 2))
@settings(max_examples=40)
def test_chains_end_within_grahams_bound_of_the_best(tasks: list[Task], cards: int) -> None:
    turns = scheduled(tasks, cards, loading={}, needs={})
    check(turns, tasks, cards, {})
    least = best(tasks, cards, {})
    assert least <= makespan(turns) <= (2 - 1 / cards) * least + 1e-9


@given(chained(most=4), st.integers(1, 2))
@settings(max_examples=60)
def test_models_are_loaded_and_never_sooner_than_the_best(tasks: list[Task], cards: int) -> None:
    turns = scheduled(tasks, cards, loading=LOADING, needs={})
    check(turns, tasks, cards, LOADING)
    least = best(tasks, cards, LOADING)
    assert least <= makespan(turns)
    if cards == 1:
        serial = sum(task.seconds + LOADING[task.loads] for task in tasks)
        assert makespan(turns) <= serial


@given(chained(models=("", *MODELS)), st.integers(2, 5))
@settings(max_examples=60)
def test_a_model_has_the_cards_that_it_needs(tasks: list[Task], cards: int) -> None:
    needs = {"base": 2}
    turns = scheduled(tasks, cards, loading=LOADING, needs=needs)
    check(turns, tasks, cards, LOADING)
    used = [t for t in turns if t.cards != DRIVER]
    assert all(len(set(t.cards)) == needs.get(t.task.loads, 1) for t in used)


def test_one_card_computes_all_in_turn_and_loads_each_model_once() -> None:
    tasks = [Task((f"{model}{i}",), 5.0, model) for model in MODELS for i in range(4)]
    turns = scheduled(tasks, 1, loading=LOADING, needs={})
    assert makespan(turns) == 12 * 5 + sum(LOADING.values())


def test_a_further_worker_loads_a_model_only_where_that_pays() -> None:
    few = [Task((f"u{i}",), 1.0, "maths") for i in range(3)]
    assert {turn.cards for turn in scheduled(few, 8, loading={"maths": 60.0}, needs={})} == {(0,)}
    many = [Task((f"u{i}",), 60.0, "maths") for i in range(8)]
    assert makespan(scheduled(many, 8, loading={"maths": 4.0}, needs={})) == 64.0


def test_slices_come_first_and_reductions_take_no_card() -> None:
    slices = [Task(("a",), 4.0), Task(("b",), 4.0)]
    reduced = Task(("whole",), 1.0, requires=frozenset("ab"))
    model = Task(("m",), 2.0, "base")
    turns = scheduled([model, reduced, *slices], 2, loading={"base": 3.0}, needs={})
    assert [(t.task.keys[0], t.cards, t.start, t.end) for t in turns[2:]] in (
        [("whole", (), 4.0, 5.0), ("m", (0,), 4.0, 9.0)],
        [("m", (0,), 4.0, 9.0), ("whole", (), 4.0, 5.0)],
    )


def test_a_card_without_a_slice_begins_with_models() -> None:
    slices = [Task(("a",), 8.0), Task(("b",), 4.0)]
    later = Task(("l",), 1.0, "base", frozenset("a"))
    turns = scheduled([Task(("m",), 2.0, "base"), later, *slices], 2, loading=LOADING, needs={})
    check(turns, [turn.task for turn in turns], 2, LOADING)
    starts = {turn.task.keys[0]: (turn.start, turn.end) for turn in turns}
    assert starts == {"a": (0.0, 8.0), "b": (0.0, 4.0), "m": (4.0, 9.0), "l": (9.0, 10.0)}


def test_vectors_beside_a_model_are_loaded_once_a_worker() -> None:
    tasks = [Task((f"p{i}",), 10.0, "base", beside=frozenset({"medical"})) for i in range(4)]
    turns = scheduled(tasks, 2, loading=LOADING, needs={})
    assert [turn.loading for turn in turns] == [5.0, 5.0, 0.0, 0.0]


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 cards"):
        scheduled([Task(("u",), 1.0, "base")], 1, loading={}, needs={"base": 2})


def test_tasks_in_a_circle_are_refused() -> None:
    circle = [
        Task(("a",), 1.0, "base", frozenset("b")),
        Task(("b",), 1.0, "base", frozenset("a")),
    ]
    with pytest.raises(ValueError, match="cycle"):
        scheduled(circle, 1, loading={}, needs={})
