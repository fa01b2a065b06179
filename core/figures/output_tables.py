"""Tables of divergence: tuned models on probe sets.

Owns columns, rows and orders. Computes nothing; draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.engine.measurement import Measurement
from core.figures.figure import Column, Table, Text
from core.figures.records import DivergenceRecord
from core.figures.views import Tabulation

ORDERS = ("as in the study", "furthest first", "most gained", "most forgotten")

Own = dict[str, Measurement]
"""The measurements of one model on one probe set, by metric."""


def models(asked: Tabulation) -> Table:
    """A row for each tuned model and probe set."""
    by_place = _by_place(asked)
    order = asked.choice.order or ORDERS[0]
    places = sorted(by_place, key=lambda place: _rank(by_place[place], order))
    rows = [
        (
            _value(by_metric.get("kl")), _value(by_metric.get("nll_change")),
            _value(by_metric.get("q_value")), _value(by_metric.get("top1_agreement")),
            _value(by_metric.get("nll")), _value(by_metric.get("reverse_kl")),
            _chance(by_metric.get("kl")), *_bounds(by_metric.get("kl")),
            *_bounds(by_metric.get("nll_change")), by_metric["kl"].n if "kl" in by_metric else None,
        )
        for by_metric in map(by_place.__getitem__, places)
    ]  # fmt: skip
    columns = (
        Column(name="KL", align="right", form=".4g"),
        Column(name="NLL change", align="right", form=".4g", signed=True),
        Column(name="q", align="right", form="p"),
        Column(name="agreement", align="right", form=".3f"),
        Column(name="NLL", align="right", form=".4g"),
        Column(name="reverse KL", align="right", form=".4g"),
        Column(name="rounding", align="right", form=".2g"),
        *(Column(name=f"KL {end}", align="right", form=".4g") for end in ("low", "high")),
        *(
            Column(name=f"change {end}", align="right", form=".4g", signed=True)
            for end in ("low", "high")
        ),
        Column(name="documents", align="right", form=",d"),
    )
    first = "NLL change" if order in ORDERS[2:] else "KL"
    note = (
        "In nats, means over tokens with 95 % intervals over documents. q is of the change, "
        "corrected. Rounding is the KL of the base against itself in another batch."
    )
    return _table(by_place, places, "Divergence from the base", columns, rows, note, (first,))


def _table(
    by_place: dict[tuple[str, str], Own],
    places: Sequence[tuple[str, str]],
    title: str,
    columns: Sequence[Column],
    rows: Sequence[tuple[Text, ...]],
    note: str,
    results: tuple[str, ...] = (),
) -> Table:
    """Rows under the names of their models, and of their probe sets where there are several."""
    several = any(probe for _, probe in places)
    names = ("model", "probe set")[: 1 + several]
    return Table(
        title=title,
        columns=(*(Column(name=name) for name in names), *columns),
        rows=tuple((*place[: 1 + several], *row) for place, row in zip(places, rows, strict=True)),
        records=tuple(
            DivergenceRecord(*place, by_place[place].get("kl"), by_place[place].get("nll_change"))
            for place in places
        ),
        keys=len(names),
        results=results,
        note=note,
    )


def _by_place(asked: Tabulation) -> dict[tuple[str, str], Own]:
    """The measurements by model and probe set, in the catalogue's order."""
    by_place: dict[tuple[str, str], Own] = {
        (model, probe): {}
        for model in asked.catalogue.values("model")
        for probe in ("", *asked.catalogue.values("probe"))
    }
    for row in asked.rows:
        by_place.setdefault((row.model, row.probe), {})[row.metric] = row
    return {place: by_metric for place, by_metric in by_place.items() if by_metric}


def _rank(by_metric: Own, order: str) -> float:
    if order == ORDERS[0]:
        return 0.0
    value = _value(by_metric.get("kl" if order == ORDERS[1] else "nll_change"))
    return float("inf") if value is None else value if order == ORDERS[2] else -value


def _bounds(row: Measurement | None) -> tuple[Text, Text]:
    return (None, None) if row is None else (row.low, row.high)


def _value(row: Measurement | None) -> float | None:
    return None if row is None else row.value


def _chance(row: Measurement | None) -> float | None:
    return None if row is None else row.chance
