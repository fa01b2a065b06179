"""The nodes of a Ray cluster: their cards, and the places for workers on them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.jobs.gauge import measure, open_nvml
from core.engine.executor import Work
from core.study.study import Run

ROOM = 0.7
"""Share of a card's memory that a model may take: the rest is for its activations."""

_SURVEY = 30.0  # seconds for the nodes to name their cards


@dataclass(frozen=True, slots=True)
class Survey:
    """The cards of a node: the name and the bytes of each."""

    cards: tuple[tuple[str, int], ...]


def present() -> list[dict[str, Any]]:
    """All nodes that the cluster has had, in Ray's form."""
    import ray

    listed: list[dict[str, Any]] = ray.nodes()
    return listed


def surveyed(nodes: Iterable[Mapping[str, Any]]) -> dict[str, Survey]:
    """The cards of each node that has GPUs and answers, by the node's id."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {
        node["NodeID"]: ray.remote(_survey).options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote()
        for node in nodes
        if node["Alive"] and node["Resources"].get("GPU")
    }  # fmt: skip
    if not asked:
        return {}
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_SURVEY)
    surveys = {}
    for node, reference in asked.items():
        if reference in ready:
            with contextlib.suppress(ray.exceptions.RayError):  # the node is lost
                surveys[node] = ray.get(reference)
    return surveys


def _survey() -> Survey:
    """The cards of this node: by NVML if its package is there, else by torch."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides the cards from a task without any
    known = tuple((card.name, card.total) for card in measure(open_nvml()).cards)
    if not known:
        from core.models import cards

        known = cards.listed()
    return Survey(known)


def cards_needed(work: Work, survey: Survey | None) -> int:
    """The cards that the largest model takes; arithmetic holds a copy of the base beside it."""
    from core.engine.pacing import stored

    run: Run = work.study.run
    if run.max_memory is not None:
        return max(1, sum(name.isdigit() for name in run.max_memory))
    smallest = min((total for _, total in survey.cards), default=0) if survey else 0
    if not smallest:
        return 1
    sizes = {name: stored(member) for name, member in work.subject.models.items()}
    if any(unit.analysis == "arithmetic" for unit in work.units):
        sizes["base"] *= 2
    return max(1, math.ceil(max(sizes.values()) / (ROOM * smallest)))
