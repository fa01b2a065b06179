"""The form of every result: metrics, measurements, artifacts, and their unit of work.

Owns the data that passes from an analysis to a sink. Knows nothing of a sink's storage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, get_type_hints

from core.errors import ResultError
from core.models.identity import IdentityMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray


Better = Literal["higher", "lower", "neither"]
"""The better direction of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """The declaration of one metric. `better`: "metric" if the score named by `metric_of` decides.
    `empty`: the meaning of an empty value. `nominal_chance`: the spread of chance counts every
    parameter as independent, and is too narrow to test by."""

    name: str
    title: str
    description: str
    unit: str = ""
    better: Literal[Better, "metric"] = "neither"
    has_chance: bool = False
    nominal_chance: bool = False
    signed: bool = False
    empty: str = ""


def quartiles(of: str, unit: str = "") -> tuple[MetricSpec, MetricSpec, MetricSpec]:
    """The metrics of a quantity's quartiles over the documents of a probe set."""
    return (
        MetricSpec(
            name="median",
            title="median document",
            description=f"The {of} of the median document.",
            unit=unit,
        ),
        MetricSpec(
            name="lower_quartile",
            title="lower quartile of documents",
            description=f"A quarter of the documents have a smaller {of}.",
            unit=unit,
        ),
        MetricSpec(
            name="upper_quartile",
            title="upper quartile of documents",
            description=f"A quarter of the documents have a larger {of}.",
            unit=unit,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """The coordinates of a number, declared here alone.

    The default of each field says that the coordinate does not apply: "", or for layers, experts
    and heads, which count from 0, None for "over all". `probe` names the probe set, and is empty
    where there is one or none.

    The columns of stores and exports, the selectors of figures and the fields of filters follow
    from the fields. Besides its field a new coordinate needs a migration of the database. Metadata
    of a field: `word`, its name for people if that differs from the field's; `filter`, the word of
    the filter line that narrows it; `inside`, true for a part of the model.
    """

    metric_of: str = field(default="", metadata={"word": "metric"})
    model: str = field(default="", metadata={"filter": "model"})
    reference: str = field(default="", metadata={"filter": "model"})
    layer: int | None = field(default=None, metadata={"filter": "layer", "inside": True})
    module: str = field(default="", metadata={"filter": "module", "inside": True})
    expert: int | None = field(default=None, metadata={"inside": True})
    head: int | None = field(default=None, metadata={"inside": True})
    task: str = ""
    probe: str = ""
    setting: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(Coordinates):
    """One number, its coordinates, and its interval, count and chance level.

    `value` is None if the metric is undefined (see its MetricSpec). `low` and `high` bound a 95 %
    interval; `n` is the number of averaged or summed parameters, matrices or items; `chance` is the
    chance level, `chance_sd` its standard deviation.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    chance: float | None = None
    chance_sd: float | None = None


_DECLARED = fields(Coordinates)
_HINTS = get_type_hints(Measurement)

ABSENT: Mapping[str, str | int | None] = asdict(Coordinates())
"""The value of each coordinate where it does not apply."""

COORDINATES = tuple(ABSENT)

INSIDE = tuple(each.name for each in _DECLARED if each.metadata.get("inside"))
"""The coordinates of a part of a model."""

WORDS: Mapping[str, str] = {e.name: e.metadata.get("word", e.name) for e in _DECLARED}
"""The name of each coordinate for people."""

FILTERS: Mapping[str, str] = {
    each.name: each.metadata["filter"] for each in _DECLARED if "filter" in each.metadata
}
"""The word of the filter line that narrows a coordinate."""

KEY_COLUMNS = ("analysis", "metric", *COORDINATES)
"""The columns that identify a row."""

COLUMNS = (*KEY_COLUMNS, *(name for name in _HINTS if name not in KEY_COLUMNS))
"""The columns of every export, in order."""

TYPES: Mapping[str, type] = {
    name: (get_args(_HINTS[name]) or (_HINTS[name],))[0] for name in COLUMNS[1:]
}
"""The type of each field of a measurement (str, int or float), in the order of the columns."""

OVERALL = tuple(name for name, absent in ABSENT.items() if absent is None)
"""The integer coordinates: None in them means "over all"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Named arrays with coordinates, for results that are not single numbers. `dense`: large, and
    of values that compression does not shrink."""

    name: str
    arrays: Mapping[str, NDArray[Any]]
    model: str = ""
    reference: str = ""
    layer: int | None = None
    task: str = ""
    dense: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One piece of work with a stable key; computed at most once for one key.

    `loads` names the model that must be in memory for it; `requires`: keys of the units with
    results that it needs. A unit with neither is computed from the weights on disk; a unit with
    only requirements is reduced from their results. `reads`: further models with weights that it
    needs; `options`: further settings for its analysis.
    """

    key: str
    analysis: str
    label: str
    model: str = ""
    reference: str = ""
    layer: int | None = None
    task: str = ""
    setting: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    loads: str = ""
    requires: tuple[str, ...] = ()


Doubt = tuple[str, str]
"""The subject of a warning, usually a model's name, and its message."""


@dataclass(slots=True)
class UnitResult:
    """The results of a unit. `state`: JSON for units that require this one; `warnings`: doubts
    about the results, each once."""

    measurements: list[Measurement] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    warnings: list[Doubt] = field(default_factory=list)

    def arrays(self, name: str, layer: int | None = None) -> Mapping[str, NDArray[Any]]:
        """The arrays of the artifact of this name and layer. Raises ResultError: the database that
        held them lost them."""
        for artifact in self.artifacts:
            if artifact.name == name and artifact.layer == layer:
                return artifact.arrays
        raise ResultError(
            f"The database lacks the artifact '{name}'"
            f"{'' if layer is None else f' of layer {layer}'} of a finished unit.",
            hint="Compute the run again with --fresh.",
        )


@dataclass(slots=True)
class UnitPart:
    """A part of a unit over weights: rows and named arrays that an analysis computes from one
    matrix. Only that analysis knows their meaning. `warnings` arose meanwhile."""

    rows: list[Measurement] = field(default_factory=list)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    warnings: list[Doubt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run: finished units, reused ones included, all units, and the current step.

    `expected`: the estimated end, in seconds since the epoch, None while it is unknown; `rough`: an
    unfinished analysis has no timed unit yet.
    """

    done: int
    total: int
    reused: int = 0
    label: str = ""
    expected: float | None = None
    rough: bool = False


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One process that computes units of a run, as its driver last heard of it.

    `device`: its cards, or the CPU. `model`: the model that it holds in memory; `label`: the unit
    in progress, empty while it waits; `since`: its start, in seconds since the epoch, 0.0 while it
    waits. `memory`: resident bytes of the process; `done` and `failures`: the units that it
    finished, and the attempts that failed.
    """

    name: str
    host: str
    device: str
    model: str = ""
    label: str = ""
    memory: int = 0
    done: int = 0
    failures: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A unit that a run has given up, the cause of its last failure, and how often it was tried."""

    key: str
    analysis: str
    label: str
    cause: str
    attempts: int


class ResultSink(IdentityMemory, Protocol):
    """The receiver of a run's results, which also caches the hashes of its files. One sink belongs
    to one run."""

    def finished(self, keys: Collection[str]) -> set[str]:
        """The keys with finished results that this run can reuse."""

    def adopt(self, keys: Collection[str]) -> None:
        """Make exactly these finished units part of the run (and drop its other units)."""

    def load(self, key: str) -> UnitResult:
        """The results of a finished unit; the arrays of its artifacts are read on access."""

    def save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        """Store a unit's results, all or nothing, and make it part of the run."""

    def save_slice(self, units: Sequence[tuple[Unit, UnitResult, float]]) -> None:
        """Store the results of all units of a slice, with the seconds of each, all or nothing;
        delete its parts."""

    def parts(self, slice: str) -> tuple[dict[str, UnitPart], float]:
        """The parts of a slice that earlier attempts at the run saved, by step, and their total
        seconds."""

    def save_parts(self, slice: str, by_step: Mapping[str, UnitPart], seconds: float) -> None:
        """Save parts of a slice, all or nothing, with their total seconds."""

    def find_basis(self, key: str) -> Mapping[str, NDArray[Any]] | None:
        """The singular basis of a matrix that an earlier run kept."""

    def keep_basis(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a singular basis for later runs, if there is room. Never raises."""

    def pace(self, analysis: str, parameters: int, device: str) -> float | None:
        """The mean seconds of an analysis's units on this kind of device, for a base of about this
        many parameters, over all runs; None if there are none."""

    def progress(self, progress: Progress) -> None:
        """Report the run's progress."""

    def warn(self, subject: str, message: str) -> None:
        """Store a warning with the run; a repeated one is stored once. Warnings about the results
        of a unit come with the unit."""

    def workers(self, states: Sequence[WorkerState]) -> None:
        """Report all processes that compute units of the run; replaces the last report. A run that
        computes in its own process reports none."""

    def failed(self, unit: Unit, cause: str, attempts: int) -> None:
        """Store that the run has given up a unit, until the unit is saved."""

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to the run's provenance: fingerprints, device, versions (JSON)."""

    def cancelled(self) -> bool:
        """Has a user cancelled the run?"""


def content_key(parts: Mapping[str, Any]) -> str:
    """The key of a unit: sha256 over canonical JSON of everything its result depends on."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def slice_key(units: Iterable[Unit]) -> str:
    """The key of the parts of a slice: a part that other units saved may be of other models."""
    return content_key({"units": sorted(unit.key for unit in units)})


def ordered(keys: Iterable[str]) -> tuple[str, ...]:
    """Keys without repetition, in order of first appearance."""
    return tuple(dict.fromkeys(keys))
