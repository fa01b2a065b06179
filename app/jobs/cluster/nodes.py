"""The nodes of a Ray cluster: their cards, and the places for workers on them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.jobs.gauge import measure, open_nvml

_SURVEY = 30.0  # seconds for the nodes to name their cards


@dataclass(frozen=True, slots=True)
class Survey:
    """The cards of a node: the name and the bytes of each."""

    cards: tuple[tuple[str, int], ...]

    @property
    def smallest(self) -> int:
        """The bytes of the smallest card; 0 if none is known."""
        return min((total for _, total in self.cards), default=0)


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
