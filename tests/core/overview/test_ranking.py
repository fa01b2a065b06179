"""The ranking: each rule that drops, the correction, the order, and how the told ones vary."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from core.engine.measurement import Measurement
from core.overview.evidence import Estimate, Evidence, Yardstick
from core.overview.finding import Candidate, FigurePlace, Kind
from core.overview.measured import Family
from core.overview.ranking import MOST, WITHIN, rank, ranked
from tests.core.overview.samples import FAMILY, cosine, difference, measured, row


def made(
    kind: Kind, model: str, size: float, *, place: str = "", error: float = 0.1, n: int = 100
) -> Candidate:
    """A candidate whose value lies `size` standard deviations from 0."""
    return Candidate(
        kind=kind,
        subjects=(model,),
        place=(place or model,),
        evidence=Evidence(
            estimate=Estimate(size * error * n**0.5, error), yardsticks=(Yardstick("0", 0.0),), n=n
        ),
        headline=f"{kind} of {model}",
        detail="",
        figure=FigurePlace(analysis="evaluation", view="table"),
    )


def dropped(*candidates: Candidate, family: Family = FAMILY) -> dict[str, int]:
    return dict(rank(candidates, family).dropped)


def test_models_with_a_common_path_are_no_finding() -> None:
    rows = [*cosine("medical", "medical-qa", 0.9), *cosine("medical", "maths", 0.4)]
    rows += cosine("maths", "retrained", 0.05)
    result = ranked(measured(vector_cosine=rows))
    assert [f.subjects for f in result.all] == [("medical", "maths")]
    assert result.dropped == {"a common path": 1, "about a control": 1}
    unknown = ranked(measured(replace(FAMILY, parents={}), vector_cosine=rows))
    assert unknown.all[0].subjects == ("medical", "medical-qa"), "without the study's word"
    siblings = replace(FAMILY, parents={"medical-qa": "instruct", "maths": "instruct"})
    assert siblings.is_kin("medical-qa", "maths"), "both vectors have their parent's in them"
    assert not siblings.is_kin("medical", "maths")
    assert FAMILY.is_kin("sft@500", "sft@1000"), "steps of one training run"
    assert not FAMILY.is_kin("sft@500", "other@500")


def test_a_model_and_itself_are_no_finding() -> None:
    rows = [*cosine("medical", "maths", 1.0), *cosine("maths", "retrained", 0.1)]
    rows.append(row("cosine", 0.7, model="maths", reference="maths", module="all"))
    assert ranked(measured(vector_cosine=rows)).dropped == {
        "a model and itself": 2, "about a control": 1,
    }  # fmt: skip


def test_a_control_is_no_subject() -> None:
    assert dropped(made("loss", "retrained", 3.0)) == {"about a control": 1}


def test_a_statement_on_the_base_is_no_finding() -> None:
    assert dropped(made("ablation", "base", 3.0)) == {"about the base alone": 1}


def test_a_value_without_a_yardstick_is_no_finding() -> None:
    family = replace(FAMILY, controls=frozenset())
    rows = cosine("medical", "maths", 0.9)
    assert ranked(measured(family, vector_cosine=rows)).dropped == {"nothing to compare it with": 1}


def test_a_difference_without_an_interval_is_no_finding() -> None:
    result = ranked(measured(evaluation=[replace(difference("maths", "gsm8k", 0.4), low=None)]))
    assert result.dropped == {"no interval": 1}


def test_all_p_values_are_corrected_together_and_chance_is_dropped() -> None:
    sizes = [0.6, 0.3, 0.22, 0.1, 0.0]
    candidates = [made("loss", f"m{i}", size) for i, size in enumerate(sizes)]
    p = [2 * stats.t.sf(size * 10, 99) for size in sizes]
    q = stats.false_discovery_control(p, method="bh")
    result = rank(candidates, FAMILY)
    assert [f.q for f in result.all] == pytest.approx([each for each in q if each < 0.05])
    assert (len(result.all), result.dropped) == (2, {WITHIN: 3})
    assert p[2] < 0.05 < q[2], "one of them alone would have been told"


def test_nothing_is_told_where_nothing_exceeds_chance() -> None:
    result = rank([made("loss", "maths", 0.1), made("gain", "medical", 0.0)], FAMILY)
    assert (result.told, result.all, result.dropped) == ((), (), {WITHIN: 2})


def test_the_told_ones_are_of_different_kinds_and_models_by_size() -> None:
    candidates = [
        made("loss", "code", 9.0, place="a"),
        made("neurons", "code", 8.0),
        made("ablation", "code", 7.0),
        made("loss", "maths", 6.0, place="b"),
        made("gain", "medical", 2.0),
        made("transfer", "maths", 1.0),
        made("directions", "medical", 0.8),
    ]
    findings = rank(candidates, FAMILY).told
    assert [(f.kind, f.subjects[0]) for f in findings] == [
        ("loss", "code"), ("neurons", "code"), ("gain", "medical"), ("transfer", "maths"),
        ("directions", "medical"),
    ]  # fmt: skip
    assert len(findings) == MOST
    # Fewer kinds than findings are told: others of a kind follow, of one model each kind once.
    few = [made("loss", m, 3.0 - i, place=f"{i}") for i, m in enumerate(("a", "a", "b"))]
    assert [f.subjects[0] for f in rank(few, FAMILY).told] == ["a", "b"]


def test_of_findings_that_echo_one_another_the_furthest_is_told_with_their_number() -> None:
    """Less scatter makes a size larger, and a loss on the same task no larger."""
    steady = made("loss", "maths", 4.0, place="stories", error=0.05)
    furthest = made("loss", "code", 3.0, place="stories", error=0.1)
    result = rank([steady, furthest], FAMILY)
    assert [(f.subjects[0], f.others) for f in result.told] == [("code", 1)]
    assert result.told[0].sentence.endswith("The same holds for 1 other model.")
    assert len(result.all) == 2


def test_the_control_is_the_yardstick_of_a_cosine_and_nominal_chance_is_not() -> None:
    def of(control: float) -> list[Measurement]:
        rows = [*cosine("medical", "maths", 0.3), *cosine("maths", "retrained", control)]
        return [replace(r, chance=0.0, chance_sd=1e-4) for r in rows]

    assert [f.kind for f in ranked(measured(vector_cosine=of(0.05))).all] == ["shared"]
    assert ranked(measured(vector_cosine=of(-0.35))).all == (), "within what a control reaches"
