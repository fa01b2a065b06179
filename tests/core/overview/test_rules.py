"""The candidates of each rule against values known beforehand, and the cards."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from core.engine import registry
from core.overview.cards import brief, cards, lines
from core.overview.measured import QUERIES
from core.overview.ranking import ranked
from tests.core.overview.samples import FAMILY, difference, measured, row


def test_domains_follow_names_references_and_parents() -> None:
    assert FAMILY.own_domains("medical-qa") == ("medical",)
    assert FAMILY.is_own("medical-qa", "medqa")
    assert not FAMILY.is_own("maths", "medqa")
    assert FAMILY.own_domains("retrained") == ()
    named = replace(FAMILY, owners={"general": "retrained", "maths": "medical"})
    assert named.own_domains("retrained") == ("general",)
    assert named.own_domains("maths") == (), "another model was named for it"
    assert named.own_domains("medical-qa") == ("medical", "maths"), "its parent has two"
    assert named.is_own("medical-qa", "gsm8k")
    assert named.is_own_text("medical", "maths")
    assert not named.is_own_text("retrained", "")


def test_scores_are_gains_and_losses_by_the_direction_of_their_metric() -> None:
    rows = [
        difference("medical", "text", -2.0, metric="bits"),
        difference("medical", "medqa", -0.5),
        difference("maths", "stories", 1.5, metric="bits"),
        difference("maths", "medqa", 0.9),
        difference("maths", "gsm8k", 0.7, metric="unknown"),
    ]
    places = {
        (f.kind, *f.subjects, f.candidate.place[0]) for f in ranked(measured(evaluation=rows)).all
    }
    assert places == {
        ("gain", "medical", "text"), ("setback", "medical", "medqa"),
        ("loss", "maths", "stories"), ("transfer", "maths", "medqa"),
    }  # fmt: skip


def test_a_loss_that_the_control_has_too_is_within_chance() -> None:
    rows = [difference("maths", "stories", -0.5), difference("retrained", "stories", -0.49)]
    assert ranked(measured(evaluation=rows)).all == ()
    assert [f.kind for f in ranked(measured(evaluation=rows[:1])).all] == ["loss"]


def test_a_stored_test_of_scores_counts() -> None:
    rows = [difference("maths", "stories", -0.5)]
    test = replace(rows[0], metric="p_value", value=0.2, low=None, high=None)
    assert ranked(measured(evaluation=[*rows, test])).all == ()


def test_likelihoods_are_gains_and_losses_on_probe_sets() -> None:
    def change(model: str, probe: str, value: float, half: float = 0.05) -> Any:
        return row("nll_change", value, half, model=model, reference="base", probe=probe)

    rows = [
        change("medical", "medical", -2.0), change("medical-qa", "medical", 0.3),
        change("maths", "general", 0.5), change("retrained", "general", 0.2),
        change("maths", "medical", -0.4), change("medical", "general", 0.1),
    ]  # fmt: skip
    asked = measured(divergence=rows)
    findings = ranked(asked).all
    assert {(f.kind, *f.subjects, f.candidate.place[1]) for f in findings} == {
        ("gain", "medical", "medical"), ("setback", "medical-qa", "medical"),
        ("loss", "maths", "general"), ("transfer", "maths", "medical"),
    }, "a change within the control's is none"  # fmt: skip
    (loss,) = (f for f in findings if f.kind == "loss")
    assert loss.sentence == (
        "maths predicts the general texts worse than the base: +0.5 nats per token "
        "(+0.45 to +0.55); lower is better; retrained (control) +0.2."
    )
    card = cards(asked, ranked(asked))[0]
    assert [(s.task, s.better) for s in card.texts] == [("medical", True), ("general", False)]
    assert list(brief(card)) == [("texts", "-2 better", True)]


def test_neurons_are_held_against_the_base_and_the_controls() -> None:
    def share(model: str, value: float, layer: int | None = 1) -> Any:
        return row("activated_percent", value, 0.2, model=model, layer=layer, n=100)

    rows = [share("base", 50), share("medical", 56), share("maths", 51), share("retrained", 51.5)]
    result = ranked(measured(activation=rows))
    assert [f.headline for f in result.all] == ["medical activates more neurons in layer 1"]
    (finding,) = result.all
    # Two intervals of 0.2 to either side with 99 degrees of freedom, base and model each.
    spread = 0.2 / 1.98422 * 10
    control = math.sqrt(2) * spread
    assert finding.size == pytest.approx((6 - 1.5) / math.hypot(control, control), rel=1e-4)
    assert finding.candidate.figure.at == {"model": "medical", "layer": 1}


def test_directions_name_what_the_update_does() -> None:
    def of(model: str, value: float) -> Any:
        coordinates = {"model": model, "module": "mlp", "chance": 0.0, "chance_sd": 0.001, "n": 15}
        return row("two_sided_excess", value, 0.01, **coordinates)

    rows = [of("medical", -0.04), of("maths", 0.001), of("retrained", -0.005)]
    result = ranked(measured(alignment=rows))
    assert [f.headline for f in result.all] == [
        "medical's updates of mlp avoid the base's own directions"
    ]
    assert result.all[0].candidate.figure.view == "summary"


def test_a_measure_without_a_chance_level_is_compared_with_controls_alone() -> None:
    def of(model: str, value: float) -> Any:
        return row("intruders", value, 0.5, model=model, module="mlp", n=15)

    alone = ranked(measured(alignment=[of("medical", 6.0)]))
    assert (alone.all, alone.dropped) == ((), {"nothing to compare it with": 1})
    result = ranked(measured(alignment=[of("medical", 6.0), of("retrained", 1.0)]))
    (finding,) = result.all
    assert finding.candidate.detail == (
        "intruders of a matrix +6 (+5.5 to +6.5), retrained (control) +1."
    )
    fewer = ranked(measured(alignment=[of("medical", 1.0), of("retrained", 6.0)]))
    assert "bring fewer directions that match none of the base's" in fewer.all[0].headline


def test_a_single_matrix_is_compared_with_the_spread_of_chance() -> None:
    """It has no interval over matrices, which is no interval that includes chance."""

    def words(value: float) -> str:
        one = row(
            "two_sided_excess", value, model="medical", module="mlp", chance=0.0, chance_sd=0.01
        )
        asked = measured(alignment=[one])
        return next(line.words for line in lines(cards(asked, ranked(asked))[0]))

    assert words(0.6) == "mlp keeps to the base's +0.6"
    assert words(0.015) == "mlp within chance +0.015"


def test_own_neurons_count_against_random_ones_and_those_of_the_base_do_not() -> None:
    def drop(model: str, source: str, value: float, setting: str = "top-1%") -> Any:
        coordinates = {"model": model, "reference": source, "task": "text", "metric_of": "bits"}
        return row(
            "drop_percent", value, 2.0, setting=setting, chance=4.0, chance_sd=0.5, **coordinates
        )

    rows = [
        drop("medical", "medical", 20), drop("medical", "base", 25), drop("base", "base", 30),
        drop("maths", "maths", 4.5), drop("medical", "medical", 20, "random-top-1%-seed0"),
    ]  # fmt: skip
    result = ranked(measured(ablation=rows))
    assert [f.candidate.place for f in result.all] == [("text", "bits", "top-1%")]
    assert result.dropped == {"about the base alone": 1, "within chance": 1}


def test_a_merge_must_keep_more_of_both_than_one_vector_alone() -> None:
    def share(setting: str, task: str, value: float) -> Any:
        coordinates = {"reference": "base", "task": task, "metric_of": "bits", "setting": setting}
        return row("regained", value, 0.02, **coordinates)

    gains = [
        difference("medical", "text", -2.0, metric="bits"),
        difference("maths", "gsm8k", -1.0, metric="bits"),
        difference("medical", "medqa", 0.05),  # not for certain: says nothing
    ]
    points = [
        *(share("medical=1", t, v) for t, v in (("text", 1.0), ("gsm8k", 0.3))),
        *(share("maths=1", t, v) for t, v in (("text", 0.4), ("gsm8k", 1.0))),
        *(share("medical=0.5,maths=0.5", t, v) for t, v in (("text", 0.7), ("gsm8k", 0.8))),
        *(share("medical=1,maths=1", t, v) for t, v in (("text", 0.35), ("gsm8k", 0.9))),
        *(share("medical=-1,maths=0.5", t, 0.9) for t in ("text", "gsm8k")),
        replace(share("medical=0.5,maths=0.5", "medqa", -3.0), metric_of="acc"),
    ]
    findings = [
        f for f in ranked(measured(evaluation=gains, arithmetic=points)).all if f.kind == "merge"
    ]
    assert [(f.subjects, f.headline) for f in findings] == [
        (("medical", "maths"), "medical=0.5,maths=0.5 keeps at least 70% of each domain's gain")
    ]
    assert "keeps more than 40% of both" in findings[0].sentence


def test_a_merge_is_judged_by_tasks_of_several_domains_too() -> None:
    """Such a task has a row for each domain's own model, named after both."""
    family = replace(
        FAMILY, models=("medical", "maths", "code"),
        domains={"medical": ("text", "mixed"), "maths": ("gsm8k", "mixed"), "code": ("humaneval",)},
        controls=frozenset(),
    )  # fmt: skip

    def share(setting: str, task: str, value: float) -> Any:
        coordinates = {"reference": "base", "task": task, "metric_of": "acc", "setting": setting}
        return row("regained", value, 0.02, **coordinates)

    own = {"text": "medical", "gsm8k": "maths", "humaneval": "code"}
    gains = [difference(model, task, 0.5) for task, model in own.items()]
    gains += [difference(model, "mixed", 0.5) for model in ("medical", "maths")]
    tasks = {**own, "mixed@medical": "medical", "mixed@maths": "maths"}
    three = "medical=0.5,maths=0.5,code=0.5"
    points = [
        share(f"{name}=1", task, 1.0 if name == owner else 0.1)
        for name in ("medical", "maths", "code")
        for task, owner in tasks.items()
    ]
    points += [share(three, task, 0.6 if "@" in task else 0.9) for task in tasks]
    findings = [
        f
        for f in ranked(measured(family, evaluation=gains, arithmetic=points)).all
        if f.kind == "merge"
    ]
    assert [f.headline for f in findings] == [f"{three} keeps at least 60% of each domain's gain"]
    assert "keeps more than 10% of all" in findings[0].sentence


def test_a_merge_is_judged_by_a_task_whose_domain_has_its_name() -> None:
    family = replace(
        FAMILY, domains={"text": ("text",), "gsm8k": ("gsm8k",)}, controls=frozenset(),
        owners={"text": "medical", "gsm8k": "maths"},
    )  # fmt: skip
    points = [
        row("regained", value, 0.02, reference="base", task=task, metric_of="acc", setting=setting)
        for setting, values in (
            ("medical=1", (1.0, 0.3)), ("maths=1", (0.4, 1.0)), ("medical=1,maths=1", (0.7, 0.8))
        )
        for task, value in zip(("text", "gsm8k"), values, strict=True)
    ]  # fmt: skip
    gains = [difference("medical", "text", 0.5), difference("maths", "gsm8k", 0.5)]
    findings = ranked(measured(family, evaluation=gains, arithmetic=points)).all
    words = "medical=1,maths=1 keeps at least 70% of each domain's gain"
    assert [f.headline for f in findings if f.kind == "merge"] == [words]


def test_the_figure_of_every_rule_exists_and_shows_its_measure() -> None:
    findings = ranked(measured(**everything())).all
    assert {f.kind for f in findings} >= {"size", "directions", "gain", "neurons"}
    for finding in findings:
        place = finding.candidate.figure
        analysis = registry.get(place.analysis)
        (view,) = [v for v in analysis.views if v.key == place.view]
        assert place.measure in ("", *view.measures)


def test_a_card_says_what_was_measured_and_nothing_else() -> None:
    asked = measured(**everything())
    medical, *_, control = cards(asked, ranked(asked))
    words = {line.name: line.words for line in lines(medical)}
    assert words["moved"] == "0.3 of the base's norm, 3 times the control"
    assert words["where"] == "attention 0.2, mlp 0.4; most in layer 1 (0.5)"
    assert words["directions"] == "mlp avoids the base's -0.04 (-0.05 to -0.03)"
    assert words["neurons"] == (
        "patterns at 0.80 of the distance of unlike documents, control 0.40; "
        "active at a token in layer 1 +6"
    )
    assert words["own domain"] == (
        "text better: -2 (-2.1 to -1.9) bits; of the others 1 no certain change"
    )
    assert words["elsewhere"] == "stories worse: -0.5 (-0.6 to -0.4) acc"
    assert medical.layers == (0.1, 0.5)
    assert (control.model, control.is_control) == ("retrained", True)
    assert [line.name for line in lines(control)] == ["moved", "neurons"]
    signs = {line.name: line.better for line in brief(medical)}
    assert signs == dict.fromkeys(words.keys() - {"surprising"}) | {
        "own domain": True, "elsewhere": False
    } | dict.fromkeys({"surprising"} & words.keys())  # fmt: skip
    nothing = cards(measured(), ranked(measured()))
    assert [*lines(nothing[0])] == []


@pytest.mark.parametrize(
    ("kept", "figure"),
    [
        (("tuning_vectors", "evaluation", "activation"), ("tuning_vectors", "modules")),
        (("evaluation", "activation"), ("evaluation", "difference")),
        (("divergence", "activation"), ("divergence", "models")),
        (("activation", "edit_distance"), ("activation", "curves")),
        (("edit_distance",), ("edit_distance", "curves")),
        (("alignment",), ("alignment", "heat")),
    ],
)
def test_a_card_leads_to_a_figure_of_the_run(
    kept: tuple[str, ...], figure: tuple[str, str]
) -> None:
    rows = everything()
    rows["divergence"] = [row("nll_change", -0.5, 0.1, model="medical", reference="base")]
    asked = measured(**{name: rows[name] for name in kept})
    place = cards(asked, ranked(asked))[0].figure
    assert (place.analysis, place.view) == figure
    assert place.view in {view.key for view in registry.get(place.analysis).views}


def test_every_measure_that_is_asked_for_is_declared() -> None:
    for name, query in QUERIES.items():
        wanted = query["metric"]
        assert {spec.name for spec in registry.get(name).metrics} >= set(wanted)


def everything() -> dict[str, Any]:
    """Some of each analysis."""

    def size(model: str, value: float, module: str = "all", layer: int | None = None) -> Any:
        return row("relative_norm", value, model=model, module=module, layer=layer)

    def share(model: str, value: float) -> Any:
        return row("activated_percent", value, 0.2, model=model, layer=1, n=100)

    def ratio(model: str, value: float, layer: int | None = None) -> Any:
        half = None if layer is None else 0.02
        return row("ratio", value, half, model=model, reference="base", layer=layer)

    return {
        "tuning_vectors": [
            size("medical", 0.3), size("medical", 0.2, "attention"), size("medical", 0.4, "mlp"),
            size("medical", 0.1, "blocks", 0), size("medical", 0.5, "blocks", 1),
            size("retrained", 0.1),
        ],
        "alignment": [
            row("two_sided_excess", -0.04, 0.01, model="medical", module="mlp", chance=0.0, n=15)
        ],
        "activation": [share("base", 50), share("medical", 56)],
        "edit_distance": [
            ratio("medical", 0.8), ratio("retrained", 0.4), ratio("medical", 0.9, 1),
            ratio("retrained", 0.4, 1),
        ],
        "evaluation": [
            difference("medical", "text", -2.0, metric="bits"),
            difference("medical", "medqa", 0.02), difference("medical", "stories", -0.5),
        ],
    }  # fmt: skip
