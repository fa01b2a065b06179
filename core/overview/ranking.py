"""From candidates to findings: rules that drop candidates, and the order of the others.

Owns the ranking. The first rule of `DROPS` that holds drops a candidate. The p values of all others
are corrected together, and candidates within their yardsticks are dropped. The rest are ordered by
size, and at most `MOST` are shown, of as many kinds and models as possible.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.figures.significance import LEVEL
from core.overview import behaviour, weights
from core.overview.finding import Candidate, Finding
from core.overview.measured import BASE, Family, Measured
from core.statistics.multiplicity import adjusted

MOST = 5
"""The most findings that are told."""
OF_A_MODEL = 2
"""The most findings that are told of one model while other models have some."""

RULES: tuple[Callable[[Measured], Iterable[Candidate]], ...] = (
    weights.of_sizes, weights.of_directions, weights.of_pairs, behaviour.of_scores,
    behaviour.of_likelihoods, behaviour.of_activation, behaviour.of_patterns, behaviour.of_drops,
    behaviour.of_merges,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """`told` are the findings to show first, `all` every candidate beyond its yardsticks, by
    size. `dropped` counts the other candidates by the reason."""

    told: tuple[Finding, ...] = ()
    all: tuple[Finding, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def is_of_base(candidate: Candidate, family: Family) -> bool:
    """A statement about the base alone says nothing of a tuning."""
    return set(candidate.subjects) <= {BASE}


def is_of_control(candidate: Candidate, family: Family) -> bool:
    """A control is a yardstick, and no subject."""
    return bool(family.controls & set(candidate.subjects))


def is_of_itself(candidate: Candidate, family: Family) -> bool:
    """A model shares all with itself, and with its copy under another name."""
    if candidate.kind != "shared":
        return False
    value = candidate.evidence.estimate.value
    return len(set(candidate.subjects)) < 2 or math.isclose(abs(value), 1.0, rel_tol=1e-9)


def is_of_kin(candidate: Candidate, family: Family) -> bool:
    """Models of one line, such as a parent and its child, share a part of their path by
    construction."""
    return candidate.kind == "shared" and family.is_kin(*candidate.subjects)


def has_no_yardstick(candidate: Candidate, family: Family) -> bool:
    """Without chance, base or control to compare it with, a value is no finding."""
    return not candidate.evidence.yardsticks


def has_no_spread(candidate: Candidate, family: Family) -> bool:
    """A difference of values that do not vary, or without an interval, has no size."""
    return candidate.evidence.nearest is not None and candidate.evidence.size is None


DROPS: Mapping[str, Callable[[Candidate, Family], bool]] = {
    "about the base alone": is_of_base,
    "about a control": is_of_control,
    "a model and itself": is_of_itself,
    "a common path": is_of_kin,
    "nothing to compare it with": has_no_yardstick,
    "no interval": has_no_spread,
}
"""The rules that drop a candidate, by the reason."""

WITHIN = "within chance"


def ranked(measured: Measured) -> Ranking:
    """The findings of a run."""
    return rank((candidate for rule in RULES for candidate in rule(measured)), measured.family)


def rank(candidates: Iterable[Candidate], family: Family) -> Ranking:
    """The findings among candidates."""
    left: list[Candidate] = []
    dropped: Counter[str] = Counter()
    for candidate in candidates:
        reason = next((name for name, drops in DROPS.items() if drops(candidate, family)), "")
        if reason:
            dropped[reason] += 1
        else:
            left.append(candidate)
    findings = []
    for candidate, q in zip(left, adjusted([c.evidence.p for c in left]), strict=True):
        size = candidate.evidence.size
        if size is None or (q is not None and q >= LEVEL):
            dropped[WITHIN] += 1
        else:
            findings.append(Finding(candidate=candidate, size=size, q=q))
    everything = _echoed(sorted(findings, key=lambda each: -each.size))
    return Ranking(told=_varied(everything), all=everything, dropped=dict(dropped))


def _echoed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings, each with the number of other models with the same finding."""
    shown: dict[object, set[tuple[str, ...]]] = {}
    for each in findings:
        shown.setdefault((each.kind, each.candidate.place), set()).add(each.subjects)
    return tuple(
        replace(each, others=len(shown[each.kind, each.candidate.place]) - 1)
        if len(each.subjects) == 1
        else each
        for each in findings
    )


def _leading(findings: Sequence[Finding]) -> list[Finding]:
    """Of findings that echo one another the one whose value lies furthest, in the unit that they
    share."""
    leaders: dict[object, Finding] = {}
    for each in findings:
        key = each.kind, each.candidate.place
        if key not in leaders or each.distance > leaders[key].distance:
            leaders[key] = each
    return [each for each in findings if each in leaders.values()]


def _varied(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The largest findings of as many kinds as there are, then further ones of other models.

    No kind is shown twice for a model. Models have `OF_A_MODEL` each before one has more.
    """
    chosen: list[Finding] = []
    for accepts in (_is_new_of_few, _is_of_few, _is_new_to_model):
        for each in _leading(findings):
            if len(chosen) < MOST and each not in chosen and accepts(each, chosen):
                chosen.append(each)
    return tuple(sorted(chosen, key=lambda each: -each.size))


def _is_new_of_few(each: Finding, chosen: Sequence[Finding]) -> bool:
    """Is it the first of its kind, and about models with few findings?"""
    return each.kind not in {other.kind for other in chosen} and _is_of_few(each, chosen)


def _is_of_few(each: Finding, chosen: Sequence[Finding]) -> bool:
    """Is its kind new to its models, and do they have few findings?"""
    count = Counter(name for other in chosen for name in other.subjects)
    return _is_new_to_model(each, chosen) and all(
        count[name] < OF_A_MODEL for name in each.subjects
    )


def _is_new_to_model(each: Finding, chosen: Sequence[Finding]) -> bool:
    """Do its models have no finding of this kind yet?"""
    return (each.kind, each.subjects) not in {(other.kind, other.subjects) for other in chosen}
