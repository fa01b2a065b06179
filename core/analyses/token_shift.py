"""The tokens that each tuning promotes and demotes, whatever the text: method, section 8.

Owns the counts of tokens over the positions of each probe set, and the counts by chance. Imports
torch only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine.measurement import Artifact, Measurement, MetricSpec, Unit, UnitResult
from core.engine.registry import Analysis, Parameters, Workload, shared_pass
from core.figures import output_findings as findings
from core.figures import shift_tables
from core.figures.kinds.curves import Curves
from core.figures.kinds.tables import SortedTable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.outputs.pairs import Pair
    from core.outputs.shifts import Counted
    from core.states.forward import Seen
    from core.texts.probe import Batch

NAME, VERSION = "token_shift", 3
REPRESENTATION = "representation"
BASE = "base"
STEPS = {"": "tokens", "positions": "positions of tokens"}
"""The units of a model, in words. The key of the first one is unchanged from earlier versions,
which had no other."""
LISTED = 100
"""Tokens of each order whose texts and intervals are stored."""


class TokenShiftParameters(Parameters):
    """The number of counted tokens."""

    tokens: int = Field(
        default=100,
        ge=1,
        description="Tokens counted at each end, at most 1 in 50 of the vocabulary.",
    )


def plan(subject: Subject, parameters: TokenShiftParameters) -> list[Unit]:
    """For each tuned model and probe set a unit of counts and one of shares by position."""
    units = []
    for states in subject.planned.get(REPRESENTATION, ()):
        if states.model != BASE:
            continue
        named = states.options["named"]
        for model in subject.family.tuned:
            for step, words in STEPS.items():
                more = {"step": step} if step else {}
                key = subject.key(NAME, VERSION, parameters, [BASE, model], of=[states.key], **more)
                units.append(
                    Unit(
                        key=key, analysis=NAME, loads=model, model=model, reference=BASE,
                        label=f"{words} of {model}{named and f' on {named}'}",
                        requires=(states.key,), options={**states.options, "step": step},
                    )
                )  # fmt: skip
    return units


def workload(unit: Unit, parameters: TokenShiftParameters, subject: Subject) -> Workload:
    """The steps of a model share one reader."""
    whole = shared_pass(unit, parameters, subject)
    return replace(whole, forward=whole.forward // len(STEPS))


def reader(units: Sequence[Unit], parameters: TokenShiftParameters, session: Session) -> _Reader:
    """The reader of a model's units on a probe set."""
    return _Reader(units, parameters, session)


class _Reader:
    """Counts the tokens of a tuned model."""

    layers: Sequence[int] = ()

    def __init__(
        self, units: Sequence[Unit], parameters: TokenShiftParameters, session: Session
    ) -> None:
        from core.outputs.shifts import ShiftCounter

        self.units, self.unit = units, units[0]
        self.session, self.wanted = session, parameters.tokens
        self.counter = ShiftCounter(self.unit.options["documents"], self.wanted)

    def begin(self, batch: Batch) -> None:
        self.counter.begin()

    def see_layer(self, layer: int, states: Tensor) -> None:
        """Requests no layer."""

    def see(self, seen: Seen) -> None:
        """Needs only the predictions."""

    def see_pair(self, pair: Pair) -> None:
        self.counter.see(pair)

    def commit(self) -> None:
        self.counter.commit()

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        counted = self.counter.counted(by_chance=False)
        chance = self.counter.counted(by_chance=True)
        for unit in self.units:
            if unit.options["step"]:
                yield unit, UnitResult(list(self._by_position(counted, chance)))
                continue
            artifacts = [] if counted is None else [self._stored(counted, chance)]
            yield unit, UnitResult([self._row(counted, chance)], artifacts)

    def _by_position(
        self, counted: Counted | None, chance: Counted | None
    ) -> Iterator[Measurement]:
        """A row for each group of positions that a document reaches."""
        from core.outputs import positions

        level = {} if chance is None else {
            share.name: share.mean.value for share in positions.shares(chance, self.wanted)
        }  # fmt: skip
        for share in () if counted is None else positions.shares(counted, self.wanted):
            yield Measurement(
                metric="share_at_position", model=self.unit.model, reference=BASE,
                probe=self.unit.options["named"], setting=share.name, value=share.mean.value,
                low=share.mean.low, high=share.mean.high, n=share.n, chance=level.get(share.name),
            )  # fmt: skip

    def _row(self, counted: Counted | None, chance: Counted | None) -> Measurement:
        options = self.unit.options
        share = None if counted is None else counted.top_share(self.wanted)
        level = None if chance is None else chance.top_share(self.wanted)
        return Measurement(
            metric="promoted_share", model=self.unit.model, reference=BASE, probe=options["named"],
            value=None if share is None else share.value, low=None if share is None else share.low,
            high=None if share is None else share.high, n=options["documents"],
            chance=None if level is None or share is None else level.value,
        )  # fmt: skip

    def _stored(self, counted: Counted, chance: Counted | None) -> Artifact:
        """The counts of all tokens; texts and intervals of the tokens at the top of an order."""
        from core.neurons import readout

        probe = self.session.subject.probes[self.unit.options["probe"]]
        mean = counted.total / max(1, counted.positions.sum())
        ends = {"promoted": counted.promoted, "demoted": counted.demoted}
        counts = {name: end_counts.sum(0) for name, end_counts in ends.items()}
        shares = {name: count / max(1, counted.positions.sum()) for name, count in counts.items()}
        level = {name: _share(chance, name, len(mean)) for name in ends}
        keys = [mean, -mean, *shares.values()]
        keys += [] if chance is None else [shares[name] - level[name] for name in ends]
        tokens = np.unique(
            np.concatenate([np.argsort(-key, kind="stable")[:LISTED] for key in keys])
        )
        texts = readout.texts_of(self.session.tokenizer, tokens.tolist(), int(probe.ids[0][-1]))
        arrays: dict[str, NDArray[Any]] = {
            "listed": tokens.astype(np.int32), "text": np.array(texts, dtype=np.str_),
            "mean": mean.astype(np.float32),
        }  # fmt: skip
        for name, end_counts in ends.items():
            arrays[name] = shares[name].astype(np.float32)
            arrays[f"{name}_chance"] = level[name].astype(np.float32)
            arrays[f"{name}_bounds"] = counted.bounds(end_counts, tokens)[:, 1:].astype(np.float32)
        name = shift_tables.artifact(self.unit.options["named"])
        return Artifact(name=name, arrays=arrays, model=self.unit.model, reference=BASE)


def _share(counted: Counted | None, end: str, vocabulary: int) -> NDArray[np.float64]:
    """The share of positions of each token by chance; NaN where that is unknown."""
    if counted is None:
        return np.full(vocabulary, np.nan)
    share: NDArray[np.float64] = getattr(counted, end).sum(0) / max(1, counted.positions.sum())
    return share


ANALYSIS = Analysis(
    name=NAME,
    title="Tokens",
    short="Tok",
    topic="outputs",
    version=VERSION,
    needs="texts",
    parameters=TokenShiftParameters,
    plan=plan,
    reader=reader,
    workload=workload,
    after=(REPRESENTATION,),
    metrics=(
        MetricSpec(
            name="promoted_share",
            title="share of positions of the most promoted tokens",
            description="Share of positions at which a token has one of the largest shifts, "
            "averaged over the most promoted tokens (30 at most); chance: shifts between positions "
            "of the base.",
            has_chance=True,
            empty="fewer than two documents",
        ),
        MetricSpec(
            name="share_at_position",
            title="share of the most promoted tokens",
            description="The share of the most promoted tokens (30 at most) that is promoted at a "
            "position of the answer, or of a document without a prompt; mean over documents. "
            "Chance: shifts between positions of the base.",
            has_chance=True,
        ),
    ),
    views=(
        SortedTable(
            key="models",
            title="Tokens that each tuning promotes",
            short="Promoted",
            caption="One row per tuned model and probe set, with the tokens that it promotes most "
            "beyond chance and beyond the controls.",
            measures=("promoted_share",),
            fixed={"reference": BASE},
            free=("model", "probe"),
            tabulate=shift_tables.models,
            drill="tokens",
            finding=findings.of_promoted,
        ),
        SortedTable(
            key="tokens",
            title="Promoted and demoted tokens",
            short="Tokens",
            caption="Tokens by the share of positions at which they are at an end, or by their "
            "mean shift.",
            measures=("promoted_share",),
            selectors=("model", "probe"),
            fixed={"reference": BASE},
            tabulate=shift_tables.tokens,
            orders=shift_tables.ORDERS,
            finding=findings.of_tokens,
        ),
        Curves(
            key="positions",
            title="Promoted tokens by position",
            short="Positions",
            caption="One line per tuned model: the share of its most promoted tokens that is "
            "promoted at a position of the answer, or of a document without a prompt.",
            measures=("share_at_position",),
            x="setting",
            selectors=("probe",),
            fixed={"reference": BASE},
            names={"setting": "position"},
            with_chance=True,
            optional=True,
            drill="tokens",
            finding=findings.of_positions,
        ),
    ),
)
