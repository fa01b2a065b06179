"""The one form of result: metrics, measurements, artifacts, and the unit of work they belong to.

Owns the data that passes from an analysis to a sink. Refuses to know where a sink keeps it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, get_type_hints

from core.errors import StorageError
from core.models.identity import IdentityMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """How to read one metric. `empty` says what an empty value means."""

    name: str
    title: str
    description: str
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"
    has_chance: bool = False
    has_control: bool = False
    signed: bool = False
    empty: str = ""


def quartiles(of: str, unit: str = "") -> tuple[MetricSpec, MetricSpec, MetricSpec]:
    """The metrics that say how something spreads over the documents of a probe set."""
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
class Measurement:
    """One number, its coordinates, and what is needed to read it.

    `value` is None where the metric is undefined (its MetricSpec says what that means).
    `low` and `high` bound a 95 % interval; `n` counts what the number is over (parameters,
    matrices, items); `chance` is what chance alone would give, `chance_sd` its spread.
    Layers, experts and heads count from 0; None means "over all of them". `probe` names the probe
    set, and is empty where there is one or none.

    The fields are the columns of every store and export, in this order; those before `value` are
    the coordinates. A new one needs a default here and a migration of the database.
    """

    metric: str
    metric_of: str = ""
    model: str = ""
    reference: str = ""
    layer: int | None = None
    module: str = ""
    expert: int | None = None
    head: int | None = None
    task: str = ""
    probe: str = ""
    setting: str = ""
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    chance: float | None = None
    chance_sd: float | None = None


TYPES: Mapping[str, type] = {
    name: get_args(hint)[0] if get_args(hint) else hint
    for name, hint in get_type_hints(Measurement).items()
}
"""The type of each field of a measurement (str, int or float), in the order of the fields."""

COLUMNS = ("analysis", *TYPES)
"""The columns of every export, in order. All before `value` are coordinates."""

COORDINATES = COLUMNS[: COLUMNS.index("value")]

OVERALL = tuple(name for name in COORDINATES if TYPES.get(name) is int)
"""The coordinates that count: None in them means "over all"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What is not a number: named arrays with the coordinates of what they describe."""

    name: str
    arrays: Mapping[str, NDArray[Any]]
    model: str = ""
    reference: str = ""
    layer: int | None = None
    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One piece of work with a stable key; computed at most once for one key.

    `loads` names the model that must be in memory for it; `requires` are the keys of the units
    whose results it needs. A unit with neither is computed from the weights on disk, one with
    requirements alone is reduced from their results. `reads` names the models whose weights it
    needs besides `model`; `options` are what else its analysis must know to make it.
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


@dataclass(slots=True)
class UnitResult:
    """What a unit produced. `state` is JSON that units requiring this one reduce further."""

    measurements: list[Measurement] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    def arrays(self, name: str, layer: int | None = None) -> Mapping[str, NDArray[Any]]:
        """The arrays of the artifact of this name and layer. Raises StorageError: the database that
        held them lost them."""
        for artifact in self.artifacts:
            if artifact.name == name and artifact.layer == layer:
                return artifact.arrays
        raise StorageError(
            f"The database lacks the artifact '{name}'"
            f"{'' if layer is None else f' of layer {layer}'} of a finished unit.",
            hint="Compute the run anew with --fresh.",
        )


@dataclass(slots=True)
class UnitPart:
    """What units of weights are made of: rows and named arrays that an analysis takes from one
    matrix. Whoever made them knows what they are."""

    rows: list[Measurement] = field(default_factory=list)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: units done of all, reused ones among them, and what is in hand.

    `expected`: when all will be done, in seconds since the epoch, None while that is unknown;
    `rough` where no unit of some analysis that is left has been timed yet.
    """

    done: int
    total: int
    reused: int = 0
    label: str = ""
    expected: float | None = None
    rough: bool = False


class ResultSink(IdentityMemory, Protocol):
    """Where a run's results go, and what identifies its files. One sink belongs to one run."""

    def finished(self, keys: Collection[str]) -> set[str]:
        """Those of `keys` whose results need not be computed again for this run."""

    def adopt(self, keys: Collection[str]) -> None:
        """Make exactly these finished units part of the run (and drop others it referred to)."""

    def load(self, key: str) -> UnitResult:
        """The results of a finished unit; the arrays of its artifacts are read when looked at."""

    def save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        """Keep a unit's results, all or nothing, and make it part of the run."""

    def save_slice(self, units: Sequence[tuple[Unit, UnitResult, float]]) -> None:
        """Keep the results of all units of a slice, which took so many seconds each, all or
        nothing; the parts of the run are forgotten."""

    def parts(self, slice: str) -> tuple[dict[str, UnitPart], float]:
        """The parts of a slice that earlier attempts at the run laid by, by the step that makes
        each, and the seconds that they took together."""

    def lay_by(self, slice: str, found: Mapping[str, UnitPart], seconds: float) -> None:
        """Keep parts of a slice, all or nothing, which took so many seconds together."""

    def pace(self, analysis: str, parameters: int, device: str) -> float | None:
        """The mean seconds of an analysis's units on such a device, over a base of about this
        many parameters, in whatever run; None where none is known."""

    def progress(self, progress: Progress) -> None:
        """Say how far the run has come."""

    def warn(self, subject: str, message: str) -> None:
        """Keep a warning with the run; the same one twice is kept once."""

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to what is kept of the run's origin: fingerprints, device, versions (JSON)."""

    def cancelled(self) -> bool:
        """Has somebody asked for the run to stop?"""


def content_key(parts: Mapping[str, Any]) -> str:
    """The key of a unit: sha256 over canonical JSON of everything its result depends on."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def ordered(keys: Iterable[str]) -> tuple[str, ...]:
    """Keys without repetition, in the order in which they first appear."""
    return tuple(dict.fromkeys(keys))
