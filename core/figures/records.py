"""Typed facts behind the rows of a table, which findings read.

Owns one record for each kind of table. Knows no column, no order and no wording.
"""

from __future__ import annotations

from typing import NamedTuple

from core.engine.measurement import Measurement


class ScoreRecord(NamedTuple):
    """A score of one model, and its difference from the base, where one was measured."""

    model: str
    task: str
    metric: str
    difference: Measurement | None


class DropRecord(NamedTuple):
    """A drop of a score; `q` is its corrected p value, None where it was not tested."""

    drop: float | None
    q: float | None


class PointRecord(NamedTuple):
    """A score of a point of task arithmetic: its share of the domain's own model's score.

    `base` is the share that the base keeps, with its interval; None where none was measured."""

    coefficients: str
    parts: str
    share: float | None
    base: Measurement | None


class NeuronRecord(NamedTuple):
    """A neuron, the change of its rate from the base's, and its attribution, where these are
    known."""

    layer: int
    neuron: int
    change: float | None
    attribution: float | None


class PairRecord(NamedTuple):
    """The sign conflict of two tunings; `control`: one of them is a control."""

    model: str
    reference: str
    conflict: float | None
    control: bool


class ReadoutRecord(NamedTuple):
    """A layer's mean difference of states: its size, its steadiness, and the tokens that it raises
    and lowers most."""

    layer: int
    size: Measurement | None
    steadiness: Measurement | None
    raised: tuple[str, ...]
    lowered: tuple[str, ...]


class DivergenceRecord(NamedTuple):
    """A tuned model on a probe set: its divergence from the base, and its change of likelihood."""

    model: str
    probe: str
    kl: Measurement | None
    change: Measurement | None


class ShiftRecord(NamedTuple):
    """Tokens that a tuned model promotes on a probe set, and the share of positions of its most
    promoted tokens, measured and by chance."""

    model: str
    probe: str
    tokens: tuple[str, ...]
    share: float | None
    chance: float | None


class GroupRecord(NamedTuple):
    """A group of models and the group that it is compared with (itself if with none): the measure
    in words, the difference of the other from it, and its corrected p value where it was tested."""

    measure: str
    group: str
    other: str
    members: int
    difference: float | None
    q: float | None


class DirectionRecord(NamedTuple):
    """A direction of `whose` matrix: its kurtosis over the vocabulary, and the tokens of its two
    ends. `level` is the matrix's own measurement, with its chance."""

    whose: str
    kurtosis: float
    ends: tuple[tuple[str, ...], tuple[str, ...]]
    level: Measurement | None


class MovedRecord(NamedTuple):
    """A token and the move of its embedding; `mean` is the mean move of all tokens."""

    token: str
    move: float
    mean: float | None
