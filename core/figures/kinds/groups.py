"""Views of groups of models: their means with spread, and groups held against each other.

Every analysis has them, where a study has groups: the engine adds `OF_GROUPS` to its views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from core.engine.measurement import Coordinates, Measurement
from core.figures import groups
from core.figures.figure import Column, Table, Text
from core.figures.kinds.boxes import MemberBoxes
from core.figures.kinds.tables import SortedTable
from core.figures.records import GroupRecord
from core.figures.significance import LEVEL
from core.figures.spread_findings import of_spread
from core.figures.views import Catalogue, Coordinate, Tabulation
from core.sizes import among, counted

ORDERS = ("strongest evidence", "as measured")
_WHERE = ("metric_of", "task", "probe", "setting")
_SELECTORS = ("layer", "module")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTable(SortedTable):
    """A table of groups at one layer and module; `pairs`: it needs two groups."""

    loose: ClassVar[bool] = True
    grouped: ClassVar[bool] = True
    pairs: bool = False

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return ("model",)

    def placing(self, catalogue: Catalogue) -> Callable[[Coordinates], tuple[Any, ...] | None]:
        enough = len(catalogue.groups) > self.pairs
        return lambda coordinates: (
            (coordinates.model,) if enough and coordinates.model in catalogue.groups else None
        )


def means(asked: Tabulation) -> Table:
    """A line for each group and measure: mean, interval and spread of its members."""
    spreads = list(groups.spreads(asked.rows, asked.catalogue.groups))
    rows: list[tuple[Text, ...]] = [
        (*_place(s.mean), s.mean.model, s.mean.n, s.mean.value, s.mean.low, s.mean.high,
s.sd)
        for s in spreads
    ]  # fmt: skip
    return Table(
        title="Groups",
        keys=3,
        columns=(
            Column(name="measure"), Column(name="where"), Column(name="group"),
            Column(name="members", align="right", form="d"), *_numbers("mean", "low", "high", "sd"),
        ),
        rows=tuple(rows),
        results=("mean",),
        records=tuple(_record(s, s, None, None) for s in spreads),
        note="low and high: Student's 95 % interval of the mean over the members.",
    )  # fmt: skip


def compared(asked: Tabulation) -> Table:
    """A line for every two groups and measure: the difference of their means, tested."""
    tests = groups.comparisons(groups.spreads(asked.rows, asked.catalogue.groups))
    if asked.choice.order != ORDERS[1]:
        tests = sorted(tests, key=lambda test: 2.0 if test.q is None else test.q)
    rows: list[tuple[Text, ...]] = [
        (*_place(t.first.mean), t.first.mean.model, t.second.mean.model, t.first.mean.value,
         t.second.mean.value, t.difference.value, t.difference.low, t.difference.high, t.q)
        for t in tests
    ]  # fmt: skip
    return Table(
        title=f"Groups compared · {asked.choice.order}",
        keys=4,
        columns=(
            Column(name="measure"), Column(name="where"), Column(name="group"),
            Column(name="other"), *_numbers("mean", "other mean"),
            *_numbers("difference", "low", "high", signed=True),
            Column(name="q", align="right", form="p"),
        ),
        rows=tuple(rows),
        results=("q", "difference"),
        records=tuple(_record(t.first, t.second, t.difference.value, t.q) for t in tests),
        note="Welch's t test of the members' values; q: corrected for all tests of this table.",
    )  # fmt: skip


def told_means(figure: Table) -> str:
    """One plain sentence on the table of groups: how many members there are."""
    records: tuple[GroupRecord, ...] = figure.records
    if not records:
        return ""
    counts = {record.group: record.members for record in records}
    sizes = ", ".join(f"{group} {count}" for group, count in list(counts.items())[:6])
    few = "" if max(counts.values()) > 1 else "; one member alone has no spread"
    return f"Members of each group: {sizes}{few}."


def told_compared(figure: Table) -> str:
    """One plain sentence on groups held against each other: the difference that is most certain."""
    records: tuple[GroupRecord, ...] = figure.records
    known = [r for r in records if r.q is not None and r.difference is not None]
    if not known:
        return "No two groups can be compared: each needs two members with values that differ."
    sure = [record for record in known if record.q is not None and record.q < LEVEL]
    if not sure:
        count = counted(len(known), "difference")
        return f"None of {count} of groups is significant (q < {LEVEL:g})."
    first = min(sure, key=lambda record: record.q or 0.0)
    difference = first.difference or 0.0
    side = "above" if difference > 0 else "below"
    phrase = among(len(sure), len(known), "difference", "is", "are")
    return (
        f"{phrase} significant (q < {LEVEL:g}), first "
        f"{first.measure}: {first.other} is {abs(difference):.3g} {side} {first.group}."
    )


def _place(row: Measurement) -> tuple[Text, Text]:
    """The measure, and where it was measured, in words."""
    where = (str(getattr(row, name)) for name in _WHERE if getattr(row, name) != "")
    return row.metric, " · ".join(where)


def _record(
    first: groups.Spread, second: groups.Spread, difference: float | None, q: float | None
) -> GroupRecord:
    words = " · ".join(str(each) for each in _place(first.mean) if each)
    return GroupRecord(words, first.mean.model, second.mean.model, len(first.values), difference, q)


def _numbers(*names: str, signed: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name=n, align="right", form=".4g", signed=signed) for n in names)


OF_GROUPS = (
    GroupTable(
        key="groups",
        title="Groups",
        caption="Mean and spread of the models of each group.",
        finding=told_means,
        tabulate=means,
        selectors=_SELECTORS,
        free=("reference", *_WHERE),
        optional=True,
    ),
    GroupTable(
        key="group-tests",
        title="Groups compared",
        caption="Each pair of groups: is the difference larger than the spread of the members?",
        finding=told_compared,
        tabulate=compared,
        selectors=_SELECTORS,
        free=("reference", *_WHERE),
        orders=ORDERS,
        optional=True,
        pairs=True,
    ),
    MemberBoxes(
        key="members",
        title="Members of groups",
        short="Members",
        caption="The spread of the models of each group around their mean.",
        finding=of_spread,
        selectors=_SELECTORS,
        free=("reference", *_WHERE),
        optional=True,
    ),
)
