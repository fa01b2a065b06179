"""A run as the overview needs it: its family, and its measurements by place.

Owns the queries of the overview, and the index of their results. Reads no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.engine.measurement import Measurement
from core.figures.views import Query
from core.models import steps
from core.overview.evidence import Estimate, Yardstick, error_of

BASE = "base"
GROUPS = ("attention", "mlp")
PLAIN: Query = {"expert": "absent", "head": "absent", "setting": "absent"}
OVERALL: Query = {**PLAIN, "layer": "absent"}

QUERIES: Mapping[str, Query] = {
    "tuning_vectors": {
        **PLAIN, "metric": ("relative_norm",), "module": (*GROUPS, "blocks", "all"),
    },
    "vector_cosine": {**OVERALL, "metric": ("cosine",), "module": ("all",)},
    "alignment": {
        **OVERALL, "module": GROUPS,
        "metric": ("two_sided_excess", "new_energy", "gain", "amplification", "intruders"),
    },
    "divergence": {**OVERALL, "metric": ("nll_change", "p_value")},
    "activation": {**PLAIN, "metric": ("activated_percent",)},
    "edit_distance": {**PLAIN, "metric": ("ratio",)},
    "evaluation": {"metric": ("difference", "p_value")},
    "ablation": {"metric": ("drop_percent", "p_value")},
    "arithmetic": {"metric": ("regained",), "module": "absent"},
}  # fmt: skip
"""The measurements that the overview is made of, by analysis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The models of a study: `models` are the tuned ones in its order, `parents` those tuned from
    another of them, `domains` the tasks of each domain, `owners` the model of a domain by name."""

    models: tuple[str, ...]
    controls: frozenset[str] = frozenset()
    parents: Mapping[str, str] = field(default_factory=dict)
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The tuned models that are no control."""
        return tuple(name for name in self.models if name not in self.controls)

    def lineage(self, model: str) -> Iterator[str]:
        """A model, its parent, the parent's parent."""
        seen: set[str] = set()
        while model and model != BASE and model not in seen:
            seen.add(model)
            yield model
            model = self.parents.get(model, "")

    def is_kin(self, one: str, other: str) -> bool:
        """Do two models share a part of their path by construction? Then one is an ancestor of the
        other, both have a tuned ancestor, or both are checkpoints of one series."""
        first, second = steps.parted(one), steps.parted(other)
        if first is not None and second is not None and first.series == second.series:
            return True
        return not set(self.lineage(one)).isdisjoint(self.lineage(other))

    def own_domains(self, model: str) -> tuple[str, ...]:
        """The domains that a model was tuned for: its own domains, or the domains of the nearest
        ancestor that has any."""
        for name in self.lineage(model):
            own = tuple(d for d in self.domains if self.owners.get(d, d) == name)
            if own:
                return own
        return ()

    def domain_of(self, task: str) -> str:
        """The first domain that names a task."""
        return next((name for name, tasks in self.domains.items() if task in tasks), "")

    def is_own(self, model: str, task: str) -> bool:
        """Is a task one of the model's own domains?"""
        return any(task in self.domains[domain] for domain in self.own_domains(model))

    def is_own_text(self, model: str, probe: str) -> bool:
        """Is a probe set named like one of the model's own domains, the model, or an ancestor?"""
        return probe in (*self.own_domains(model), *self.lineage(model))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A run's measurements of `QUERIES`, by analysis, and the direction of its metrics.

    `higher` says of a metric whether a higher score is better; a metric without a direction is not
    in it.
    """

    family: Family
    rows: Mapping[str, Sequence[Measurement]]
    higher: Mapping[str, bool] = field(default_factory=dict)

    def of(self, analysis: str, metric: str) -> Iterator[Measurement]:
        """The defined measurements of a metric."""
        for row in self.rows.get(analysis, ()):
            if row.metric == metric and row.value is not None:
                yield row

    def gain(self, row: Measurement) -> float | None:
        """A difference from the base as a gain: below 0 it is a loss; None without a direction."""
        higher = self.higher.get(row.metric_of)
        if higher is None or row.value is None:
            return None
        return row.value if higher else -row.value


def estimate(row: Measurement) -> Estimate:
    """A defined measurement with its standard error."""
    assert row.value is not None
    return Estimate(row.value, error_of(row.low, row.high, row.n))


def yardsticks(
    controls: Mapping[str, Measurement | None], *levels: Yardstick
) -> tuple[Yardstick, ...]:
    """These levels, and the value of each control in the same place."""
    every = [*levels]
    for name, row in controls.items():
        if row is not None and row.value is not None:
            control = estimate(row)
            every.append(Yardstick(called(name), control.value, control.error or 0.0))
    return tuple(every)


def called(control: str) -> str:
    """A control in words."""
    return control if control == "control" else f"{control} (control)"
