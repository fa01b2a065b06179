"""A card for each tuned model: the effects of its tuning, as typed values and as a few lines.

Owns the lines of a card and their order. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.engine.measurement import Measurement
from core.figures.figure import Cell
from core.figures.significance import excludes, judge
from core.overview.finding import FigurePlace, Finding, interval, number
from core.overview.measured import BASE, GROUPS, Measured
from core.overview.ranking import Ranking

ON_CARD = frozenset({"gain", "loss", "neurons", "size"})
"""Kinds of findings that every card tells."""


SHORT = {"attention": "attn", "mlp": "mlp"}


class Line(NamedTuple):
    """A line of a card: its name, its words, and whether they mean better or worse."""

    name: str
    words: str
    better: bool | None = None


class Changed(NamedTuple):
    """The share of neurons that a model activates at a token against the base's: in the mean of all
    layers, and where it changed most; in percentage points."""

    overall: float | None
    most: float
    layer: int


class Score(NamedTuple):
    """A difference from the base; `better`: None without a direction or where the interval includes
    0."""

    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    better: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One tuned model. Fields are None or empty where nothing was measured.

    Sizes are relative norms ‖Δ‖/‖W‖: `size` over all weights, `controls` the largest one of a
    control, `groups` of attention and MLP, `layers` by layer. `directions` are rows of alignment by
    metric and group. `patterns` is the mean over layers of the distance of documents' patterns over
    that of unlike documents, `control_patterns` the largest one of a control. `own` are scores of
    its own domains, `elsewhere` of all other tasks, `texts` changes of the loss on probe sets;
    each with the most certain change first.
    """

    model: str
    is_control: bool
    parent: str = ""
    domain: str = ""
    size: float | None = None
    controls: float | None = None
    groups: Mapping[str, float]
    layers: tuple[float | None, ...] = ()
    directions: Mapping[tuple[str, str], Measurement]
    activated: Changed | None = None
    patterns: float | None = None
    control_patterns: float | None = None
    own: tuple[Score, ...] = ()
    elsewhere: tuple[Score, ...] = ()
    texts: tuple[Score, ...] = ()
    surprise: Finding | None = None

    @property
    def most_layer(self) -> int | None:
        """The layer that moved most."""
        known = [(size, layer) for layer, size in enumerate(self.layers) if size is not None]
        return max(known)[1] if known and max(known)[0] > 0 else None

    @property
    def title(self) -> str:
        """Its model, with its parent or its role."""
        if self.is_control:
            return f"({self.model})"
        return f"{self.model} (from {self.parent})" if self.parent else self.model

    @property
    def gained(self) -> Score | None:
        """The certain gain on its own domain, or else another certain change there."""
        return _first(self.own, better=True)

    @property
    def forgot(self) -> Score | None:
        """The certain loss on other tasks, or else another certain change there."""
        return _first(self.elsewhere, better=False)

    @property
    def predicted(self) -> Score | None:
        """The certain gain on a probe set, or else another certain change there."""
        return _first(self.texts, better=True)

    @property
    def figure(self) -> FigurePlace:
        """A figure that shows more of the model, of an analysis that the card has values of."""
        known = (
            (self.size is not None, "tuning_vectors", "modules"),
            (self.own or self.elsewhere, "evaluation", "difference"),
            (self.texts, "divergence", "models"),
            (self.activated is not None, "activation", "curves"),
            (self.patterns is not None, "edit_distance", "curves"),
            (self.directions, "alignment", "heat"),
        )
        of_none = (True, "activation", "curves")
        _, analysis, view = next((place for place in known if place[0]), of_none)
        return FigurePlace(analysis=analysis, view=view, at={"model": self.model})


def cards(measured: Measured, ranking: Ranking) -> tuple[Card, ...]:
    """A card for each tuned model, in the study's order; controls come last."""
    made = [_card(name, measured, ranking) for name in measured.family.models]
    return tuple(sorted(made, key=lambda card: card.is_control))


def lines(card: Card) -> Iterator[Line]:
    """The lines of a card; an unmeasured value has none."""
    yield from _moved(card)
    yield from _directed(card)
    yield from _switched(card)
    if card.own:
        whose = "" if card.domain == card.model else f"{card.domain}: "
        yield Line("own domain", f"{whose}{_scores(card.own, better=True)}", _sign(card.gained))
    if card.elsewhere:
        words = _scores(card.elsewhere, better=False)
        yield Line("elsewhere", words, _sign(card.forgot))
    if card.texts:
        yield Line("texts", _scores(card.texts, better=True), _sign(card.predicted))
    if card.surprise is not None:
        yield Line("surprising", f"{card.surprise.headline}: {card.surprise.candidate.detail}")


def brief(card: Card) -> Iterator[Line]:
    """The same lines in short, for cards side by side."""
    times = ""
    if card.size is not None:
        if card.controls and not card.is_control:
            times = f", {card.size / card.controls:.2g} × control"
        yield Line("moved", f"{card.size:.3g}{times}")
        if card.groups:
            sizes = (f"{SHORT[group]} {size:.3g}" for group, size in card.groups.items())
            yield Line("where", ", ".join(sizes))
    if excess := _excess(card):
        shares = (f"{SHORT[group]} {row.value:+.2g}" for group, row in excess.items())
        yield Line("directions", ", ".join(shares))
    if new := _newest(card):
        yield Line("new", new)
    if card.patterns is not None:
        held = card.control_patterns
        control = "" if held is None or card.is_control else f", control {held:.2f}"
        yield Line("neurons", f"{card.patterns:.2f}{control}")
    scores = (("own domain", card.gained), ("elsewhere", card.forgot), ("texts", card.predicted))
    for name, score in scores:
        if score is not None:
            sign = "better" if score.better else "worse"
            yield Line(name, f"{number(score.value)} {sign}", score.better)
    if card.surprise is not None:
        yield Line("surprising", card.surprise.headline)


def _newest(card: Card) -> str:
    """The amplification factor of the group in which it is largest for its chance level."""
    rows = [(g, row) for g in GROUPS if (row := card.directions.get(("amplification", g)))]
    known = [
        (row.value / row.chance, f"{SHORT[g]} {row.value:.2g} (chance {row.chance:.2g})")
        for g, row in rows
        if row.value is not None and row.chance
    ]
    return max(known, default=(0.0, ""))[1]


def _excess(card: Card) -> dict[str, Measurement]:
    """The two-sided alignment beyond chance of each group."""
    return {g: row for g in GROUPS if (row := card.directions.get(("two_sided_excess", g)))}


def _sign(score: Score | None) -> bool | None:
    return None if score is None else score.better


def largest_layer(cards: Sequence[Card]) -> float:
    """The largest relative norm of a layer of any of these cards; 0 without any."""
    return max((size for card in cards for size in card.layers if size is not None), default=0.0)


def _moved(card: Card) -> Iterator[Line]:
    if card.size is None:
        return
    words = f"{card.size:.3g} of the base's norm"
    if card.controls and not card.is_control:
        words += f", {card.size / card.controls:.2g} times the control"
    yield Line("moved", words)
    if card.groups:
        where = ", ".join(f"{group} {size:.3g}" for group, size in card.groups.items())
        layer = card.most_layer
        most = "" if layer is None else f"; most in layer {layer} ({card.layers[layer]:.3g})"
        yield Line("where", f"{where}{most}")


def _directed(card: Card) -> Iterator[Line]:
    excess = _excess(card)
    if not excess:
        return
    yield Line("directions", "; ".join(f"{g} {_against(row)}" for g, row in excess.items()))
    more = {metric: _by_group(card, metric) for metric in ("amplification", "intruders")}
    if any(more.values()):
        yield Line("new", "; ".join(f"{name} {words}" for name, words in more.items() if words))


def _by_group(card: Card, metric: str) -> str:
    by_group = [(g, row) for g in GROUPS if (row := card.directions.get((metric, g))) is not None]
    return ", ".join(
        f"{group} {row.value:.3g}{'' if row.chance is None else f' (chance {row.chance:.3g})'}"
        for group, row in by_group
    )


def _against(row: Measurement) -> str:
    """Whether the updates of a group keep to the base's directions or avoid them, with the
    alignment beyond chance."""
    assert row.value is not None
    does = "keeps to the base's" if row.value > 0 else "avoids the base's"
    verdict = judge(
        Cell(row.value, row.value, row.chance, row.chance_sd, low=row.low, high=row.high)
    )
    if verdict is not None and verdict.is_null:
        does = verdict.words
    return f"{does} {number(row.value)}{interval(row.low, row.high)}"


def _switched(card: Card) -> Iterator[Line]:
    phrases = []
    if card.patterns is not None:
        control = card.control_patterns
        against = "" if control is None or card.is_control else f", control {control:.2f}"
        phrases.append(
            f"patterns at {card.patterns:.2f} of the distance of unlike documents{against}"
        )
    if card.activated is not None:
        overall, most, layer = card.activated
        mean = "" if overall is None else f"{number(overall)} points, "
        phrases.append(f"active at a token {mean}in layer {layer} {number(most)}")
    if phrases:
        yield Line("neurons", "; ".join(phrases))


def _scores(scores: Sequence[Score], *, better: bool) -> str:
    """The first score in full, then the number of other scores that changed, by direction."""
    first = _first(scores, better=better)
    if first is None:
        return f"no certain change on {len(scores)} {'score' if len(scores) == 1 else 'scores'}"
    words = {True: "better", False: "worse", None: "no direction"}[first.better]
    text = f"{first.task} {words}: {number(first.value)}{interval(first.low, first.high)} "
    text += first.metric
    rest = [score.better for score in scores if score is not first]
    signs = {"better": True, "worse": False, "no certain change": None}
    counts = {words: sum(better is sign for better in rest) for words, sign in signs.items()}
    summary = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    return f"{text}; of the others {summary}" if summary else text


def _first(scores: Sequence[Score], *, better: bool) -> Score | None:
    """The first of the wanted direction, else the first with a certain one."""
    certain = [score for score in scores if score.better is not None]
    return next((s for s in certain if s.better is better), next(iter(certain), None))


def _card(model: str, measured: Measured, ranking: Ranking) -> Card:
    family = measured.family
    sizes = {
        (row.model, row.module, row.layer): row.value
        for row in measured.of("tuning_vectors", "relative_norm")
    }
    count = 1 + max((layer for _, _, layer in sizes if layer is not None), default=-1)
    patterns = _patterns(measured)
    return Card(
        model=model,
        is_control=model in family.controls,
        parent=family.parents.get(model, ""),
        domain=", ".join(family.own_domains(model)),
        size=sizes.get((model, "all", None)),
        controls=_largest(sizes.get((name, "all", None)) for name in family.controls),
        groups={g: size for g in GROUPS if (size := sizes.get((model, g, None))) is not None},
        layers=tuple(sizes.get((model, "blocks", layer)) for layer in range(count)),
        directions={
            (row.metric, row.module): row
            for row in measured.rows.get("alignment", ())
            if row.model == model and row.value is not None
        },
        activated=_activated(model, measured),
        patterns=patterns.get(model),
        control_patterns=_largest(patterns.get(name) for name in family.controls),
        own=_of(model, measured, is_own=True),
        elsewhere=_of(model, measured, is_own=False),
        texts=_predicted(model, measured),
        surprise=_surprise(model, ranking),
    )


def _surprise(model: str, ranking: Ranking) -> Finding | None:
    """The finding shared with the fewest other models, and of several the largest, among findings
    that the card does not show otherwise."""
    findings = [f for f in ranking.all if model in f.subjects and f.kind not in ON_CARD]
    return min(findings, key=lambda finding: (finding.others, -finding.size), default=None)


def _patterns(measured: Measured) -> Mapping[str, float]:
    return {
        row.model: row.value
        for row in measured.of("edit_distance", "ratio")
        if row.layer is None and row.value is not None
    }


def _activated(model: str, measured: Measured) -> Changed | None:
    rows = {(r.model, r.layer): r.value for r in measured.of("activation", "activated_percent")}
    changes = {
        layer: value - base
        for (name, layer), value in rows.items()
        if name == model and value is not None and (base := rows.get((BASE, layer))) is not None
    }
    layers = {layer: change for layer, change in changes.items() if layer is not None}
    if not layers:
        return None
    most = max(layers, key=lambda layer: abs(layers[layer]))
    return Changed(changes.get(None), layers[most], most)


def _of(model: str, measured: Measured, *, is_own: bool) -> tuple[Score, ...]:
    """The differences on its own domains' tasks, or on all others: by certainty of change."""
    scores = []
    for row in measured.of("evaluation", "difference"):
        if row.model != model or measured.family.is_own(model, row.task) is not is_own:
            continue
        assert row.value is not None
        gained = measured.gain(row)
        certain = excludes(row.low, row.high) and gained is not None
        scores.append(
            Score(
                row.task, row.metric_of, row.value, row.low, row.high,
                gained > 0 if certain and gained is not None else None,
            )
        )  # fmt: skip
    return tuple(sorted(scores, key=lambda score: -_certainty(score)))


def _predicted(model: str, measured: Measured) -> tuple[Score, ...]:
    """The changes of the loss on probe sets, its own domain's first, then by certainty."""
    rows = [row for row in measured.of("divergence", "nll_change") if row.model == model]
    is_own = {row.probe: measured.family.is_own_text(model, row.probe) for row in rows}
    by_probe = {
        row.probe: Score(
            row.probe or "the probe set", "nats", row.value, row.low, row.high,
            row.value < 0 if excludes(row.low, row.high) else None,
        )
        for row in rows
        if row.value is not None
    }  # fmt: skip
    order = sorted(by_probe, key=lambda probe: (not is_own[probe], -_certainty(by_probe[probe])))
    return tuple(by_probe[probe] for probe in order)


def _certainty(score: Score) -> float:
    """The distance of a difference from 0, in widths of its interval; 0 without an interval."""
    width = (score.high - score.low) if score.low is not None and score.high is not None else 0.0
    return abs(score.value) / width if width else 0.0


def _largest(sizes: Iterator[float | None]) -> float | None:
    return max((size for size in sizes if size is not None), default=None)
