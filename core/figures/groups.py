"""Groups of models of one recipe, such as several seeds: mean and spread as a model of their own.

Owns the names of groups among models and their rows, which are made when a figure is, out of the
members' measurements: nothing of a group is stored. The members of series at one step make
`group@step`. Knows no view and no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from core.engine.measurement import COORDINATES, Coordinates, Measurement
from core.figures.figure import BASE
from core.figures.rounding import PROBABILITIES
from core.figures.views import Catalogue, Combination, Query
from core.models import steps
from core.statistics.multiplicity import adjusted

if TYPE_CHECKING:
    from core.statistics.intervals import Welch

Groups = Mapping[str, tuple[str, ...]]
"""The members of each group, by its name among models."""

_PLACE = tuple(name for name in ("metric", *COORDINATES) if name != "model")

_OF_ITEMS = (*PROBABILITIES, "stderr")
"""Metrics of one model's own test over items, which have no mean over models."""
LARGEST = 1e100
"""Larger values are left out: their squares overflow."""
_REPEATED = ("difference",)
"""Metrics that differ between groups as another metric does: a score less the base's."""


class Spread(NamedTuple):
    """A group at one place: its mean with Student's interval over `n` members, the values of these
    members, and their standard deviation (None of one)."""

    mean: Measurement
    values: tuple[float, ...]
    sd: float | None


class Comparison(NamedTuple):
    """Two groups at one place: their means, the difference of the second from the first with
    Welch's interval, and its p value corrected for all tests made with it."""

    first: Spread
    second: Spread
    difference: Welch
    q: float | None


def of_models(groups: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The groups of models, each with its members; `groups` is each model's group, "" for none."""
    by_group: dict[str, list[str]] = {}
    for model, group in groups.items():
        if group:
            member = steps.parted(model)
            name = group if member is None else steps.Checkpoint(group, member.step).name
            by_group.setdefault(name, []).append(model)
    return {name: tuple(members) for name, members in by_group.items()}


def added(catalogue: Catalogue, groups: Groups) -> Catalogue:
    """The catalogue with the groups that have measured members, as further models."""
    group_of = {model: name for name, members in groups.items() for model in members}
    more = {
        replace(combination, model=group_of[combination.model])
        for combination in catalogue.combinations
        if combination.model in group_of and _alone(combination)
    }
    measured = {combination.model for combination in more}
    known = {name: members for name, members in groups.items() if name in measured}
    controls = {name for name, members in known.items() if catalogue.controls.issuperset(members)}
    return replace(
        catalogue,
        ranges={**catalogue.ranges, "model": (*catalogue.values("model"), *known)},
        models=(*catalogue.models, *known),
        combinations=catalogue.combinations | more,
        controls=catalogue.controls | controls,
        groups=known,
    )


def without(catalogue: Catalogue) -> Catalogue:
    """The catalogue of the models alone."""
    if not catalogue.groups:
        return catalogue

    groups = catalogue.groups

    def bare(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in groups)

    return replace(
        catalogue,
        ranges={**catalogue.ranges, "model": bare(catalogue.values("model"))},
        models=bare(catalogue.models),
        combinations=frozenset(
            c for c in catalogue.combinations if c.model not in catalogue.groups
        ),
        groups={},
    )


def asked(query: Query, groups: Groups) -> Query:
    """The query that also asks for the members of the groups that it asks for."""
    models = query.get("model")
    if not isinstance(models, tuple):
        return query
    members = (each for name in models for each in groups.get(str(name), ()))
    return {**query, "model": tuple(dict.fromkeys((*models, *members)))}


def joined(rows: Sequence[Measurement], query: Query, groups: Groups) -> list[Measurement]:
    """The rows that a query selects, with the rows of groups; `rows`: the result of `asked`."""
    models = query.get("model")
    if not groups or models == "absent":
        return list(rows)
    with_means = [*rows, *(spread.mean for spread in spreads(rows, groups))]
    return [row for row in with_means if not isinstance(models, tuple) or row.model in models]


def spreads(rows: Iterable[Measurement], groups: Groups) -> Iterator[Spread]:
    """Each group at each place where a member has a value. The chance level is the members' mean,
    without a spread: members share the data that it was found on."""
    from core.statistics.intervals import deviation, of_mean

    group_of = {model: name for name, models in groups.items() for model in models}
    by_place: dict[tuple[object, ...], list[Measurement]] = {}
    for row in rows:
        known = row.value is not None and abs(row.value) < LARGEST and row.metric not in _OF_ITEMS
        if known and row.model in group_of and _alone(row):
            place = tuple(getattr(row, name) for name in _PLACE)
            by_place.setdefault((group_of[row.model], *place), []).append(row)
    for (name, *_), members in by_place.items():
        values = tuple(float(row.value) for row in members if row.value is not None)
        levels = [row.chance for row in members if row.chance is not None]
        mean = of_mean(values)
        yield Spread(
            replace(
                members[0], model=str(name), value=mean.value, low=mean.low, high=mean.high,
                n=len(values), chance_sd=None,
                chance=sum(levels) / len(levels) if len(levels) == len(members) else None,
            ),
            values,
            deviation(values),
        )  # fmt: skip


def comparisons(group_spreads: Iterable[Spread]) -> list[Comparison]:
    """Every two groups of one step at each place, all tests corrected together."""
    from core.statistics.intervals import welch

    by_place: dict[tuple[object, ...], list[Spread]] = {}
    for spread in group_spreads:
        if spread.mean.metric in _REPEATED:
            continue
        place = tuple(getattr(spread.mean, name) for name in _PLACE)
        member = steps.parted(spread.mean.model)
        by_place.setdefault((*place, member and member.step), []).append(spread)
    pairs = [pair for same_place in by_place.values() for pair in combinations(same_place, 2)]
    made = [welch(first.values, second.values) for first, second in pairs]
    corrected = adjusted([each.p for each in made])
    return [
        Comparison(*pair, each, q) for pair, each, q in zip(pairs, made, corrected, strict=True)
    ]


def _alone(coordinates: Coordinates | Combination) -> bool:
    """Is it about one model, compared with no other model than the base? Pairs of models belong to
    no group."""
    return coordinates.reference in ("", BASE)
