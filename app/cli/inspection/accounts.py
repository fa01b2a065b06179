"""The results of a run over weights for each tuned model, as typed values with chance levels.

Owns the choice of measurements for each question. Writes no sentences and draws nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from core.engine import registry
from core.engine.measurement import Measurement
from core.figures.figure import Cell
from core.figures.views import Query
from core.models.naming import GROUP_OF
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

GROUPS = ("attention", "mlp")
RANKS = ("stable_rank", "effective_rank")
_NOMINAL = {
    spec.name
    for name in ("tuning_vectors", "vector_cosine")
    for spec in registry.get(name).metrics
    if spec.nominal_chance
}
"""Metrics whose spread of chance is no test."""
_SIZES = ("relative_norm", "changed_share", "rounding_share", "base_cosine")
_DIRECTIONS = ("two_sided_excess", "gain", "intruders")

ByName = Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One tuned model. The mappings leave out values that are undefined or were not measured.

    Sizes are relative norms ‖Δ‖/‖W‖: `size` by group and over `all` weights, `layers` by group
    (`blocks`: whole layers) and layer, `modules` by module over all layers. `ranks` are medians
    over matrices, by metric and group; the rest is over all layers, by group. `of_matrices` are
    two-sided alignments beyond chance of single matrices (a layer's experts of one kind count
    once), `cosines` are by the other model. `dominated`: at least a tenth of ‖Δ‖² is rounding to
    the stored dtype.
    """

    model: str
    size: ByName
    changed: Cell | None
    rounding: Cell | None
    dominated: bool
    layers: Mapping[str, Mapping[int, Cell]]
    modules: ByName
    ranks: Mapping[str, ByName]
    excess: ByName
    gain: ByName
    intruders: ByName
    leading: int | None
    of_matrices: tuple[Cell, ...]
    turn: ByName
    cosines: ByName


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A run over weights: the models in the study's order, and the doubts, each with its models (or
    other subjects)."""

    run: str
    base: str
    places: Mapping[str, str]
    accounts: tuple[Account, ...]
    doubts: tuple[tuple[tuple[str, ...], str], ...]


def read(db: Database, run: RunSummary) -> Inspection:
    """The results of a run over weights."""
    study = runs.study_of(db, run.id)
    rows = [
        *_rows(db, run, "tuning_vectors", (*_SIZES, *RANKS)),
        *_rows(db, run, "vector_cosine", ("cosine",)),
        *_rows(db, run, "alignment", _DIRECTIONS),
    ]
    rows_of: dict[str, list[Measurement]] = defaultdict(list)
    for row in rows:
        rows_of[row.model].append(row)
    return Inspection(
        run=run.id,
        base=study.models.base.path,
        places={name: model.path for name, model in study.models.tuned.items()},
        accounts=tuple(_account(name, rows_of[name]) for name in run.models),
        doubts=_doubts(runs.warnings(db, run.id)),
    )


def _rows(
    db: Database, run: RunSummary, analysis: str, metrics: tuple[str, ...]
) -> list[Measurement]:
    if analysis not in run.analyses:
        return []
    query: Query = {"metric": metrics, "setting": "absent", "expert": "absent", "head": "absent"}
    return runs.measurements(db, run.id, analysis, query)


def _account(model: str, rows: Sequence[Measurement]) -> Account:
    whole: dict[str, dict[str, Measurement]] = defaultdict(dict)
    layers: dict[str, dict[int, Cell]] = {name: {} for name in (*GROUPS, "blocks")}
    for row in rows:
        if row.layer is None and not row.reference:
            whole[row.metric][row.module] = row
        elif row.metric == "relative_norm" and row.layer is not None and row.value is not None:
            layers.setdefault(row.module, {})[row.layer] = _cell(row)
    size, rounding = _cells(whole["relative_norm"]), whole["rounding_share"].get("all")
    matrices = [row for row in rows if row.layer is not None and row.module in GROUP_OF]
    leading = [row.n for row in matrices if row.metric == "intruders" and row.n]
    return Account(
        model=model,
        size={name: size[name] for name in (*GROUPS, "all") if name in size},
        changed=_cells(whole["changed_share"]).get("all"),
        rounding=_cells(whole["rounding_share"]).get("all"),
        dominated=rounding is not None and rounding.value is None and rounding.low is not None,
        layers={name: dict(sorted(layers[name].items())) for name in (*GROUPS, "blocks")},
        modules={name: cell for name, cell in size.items() if name in GROUP_OF},
        ranks={metric: _medians(matrices, metric) for metric in RANKS},
        excess=_cells(whole["two_sided_excess"], GROUPS),
        gain=_cells(whole["gain"], GROUPS),
        intruders=_cells(whole["intruders"], (*GROUPS, "blocks")),
        leading=max(leading, default=None),
        of_matrices=tuple(
            _cell(row)
            for row in matrices
            if row.metric == "two_sided_excess" and row.value is not None
        ),
        turn=_cells(whole["base_cosine"], (*GROUPS, "blocks")),
        cosines={
            row.reference: _cell(row)
            for row in rows
            if row.metric == "cosine" and row.layer is None and row.module == "all"
            and row.value is not None
        },
    )  # fmt: skip


def _cells(rows: Mapping[str, Measurement], of: Iterable[str] | None = None) -> dict[str, Cell]:
    """The defined ones of these rows, by module or group."""
    return {
        name: _cell(rows[name])
        for name in (rows if of is None else of)
        if name in rows and rows[name].value is not None
    }


def _cell(row: Measurement) -> Cell:
    return Cell(
        row.value, row.value, row.chance, row.chance_sd, None, row.low, row.high, row.n,
        nominal=row.metric in _NOMINAL,
    )  # fmt: skip


def _medians(rows: Iterable[Measurement], metric: str) -> dict[str, Cell]:
    """The median over the matrices of each group, with the median of their chance levels.

    A router is left out: experts together have no rank, and the router's would appear as theirs.
    """
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if row.metric != metric or row.module == "router":
            continue
        if row.value is not None and row.chance is not None:
            pairs[GROUP_OF[row.module]].append((row.value, row.chance))
    made = {}
    for group in GROUPS:
        if pairs[group]:
            value, chance = (median(column) for column in zip(*pairs[group], strict=True))
            made[group] = Cell(value, value, chance, n=len(pairs[group]))
    return made


def _doubts(
    warnings: Iterable[runs.RunWarning],
) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Warnings by message, with the subjects of each."""
    about: dict[str, list[str]] = {}
    for warning in warnings:
        about.setdefault(warning.message, []).append(warning.subject)
    return tuple((tuple(dict.fromkeys(names)), message) for message, names in about.items())
