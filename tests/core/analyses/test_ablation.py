"""Neurons that a tiny model needs and others that it does not, chosen and scored apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.engine import registry, runner
from core.engine.measurement import KEY_COLUMNS, Measurement, Unit
from core.errors import Cancelled, StudyError
from core.evaluation import examples
from core.evaluation.evaluator import Evaluator
from core.figures import drop_tables
from core.figures.views import Catalogue, Choice, Tabulation
from core.neurons import ablation, ranking
from core.statistics import comparison
from core.study import intake
from core.study.study import Study
from tests.conftest import MemorySink
from tests.core import harness_zoo
from tests.core.harness_zoo import WORDS

ONLY = ["ablation"]
Folders = dict[str, Path]
SELECTIONS = ["top-1%", "top-20%-active"]
NEURONS = 2 * 24
CHOICE = {"medical": ["tiny_choice"]}


def _study(folders: Folders, tasks: Path, *names: str, **more: Any) -> Study:
    tuned = {n: p for n, p in folders.items() if n in (names or ("medical", "maths"))}
    given = {"selections": SELECTIONS, "controls": 2, **more.pop("ablation", {})}
    analyses = {"ablation": given, **more.pop("analyses", {})}
    return harness_zoo.study_of(folders["base"], tuned, tasks, analyses=analyses, **more)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("probe") / "probe.txt"
    file.write_text("\n".join(" ".join(np.roll(WORDS, i)[: 5 + i]) for i in range(6)))
    return {"file": str(file), "documents": 6}


class Watched:
    """A run, with the items that were chosen on and those that were scored, by task."""

    def __init__(self, asked: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sink = MemorySink()
        self.chosen: dict[str, list[tuple[int, ...]]] = {}
        self.scored: dict[str, list[tuple[int, ...]]] = {}
        evaluate, write = Evaluator.evaluate, examples.examples

        def evaluated(evaluator: Evaluator, task: Any, items: Any = None) -> Any:
            self.scored.setdefault(task.name, []).append(tuple(items))
            return evaluate(evaluator, task, items)

        def written(task: Any, items: Any, **more: Any) -> Any:
            self.chosen.setdefault(task.name, []).append(tuple(items))
            return write(task, items, **more)

        with monkeypatch.context() as patched:
            patched.setattr(Evaluator, "evaluate", evaluated)
            patched.setattr(examples, "examples", written)
            runner.run(asked, self.sink, ONLY)


@pytest.fixture(scope="module")
def watched(family_folders: Folders, task_folder: Path) -> Iterator[Watched]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Watched(_study(family_folders, task_folder), monkeypatch)


def _places(rows: Sequence[Measurement]) -> set[tuple[str, str, str]]:
    return {(row.model, row.reference, row.task) for row in rows}


def test_items_for_choosing_and_for_scoring_are_apart_and_those_of_all_models(
    watched: Watched,
) -> None:
    assert watched.scored.keys() == watched.chosen.keys() == {
        "tiny_choice", "tiny_last_word", "tiny_text"
    }  # fmt: skip
    for task, scored in watched.scored.items():
        assert len(scored) > 3
        (chosen,), (asked,) = set(watched.chosen[task]), set(scored)
        assert len(chosen) == len(asked) == harness_zoo.ITEMS // 2
        assert sorted([*chosen, *asked]) == list(range(harness_zoo.ITEMS))


def test_a_model_is_scored_on_its_own_domain_and_a_general_task(watched: Watched) -> None:
    assert _places(watched.sink.rows("drop_percent")) == {
        ("base", "base", "tiny_text"),
        *(("medical", source, task) for source in ("base", "medical")
          for task in ("tiny_choice", "tiny_text")),
        *(("maths", source, task) for source in ("base", "maths")
          for task in ("tiny_last_word", "tiny_text")),
    }  # fmt: skip


def test_rows_have_the_contract_s_settings_and_no_two_the_same_place(watched: Watched) -> None:
    rows = [row for _, result in watched.sink.units.values() for row in result.measurements]
    places = [tuple(getattr(row, c) for c in KEY_COLUMNS[1:]) for row in rows]
    assert len(places) == len(set(places))
    controls = [f"random-{name}-seed{seed}" for name in SELECTIONS for seed in (5, 6)]
    assert {row.setting for row in watched.sink.rows("drop_percent")} == {*SELECTIONS, *controls}
    assert {row.setting for row in watched.sink.rows("ablated_score")} == {*SELECTIONS, *controls}
    assert {row.setting for row in watched.sink.rows("score")} == set(SELECTIONS)
    for row in watched.sink.rows("neurons", setting="top-1%"):
        assert row.value == 1
        coordinates = {"model": row.model, "reference": row.reference, "task": row.task}
        others = [watched.sink.value("neurons", setting=controls[i], **coordinates) for i in (0, 1)]
        assert [other.value for other in others] == [1, 1]


def test_every_metric_is_declared_and_measured(watched: Watched) -> None:
    measured = {row.metric for _, r in watched.sink.units.values() for row in r.measurements}
    assert measured == {metric.name for metric in registry.get("ablation").metrics}


def test_drops_and_their_level_follow_from_the_scores(watched: Watched) -> None:
    """By hand from the rows of scores; brier_score and bits_per_byte are better when lower."""
    lower = {"brier_score", "bits_per_byte", "word_perplexity", "perplexity"}
    sink, seen = watched.sink, set()
    for row in sink.rows("drop_percent"):
        coordinates = {"model": row.model, "reference": row.reference, "task": row.task,
              "metric_of": row.metric_of}  # fmt: skip
        name = row.setting.removeprefix("random-").partition("-seed")[0]
        before = sink.value("score", setting=name, **coordinates).value or 0
        after = sink.value("ablated_score", setting=row.setting, **coordinates).value or 0
        sign = -1 if row.metric_of in lower else 1
        assert (row.value is None) == (before == 0)
        if row.value is not None:
            assert row.value == pytest.approx(sign * 100 * (before - after) / before)
            seen.add(row.metric_of)
        if not ranking.is_selection(row.setting):
            assert (row.chance, row.chance_sd) == (None, None)
            continue
        random = [sink.value("drop_percent", setting=f"random-{name}-seed{s}", **coordinates).value
                  for s in (5, 6)]  # fmt: skip
        if None not in random:
            assert row.chance == pytest.approx(np.mean(random))  # type: ignore[arg-type]
            assert row.chance_sd == pytest.approx(np.std(random, ddof=1))  # type: ignore[arg-type]
    assert {"bits_per_byte", "perplexity", "brier_score"} <= seen


def test_q_values_are_benjamini_and_hochberg_s_over_each_metric(watched: Watched) -> None:
    sink = watched.sink
    tests = sink.rows("p_value")
    assert len(sink.rows("q_value")) == len(tests)
    for metric in {row.metric_of for row in tests}:
        same_metric = [row for row in tests if row.metric_of == metric]
        known = sorted(row.value for row in same_metric if row.value is not None)
        for row in same_metric:
            coordinates = {"model": row.model, "reference": row.reference, "task": row.task}
            q = sink.value("q_value", metric_of=metric, setting=row.setting, **coordinates)
            assert q.n == len(known), "a row without a p value is no test"
            steps = [
                len(known) * p / (i + 1)
                for i, p in enumerate(known)
                if row.value is not None and p >= row.value
            ]
            assert q.value == (None if row.value is None else pytest.approx(min(1.0, *steps)))


def test_a_run_whose_tests_hardly_find_anything_warns_of_it(watched: Watched) -> None:
    """Of two controls, Student's t with one degree of freedom has a closed form."""
    tests = max(row.n or 0 for row in watched.sink.rows("q_value"))
    far = math.sqrt(1.5) / math.tan(math.pi * 0.05 / tests)
    (warning,) = [words for about, words in watched.sink.warnings if about == "ablation"]
    assert f"With 2 random draws and {tests} tests" in warning
    assert f"by {far:.0f} of their standard deviations" in warning
    few = [row for row in watched.sink.rows("q_value") if row.metric_of == "acc"]
    drawn = [
        replace(few[0], metric="drop_percent", n=None, setting=f"random-top-1%-seed{seed}")
        for seed in range(ranking.CONTROLS)
    ]
    assert drop_tables.doubts([*few, *drawn[:2]]) != drop_tables.doubts([*few, *drawn]) == []


def test_everything_is_everything(family_folders: Folders, task_folder: Path) -> None:
    sink = MemorySink()
    asked = _study(
        family_folders, task_folder, "medical",
        domains={"a": ["tiny_choice"], "b": ["tiny_last_word"]},
        ablation={"sources": "all", "tasks": "all", "selections": ["top-1%"]},
    )  # fmt: skip
    runner.run(asked, sink, ONLY)
    models = ("base", "medical")
    assert _places(sink.rows("drop_percent")) == {
        (model, source, task)
        for model in models for source in models for task in ("tiny_choice", "tiny_last_word")
    }  # fmt: skip


def test_neurons_may_be_chosen_on_the_probe_set(
    family_folders: Folders, task_folder: Path, probe: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Out of what activation keeps: its units are planned with, and computed once."""
    asked = _study(
        family_folders, task_folder, "medical", probe=probe, domains=CHOICE,
        ablation={"chosen_on": "probe", "score": "activation", "value": "mean"},
    )  # fmt: skip
    whole = Watched(asked, monkeypatch)
    assert not whole.chosen
    assert {items for sets in whole.scored.values() for items in sets} == {
        tuple(range(harness_zoo.ITEMS))
    }
    counted = [u for u, _ in whole.sink.units.values() if u.analysis == "activation"]
    assert {(u.model, u.options["scores"]) for u in counted} == {
        (model, scores) for model in ("base", "medical") for scores in (True, False)
    }
    for unit, result in whole.sink.units.values():
        if "ranked on the probe set" in unit.label:
            stored_ranking = result.arrays("ranking")
            results = [r for u, r in whole.sink.units.values()
                     if u.analysis == "activation" and u.model == unit.model]  # fmt: skip
            arrays = {a.name: a.arrays for r in results for a in r.artifacts if a.layer == 1}
            np.testing.assert_array_equal(stored_ranking["1.score"], arrays["scores"]["magnitude"])
            np.testing.assert_array_equal(stored_ranking["1.rate"], arrays["neurons"]["rate"])
            np.testing.assert_array_equal(stored_ranking["1.mean"], arrays["scores"]["mean"])
    apart = MemorySink()
    runner.run(asked, apart, ["activation"])
    before = len(apart.saved)
    runner.run(asked, apart, ONLY)
    assert all(apart.units[key][0].analysis == "ablation" for key in apart.saved[before:])
    assert {k: r.measurements for k, (u, r) in apart.units.items() if "context" not in u.label} == {
        k: r.measurements for k, (_, r) in whole.sink.units.items()
    }


def test_a_cancelled_run_goes_on(family_folders: Folders, task_folder: Path) -> None:
    """Broken off between what is ablated in one model."""
    asked = _study(family_folders, task_folder, "medical", domains=CHOICE)
    sink, unbroken = MemorySink(stop_after=4), MemorySink()
    with pytest.raises(Cancelled):
        runner.run(asked, sink, ONLY)
    sink.stop_after = None
    runner.run(asked, sink, ONLY)
    runner.run(asked, unbroken, ONLY)
    assert len(sink.saved) == len(set(sink.saved)) == len(unbroken.saved) == 8
    assert {k: r.measurements for k, (_, r) in sink.units.items()} == {
        k: r.measurements for k, (_, r) in unbroken.units.items()
    }


def _keys(folders: Folders, tasks: Path, **ablation: Any) -> dict[str, set[str]]:
    """The keys of the planned units, by step."""
    from core.engine.subject import open_subject

    asked = _study(folders, tasks, "medical", ablation=ablation)
    subject = open_subject(asked, ["tasks"])
    units: list[Unit] = registry.get("ablation").plan(subject, asked.parameters("ablation"))
    by_step: dict[str, set[str]] = {}
    for unit in units:
        by_step.setdefault(unit.options.get("step", "corrected"), set()).add(unit.key)
    return by_step


def test_a_ranking_hangs_on_nothing_but_how_it_is_made(
    family_folders: Folders, task_folder: Path
) -> None:
    plain = _keys(family_folders, task_folder)
    for changed in ({"controls": 4}, {"value": "mean"}, {"per_layer": True}):
        other = _keys(family_folders, task_folder, **changed)
        assert other["ranking"] == plain["ranking"]
        assert other["whole"] == plain["whole"]
        assert not other["silenced"] & plain["silenced"]
    of_scores: list[dict[str, Any]] = [{"score": "rate"}, {"share": 0.25}, {"heads": True}]
    for changed in of_scores:
        assert not _keys(family_folders, task_folder, **changed)["ranking"] & plain["ranking"]
    more = _keys(family_folders, task_folder, selections=[*SELECTIONS, "all-active", "top-1%"])
    assert more["silenced"] > plain["silenced"]
    assert len(more["silenced"]) == len(plain["silenced"]) * 3 // 2, "a name twice counts once"


def test_more_than_half_of_the_neurons_are_held_against_any_as_many(
    family_folders: Folders, task_folder: Path
) -> None:
    sink = MemorySink()
    asked = _study(
        family_folders, task_folder, "medical", domains=CHOICE,
        ablation={"selections": ["top-75%"], "per_layer": True},
    )  # fmt: skip
    runner.run(asked, sink, ONLY)
    assert {row.value for row in sink.rows("neurons", setting="top-75%")} == {NEURONS * 3 // 4}
    assert {row.value for row in sink.rows("neurons", setting="random-top-75%-seed5")} == {
        NEURONS * 3 // 4
    }
    tested = [row.value for metric in ("p_value", "q_value") for row in sink.rows(metric)]
    assert tested
    assert all(value is not None and 0 <= value <= 1 for value in tested)


def test_heads_take_the_place_of_neurons(family_folders: Folders, task_folder: Path) -> None:
    sink = MemorySink()
    asked = _study(
        family_folders, task_folder, "medical", domains={"general": ["tiny_text"]},
        ablation={"heads": True, "selections": ["top-25%"], "value": "mean"},
    )  # fmt: skip
    runner.run(asked, sink, ONLY)
    assert {row.value for row in sink.rows("neurons")} == {1}, "of 2 layers with 2 heads each"
    ranked = [r for u, r in sink.units.values() if u.options.get("step") == "ranking"]
    for result in ranked:
        arrays = result.arrays("ranking")
        assert (arrays["0.score"].shape, arrays["0.mean"].shape) == ((2,), (16,))
    assert len({row.value for row in sink.rows("ablated_score")}) > 2


PLANTED = """\
task: tiny_planted
dataset_path: json
dataset_kwargs: {data_files: {test: planted.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["green", "red"]
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""
PLACE = (1, 17)
"""Layer and number of the neuron that knows the answer."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model that says "red" for one neuron alone and "green" without it, and its task.

    Every token has the same large first coordinate, which wakes that neuron; "green" is nearer to
    it than "red" is, and the neuron writes the way from "green" to "red".
    """
    from core.demo import checkpoints, tokeniser
    from core.demo.recipe import Architecture

    folder = tmp_path_factory.mktemp("planted")
    tokenizer = tokeniser.make([" " + " ".join(WORDS)])
    size = Architecture(hidden=16, intermediate=24, layers=2, heads=2, key_value_heads=1)
    model = checkpoints.new(
        size, vocabulary=tokenizer.get_vocab_size(),
        separator=tokeniser.separator_id(tokenizer), seed=0,
    )  # fmt: skip
    red, green = (tokenizer.token_to_id(f"Ġ{word}") for word in ("red", "green"))
    with torch.no_grad():
        embedding, mlp = model.model.embed_tokens.weight, model.model.layers[PLACE[0]].mlp
        embedding[:, 0] = 1
        embedding[green, 0], embedding[green, 1], embedding[red, 2] = 1.5, 0.5, 0.5
        for projection in (mlp.gate_proj, mlp.up_proj):
            projection.weight[PLACE[1]] = 0
            projection.weight[PLACE[1], 0] = 1
        mlp.down_proj.weight[:, PLACE[1]] = 0
        mlp.down_proj.weight[1, PLACE[1]], mlp.down_proj.weight[2, PLACE[1]] = -2, 2
    (folder / "models").mkdir()
    base = folder / "models" / "base"
    base.mkdir()
    checkpoints.write(model, tokenizer, base)
    harness_zoo.write_tuned(base, folder / "models" / "copy", seed=1, size=1e-4)
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "planted.yaml").write_text(PLANTED)
    lines = [{"question": " ".join(np.roll(WORDS, i)[:5]), "answer": 1} for i in range(24)]
    (tasks / "planted.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "models", tasks


@pytest.mark.parametrize("score", ["attribution", "activation"])
def test_a_neuron_that_carries_the_answer_is_found_and_random_ones_are_not(
    planted: tuple[Path, Path], score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, tasks = planted
    chosen: list[Any] = []
    original = ablation.ablated

    def watched(neurons: Any, places: Any, means: Any = None) -> Any:
        chosen.append([units.tolist() for units in places])
        return original(neurons, places, means)

    monkeypatch.setattr(ablation, "ablated", watched)
    sink = MemorySink()
    asked = _study(
        {n: models / n for n in ("base", "copy")}, tasks, "copy",
        domains={"general": ["tiny_planted"]},
        ablation={"selections": ["top-1%"], "score": score, "controls": 3},
    )  # fmt: skip
    runner.run(asked, sink, ONLY)
    assert chosen[0] == [[], [PLACE[1]]]
    assert all(places[0] == [] and places[1] != [PLACE[1]] for places in chosen[1:4])
    drops = sink.rows("drop_percent", setting="top-1%")
    assert {(row.value, row.chance, row.n) for row in drops} == {(100, 0, 12)}
    assert {row.value for row in sink.rows("drop_percent") if "random" in row.setting} == {0}
    assert [row.value for row in sink.rows("p_value")] == [pytest.approx(1 / 51)] * 3
    assert {(row.value or 1) < 0.05 for row in sink.rows("q_value")} == {True}


def test_wrong_parameters_are_one_clear_error(
    family_folders: Folders, task_folder: Path, tmp_path: Path, probe: dict[str, Any]
) -> None:
    def run(**more: Any) -> str:
        with pytest.raises(StudyError) as raised:
            runner.run(_study(family_folders, task_folder, **more), MemorySink(), ONLY)
        return f"{raised.value.title} {raised.value.hint}"

    assert "'tiny_text' has 3 items, too few" in run(limit=3)
    no_probe = run(ablation={"chosen_on": "probe"})
    assert "analyses.ablation.chosen_on" in no_probe
    assert "[probe]" in no_probe
    on_probe = {"chosen_on": "probe"}
    assert "no scores" in run(
        ablation=on_probe, probe=probe, analyses={"activation": {"scores": False}}
    )
    same = {"task": "tiny_choice", "documents": 4}
    assert "chosen on the scored items" in run(ablation=on_probe, probe=same)
    second = {"medical": ["tiny_last_word", "tiny_choice"]}
    assert "chosen on the scored items" in run(ablation=on_probe, probe=same, domains=second)
    file = tmp_path / "study.toml"
    file.write_text(
        'name = "x"\n[models]\nbase = "b"\ntuned = { t = "t" }\n'
        '[analyses.ablation]\nselections = ["top-1"]\n'
    )
    with pytest.raises(StudyError, match=r"toml: analyses\.ablation\.selections\[0\]: 'top-1' is"):
        intake.read(file)


def test_intervals_are_paired_bootstraps_over_the_scored_items(watched: Watched) -> None:
    """The items of both sides are kept; the row's interval comes out of them."""
    from core.evaluation import scores

    sink, checked = watched.sink, 0
    for unit, result in sink.units.values():
        if unit.options.get("step") != "silenced":
            continue
        whole = scores.stored(sink.units[unit.requires[1]][1])
        after = next(a for a in result.artifacts if a.name == f"items.{unit.setting}")
        for metric, before in whole.items():
            if before.items is None or before.higher is None:
                continue
            after_items = scores._items(after.arrays, metric)
            assert after_items is not None
            drop = comparison.drop(
                before.items, after_items, higher_is_better=before.higher, resamples=50, seed=5
            )
            row = sink.value(
                "drop_percent", model=unit.model, reference=unit.reference, task=unit.task,
                setting=unit.setting, metric_of=metric,
            )  # fmt: skip
            assert (row.value, row.low, row.high) == (drop.value, drop.low, drop.high)
            assert row.n == harness_zoo.ITEMS // 2
            checked += 1
    assert checked > 10


def _behind(sink: MemorySink, view: str, coordinates: dict[str, str], setting: str) -> Any:
    """The figure of a view of what lies behind a drop, of this run's artifacts."""
    artifacts = [a for _, result in sink.units.values() for a in result.artifacts]

    def arrays(name: str, *, model: str = "", reference: str = "", task: str = "", **_: Any) -> Any:
        place = (name, model, reference, task)
        matching = (a.arrays for a in artifacts if (a.name, a.model, a.reference, a.task) == place)
        return next(matching, None)

    settings = [setting, *(ranking.control_name(setting, seed) for seed in range(10))]
    choice = Choice(measure="drop_percent", setting=setting, **coordinates)  # type: ignore[arg-type]
    catalogue = Catalogue(ranges={"setting": tuple(settings)})
    asked = Tabulation(choice=choice, catalogue=catalogue, rows=(), arrays=arrays)
    made = next(v for v in registry.get("ablation").views if v.key == view).tabulate
    assert made is not None
    return made(asked)


def test_behind_a_drop_are_its_controls_its_neurons_and_the_items_that_broke(
    watched: Watched,
) -> None:
    sink, tested = watched.sink, 0
    rows = [row for _, result in sink.units.values() for row in result.measurements]
    drops = [r for r in rows if r.metric == "drop_percent" and ranking.is_selection(r.setting)]
    for row in drops:
        coordinates = {"model": row.model, "reference": row.reference, "task": row.task}
        figure = _behind(sink, "behind", {**coordinates, "metric_of": row.metric_of}, row.setting)
        if figure.is_empty:
            continue
        shown, layers = figure.blocks
        random = [r.value for r in rows if r.metric == "drop_percent" and r.metric_of
                  == row.metric_of and (r.model, r.reference, r.task) == tuple(coordinates.values())
                  and r.setting.startswith(f"random-{row.setting}-")]  # fmt: skip
        expected = [row.value, *random]
        if row.value is not None:
            assert [p.beside for p in shown.passages] == [f"drop {v:.3g} %" for v in expected]
        count = next(r.value for r in rows if r.metric == "neurons" and r.setting == row.setting
                     and (r.model, r.reference, r.task) == tuple(coordinates.values()))  # fmt: skip
        assert sum(int(p.beside.partition(" of ")[0]) for p in layers.passages) == count
        table = _behind(sink, "broken", {**coordinates, "metric_of": row.metric_of}, row.setting)
        whole, after = (
            next(a.arrays for _, result in sink.units.values() for a in result.artifacts
                 if (a.name, a.model, a.task, a.reference) == (name, row.model, row.task, source))
            for name, source in (("items", ""), (f"items.{row.setting}", row.reference))
        )  # fmt: skip
        total = f"{row.metric_of}|total"
        if any(column.name == "flip" for column in table.columns):
            lost = int(((whole[total] == 1) & (after[total] == 0)).sum())
            assert [record.flip for record in table.records].count("right → wrong") == lost
            assert f"{lost} items right → wrong" in shown.passages[0].text
            tested += 1
        assert len(table.rows) == len(whole[total])
    assert tested, "or nothing was tested"
