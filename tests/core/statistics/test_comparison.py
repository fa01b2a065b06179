"""Intervals against simulation and scipy, tests against brute force, and the laws of pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core.statistics import comparison, multiplicity
from core.statistics.comparison import Form, Items

BOOT: dict[str, Any] = {"resamples": 200, "seed": 0}


def _mean(values: Sequence[float] | np.ndarray) -> Items:
    return Items(
        index=np.arange(len(values)),
        total=np.array(values, dtype=float),
        weight=np.ones(len(values)),
    )


def _text(rng: np.random.Generator, n: int, form: Form, nats: float = 1.5) -> Items:
    weight = rng.integers(20, 400, n).astype(float)
    total = -weight * rng.normal(nats, 0.2, n)
    return Items(index=np.arange(n), total=total, weight=weight, form=form)


FORMS: tuple[Form, ...] = ("mean", "perplexity", "bits_per_byte")
VALUES = st.lists(st.floats(-50, 50), min_size=2, max_size=30)
BITS = st.lists(st.integers(0, 1), min_size=1, max_size=40)


def test_a_score_is_made_of_its_items() -> None:
    items = Items(
        index=np.arange(2), total=np.array([-3.0, -5.0]), weight=np.array([4.0, 6.0]), form="mean"
    )
    assert items.value() == pytest.approx(-0.8)
    wanted: dict[Form, float] = {
        "perplexity": math.exp(0.8), "bits_per_byte": 0.8 / math.log(2),
    }  # fmt: skip
    for form, expected in wanted.items():
        other = Items(index=items.index, total=items.total, weight=items.weight, form=form)
        assert other.value() == pytest.approx(expected)


def _expanded(n: int) -> float:
    """The confidence of plain percentiles that are as far apart as Student's interval of a mean."""
    reach = math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)
    return float(1 - 2 * stats.norm.cdf(-reach))


@pytest.mark.parametrize("form", FORMS)
def test_the_interval_agrees_with_another_bootstrap(form: Form) -> None:
    items = _text(np.random.default_rng(3), 60, form)
    estimate = comparison.score(items, resamples=4000, seed=1)

    def statistic(total: np.ndarray, weight: np.ndarray) -> float:
        ratio = total.sum() / weight.sum()
        return float({"mean": ratio, "perplexity": np.exp(-ratio)}.get(form, -ratio / np.log(2)))

    other = stats.bootstrap(
        (items.total, items.weight), statistic, paired=True, vectorized=False, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(2), confidence_level=_expanded(60),
    )  # fmt: skip
    spread = other.standard_error
    assert estimate.value == pytest.approx(statistic(items.total, items.weight))
    assert estimate.low == pytest.approx(other.confidence_interval.low, abs=0.2 * spread)
    assert estimate.high == pytest.approx(other.confidence_interval.high, abs=0.2 * spread)


def test_draws_in_parts_are_all_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    items = _mean(np.random.default_rng(0).normal(size=40).tolist())
    whole = comparison.score(items, resamples=500, seed=4)
    monkeypatch.setattr(comparison, "_AT_ONCE", 1000)
    parts = comparison.score(items, resamples=500, seed=4)
    assert parts == whole


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    trials, n, right, difference = 400, 150, 0, 0
    for trial in range(trials):
        a = rng.random(n) < 0.6
        b = np.where(rng.random(n) < 0.25, rng.random(n) < 0.4, a)  # E[b] = 0.55
        boot: dict[str, Any] = {"resamples": 300, "seed": trial}
        one = comparison.score(_mean(a), **boot)
        two = comparison.difference(_mean(a), _mean(b), **boot)
        right += one.low <= 0.6 <= one.high  # type: ignore[operator]
        difference += two.low <= -0.05 <= two.high  # type: ignore[operator]
    assert 0.91 <= right / trials <= 0.98
    assert 0.91 <= difference / trials <= 0.98


@pytest.mark.parametrize("n", [2, 3, 4, 7, 8, 12, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_cover_the_truth_with_few_items_too(n: int, weighted: bool) -> None:
    """Plain percentiles cover it in 48 to 88 of 100 samples of up to 8 items."""
    rng, covered = np.random.default_rng(n), {"score": 0, "difference": 0, "regained": 0}
    truth, trials = {"score": 3.0, "difference": -1.0, "regained": 0.6}, 600
    for trial in range(trials):
        weight = np.exp(0.7 * rng.normal(size=n)) if weighted else np.ones(n)
        values = 3 + 0.5 * rng.normal(size=(3, n))
        values[1] = values[0] - 1 - 0.3 * rng.normal(size=n)
        values[2] = values[0] + 0.6 * (values[1] - values[0]) + 0.1 * rng.normal(size=n)
        base, tuned, part = (Items(index=np.arange(n), total=v * weight, weight=weight)
                             for v in values)  # fmt: skip
        boot: dict[str, Any] = {"resamples": 500, "seed": trial}
        for name, estimate in (
            ("score", comparison.score(base, **boot)),
            ("difference", comparison.difference(base, tuned, **boot)),
            ("regained", comparison.regained(base, tuned, part, **boot)),
        ):
            assert estimate.low is not None
            assert estimate.high is not None
            covered[name] += estimate.low <= truth[name] <= estimate.high
    assert all(0.9 <= count / trials <= 0.98 for count in covered.values()), covered


def test_the_interval_of_few_items_is_student_s_and_ends_where_scores_do() -> None:
    values = [0.3, 0.9, 0.4]
    estimate = comparison.score(_mean(values), **BOOT)
    student = stats.ttest_1samp(values, 0).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((student.low, student.high))
    right = comparison.score(_mean([1, 1, 0]), **BOOT)
    assert (right.low, right.high) == (0, 1)
    share = comparison.score(_mean(values), within=(0, 1), **BOOT)
    assert (share.low, share.high) == (0, 1)
    ends: dict[Form, int] = {"perplexity": 1, "bits_per_byte": 0}
    for form, least in ends.items():
        few = Items(index=np.arange(2), total=np.array([-1.0, -5]), weight=np.ones(2), form=form)
        assert comparison.score(few, **BOOT).low == least


def test_the_interval_of_a_perplexity_is_that_of_its_logarithm() -> None:
    logs = [-3.0, -5.0, -4.0]
    items = Items(index=np.arange(3), total=np.array(logs), weight=np.ones(3), form="perplexity")
    estimate = comparison.score(items, **BOOT)
    student = stats.ttest_1samp(logs, 0).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx(
        (math.exp(-student.high), math.exp(-student.low))
    )
    apart = Items(
        index=np.arange(2), total=np.array([-1.0, -200]), weight=np.ones(2), form=items.form
    )
    estimate = comparison.score(apart, **BOOT)
    assert estimate.value == pytest.approx(math.exp(100.5))
    assert (estimate.low, estimate.high) == (None, None), "not one end alone"


def test_few_items_that_agree_give_no_interval() -> None:
    for items in (_mean([1, 1, 1]), _mean([0.1] * 5)):
        assert comparison.score(items, **BOOT).low is None
    assert comparison.difference(_mean([0, 1, 1]), _mean([0, 1, 1]), **BOOT).low is None
    assert comparison.score(_mean([1] * 8), **BOOT).low == 1


def test_pairing_is_worth_it() -> None:
    rng = np.random.default_rng(6)
    hard = rng.normal(size=100)
    a, b = _mean(hard), _mean(hard + 0.1 + 0.01 * rng.normal(size=100))
    estimate = comparison.difference(a, b, **BOOT)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low > 0.09
    assert estimate.high < 0.11


@given(VALUES, st.sampled_from(FORMS))
@settings(max_examples=40)
def test_a_model_differs_from_itself_by_nothing(values: list[float], form: Form) -> None:
    n = len(values)
    items = Items(index=np.arange(n), total=np.array(values), weight=np.ones(n), form=form)
    estimate = comparison.difference(items, items, **BOOT)
    if estimate.value is not None:
        end = 0 if n >= comparison.FEW else None
        assert (estimate.value, estimate.low, estimate.high) == (0, end, end)


@given(BITS)
def test_equal_answers_are_no_evidence(bits: list[int]) -> None:
    assert comparison.mcnemar(_mean(bits), _mean(bits)) == 1


@given(st.data(), VALUES)
@settings(max_examples=40)
def test_swapping_the_models_turns_the_sign(data: st.DataObject, values: list[float]) -> None:
    n = len(values)
    other = data.draw(st.lists(st.floats(-50, 50), min_size=n, max_size=n))
    there = comparison.difference(_mean(values), _mean(other), **BOOT)
    back = comparison.difference(_mean(other), _mean(values), **BOOT)
    assert there.value == pytest.approx(-back.value)  # type: ignore[operator]
    if there.low is None or back.low is None:
        assert there.low == back.low
        return
    assert there.low == pytest.approx(-back.high, abs=1e-9)  # type: ignore[operator]
    assert there.high == pytest.approx(-back.low, abs=1e-9)


@given(st.data(), BITS)
def test_mcnemar_counts_every_way_the_coin_could_fall(data: st.DataObject, bits: list[int]) -> None:
    n = len(bits)
    other = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    lost = sum(x > y for x, y in zip(bits, other, strict=True))
    won = sum(x < y for x, y in zip(bits, other, strict=True))
    m = lost + won
    ways = sum(math.comb(m, k) for k in range(m + 1) if math.comb(m, k) <= math.comb(m, lost))
    p_value = comparison.mcnemar(_mean(bits), _mean(other))
    assert p_value == pytest.approx(ways / 2**m)
    assert comparison.mcnemar(_mean(other), _mean(bits)) == pytest.approx(p_value)


def test_what_is_not_paired_is_refused() -> None:
    a, b = _mean([0, 1, 1]), _mean([0, 1])
    for compare in (comparison.difference, comparison.mcnemar):
        with pytest.raises(ValueError, match="same items"):
            compare(a, b, **(BOOT if compare is comparison.difference else {}))
    with pytest.raises(ValueError, match="right or wrong"):
        comparison.mcnemar(_mean([0.5, 1]), _mean([0, 1]))


def test_a_drop_is_a_loss_whichever_way_is_better() -> None:
    high = comparison.drop(_mean([1, 1, 1, 1]), _mean([1, 0, 1, 1]), higher_is_better=True, **BOOT)
    assert high.value == pytest.approx(25)
    rng = np.random.default_rng(7)
    good = _text(rng, 50, "bits_per_byte", nats=1.0)
    bad = Items(index=good.index, total=1.5 * good.total, weight=good.weight, form="bits_per_byte")
    low = comparison.drop(good, bad, higher_is_better=False, **BOOT)
    assert (low.value, low.low, low.high) == pytest.approx((50, 50, 50))
    won = comparison.drop(bad, good, higher_is_better=False, **BOOT)
    assert won.value == pytest.approx(-100 / 3)
    below = comparison.drop(_mean([-1, -1]), _mean([-2, -2]), higher_is_better=True, **BOOT)
    assert below.value == pytest.approx(100)


def test_there_is_no_drop_from_nothing() -> None:
    estimate = comparison.drop(_mean([0, 0]), _mean([1, 0]), higher_is_better=True, **BOOT)
    assert estimate == comparison.Estimate(value=None)
    alone = comparison.score(_mean([1]), **BOOT)
    assert (alone.value, alone.low) == (1, None)


def _ablation(rng: np.random.Generator, n: int, loss: float, k: int = 3) -> list[Items]:
    """Items before, after a loss, and after the loss of each of k controls."""
    before = rng.random(n) < 0.7
    spread = rng.normal(0.05, 0.03, k + 1)
    losses = [spread[0] + loss, *spread[1:]]
    return [_mean(before), *(_mean(before & (rng.random(n) >= x)) for x in losses)]


@pytest.mark.parametrize(("loss", "most", "least"), [(0.0, 0.08, 0.0), (0.4, 1.0, 0.8)])
def test_a_drop_like_its_controls_is_seldom_called_more(
    loss: float, most: float, least: float
) -> None:
    rng = np.random.default_rng(8)
    significant = []
    for trial in range(200):
        before, after, *controls = _ablation(rng, 120, loss)
        p = comparison.beyond_controls(
            before, after, controls, higher_is_better=True, resamples=200, seed=trial
        )
        assert p is not None
        significant.append(p <= 0.05)
    assert least <= np.mean(significant) <= most


def test_without_controls_nothing_is_said() -> None:
    a, b = _mean([1, 1, 0]), _mean([0, 1, 0])
    settled: dict[str, Any] = {"higher_is_better": True, **BOOT}
    assert comparison.beyond_controls(a, b, [a], **settled) is None
    none = comparison.beyond_controls(_mean([0, 0, 0]), b, [a, a], **settled)
    assert none is None
    same = comparison.beyond_controls(a, a, [a, a], **settled)
    assert same == 1
    all_right = _mean([1, 1, 1])
    gone = comparison.beyond_controls(
        all_right, _mean([0, 0, 0]), [all_right, all_right], higher_is_better=True, **BOOT
    )
    assert gone == 1 / 8  # three items, each worse by a fair coin


def test_few_items_at_chance_can_not_be_strong_evidence() -> None:
    """Two of six right answers that an ablation loses are 100 % of them in every draw of items."""
    before, kept = _mean([1, 1, 0, 0, 0, 0]), _mean([1, 1, 0, 0, 0, 0])
    p = comparison.beyond_controls(
        before, _mean([0] * 6), [kept, kept], higher_is_better=True, **BOOT
    )
    assert p == 1 / 4
    rng = np.random.default_rng(1)
    for trial in range(300):
        right = rng.random(6) < 0.25
        draws = [_redrawn(rng, right) for _ in range(3)]
        p = comparison.beyond_controls(
            _mean(right), draws[0], draws[1:], higher_is_better=True, resamples=100, seed=trial
        )
        assert p is None or p > 0.01


def _redrawn(rng: np.random.Generator, right: np.ndarray) -> Items:
    """Answers after an ablation that loses 15 % of the right ones and gains 5 % of the others."""
    return _mean(np.where(right, rng.random(6) >= 0.15, rng.random(6) < 0.05))


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=20))
def test_correction_against_its_definition(p_values: list[float | None]) -> None:
    known = sorted(p for p in p_values if p is not None)
    m = len(known)
    for given_p, q in zip(p_values, multiplicity.adjusted(p_values), strict=True):
        if given_p is None:
            assert q is None
            continue
        # The least level at which the step-up procedure rejects this hypothesis.
        steps = [m * known[i] / (i + 1) for i in range(m) if known[i] >= given_p]
        assert q == pytest.approx(min(1.0, *steps))


def _brute(parts: Sequence[Items], make: Callable[..., float]) -> tuple[float, float, float]:
    """The value and its interval by a loop over draws, each draw the same items for all."""

    def score(items: Items, drawn: np.ndarray) -> float:
        r = items.total[drawn].sum() / items.weight[drawn].sum()
        forms = {"mean": r, "perplexity": np.exp(-r), "bits_per_byte": -r / math.log(2)}
        return float(forms[items.form])

    n = len(parts[0].index)
    whole = make(*(score(p, np.arange(n)) for p in parts))
    draws = np.random.default_rng(BOOT["seed"]).integers(n, size=(BOOT["resamples"], n))
    values = [make(*(score(p, drawn) for p in parts)) for drawn in draws]
    tail = (1 - _expanded(n)) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return whole, float(low), float(high)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_shares_equal_a_loop_over_draws(form: Form, higher: bool) -> None:
    rng = np.random.default_rng(9)
    base, tuned, merged = (_text(rng, 30, form, nats) for nats in (2.0, 1.0, 1.4))
    estimate = comparison.ratio(tuned, merged, higher_is_better=higher, **BOOT)
    wanted = _brute([tuned, merged], lambda t, o: o / t if higher else t / o)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(wanted)
    part = comparison.regained(base, tuned, merged, **BOOT)
    wanted = _brute([base, tuned, merged], lambda b, t, o: (o - b) / (t - b))
    assert (part.value, part.low, part.high) == pytest.approx(wanted)
    assert 0 < part.value < 1  # type: ignore[operator]


@given(BITS)
def test_shares_of_the_models_that_they_are_held_against(bits: list[int]) -> None:
    items, zero = _mean(bits), _mean([0] * len(bits))
    whole = comparison.ratio(items, items, higher_is_better=True, **BOOT)
    assert whole.value == (1 if any(bits) else None)
    assert whole.low in (1, None)
    assert comparison.ratio(zero, items, higher_is_better=True, **BOOT).value is None
    ratio = comparison.ratio(items, zero, higher_is_better=False, **BOOT)
    assert ratio == comparison.Estimate(value=None), "nothing below the line"
    for place, model in ((0, zero), (1, items)):
        part = comparison.regained(zero, items, model, **BOOT)
        assert part.value == (place if any(bits) else None)


def test_shares_are_of_the_same_items_alone() -> None:
    a, b = _mean([0, 1, 1]), _mean([0, 1])
    for pair in ((a, b), (b, a)):
        with pytest.raises(ValueError, match="same items"):
            comparison.ratio(*pair, higher_is_better=True, **BOOT)
        with pytest.raises(ValueError, match="same items"):
            comparison.regained(a, *pair, **BOOT)


@given(st.lists(st.floats(0.1, 50), min_size=3, max_size=3), st.booleans())
def test_scores_known_as_wholes_have_the_same_shares(values: list[float], higher: bool) -> None:
    base, tuned, score = values
    items = [_mean([v, v]) for v in values]
    lost = comparison.percent_lost(base, score, higher_is_better=higher)
    share = comparison.share_of(tuned, score, higher_is_better=higher)
    back = comparison.share_regained(base, tuned, score)
    options: dict[str, Any] = {"higher_is_better": higher, **BOOT}
    assert lost == pytest.approx(comparison.drop(items[0], items[2], **options).value)
    assert share == pytest.approx(comparison.ratio(items[1], items[2], **options).value)
    assert back == pytest.approx(comparison.regained(*items, **BOOT).value)
    assert comparison.percent_lost(0.0, score, higher_is_better=higher) is None
    assert comparison.share_regained(base, base, score) is None
    assert comparison.share_of(None, score, higher_is_better=higher) is None
