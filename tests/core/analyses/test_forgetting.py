"""Scores lost outside a model's own domains, beside its divergence, against the run's own rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.analyses.forgetting import ANALYSIS
from core.engine import runner
from core.figures.choices import default_choice
from core.figures.figure import Scatter
from core.figures.layout import figure
from core.figures.views import Catalogue
from tests.conftest import MemorySink
from tests.core import harness_zoo

LOWER = {"word_perplexity", "byte_perplexity", "bits_per_byte", "perplexity"}
ELSEWHERE = {
    "medical": ("tiny_last_word", "tiny_text"),
    "maths": ("tiny_choice", "tiny_text"),
    "copy": ("tiny_choice", "tiny_last_word", "tiny_text"),
}


@pytest.fixture(scope="module")
def sink(
    family_folders: dict[str, Path], task_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> MemorySink:
    texts = tmp_path_factory.mktemp("texts") / "probe.txt"
    texts.write_text("red stone\nblue stone green\ngreen red blue\n")
    study = harness_zoo.study_of(
        family_folders["base"],
        {name: family_folders[name] for name in ELSEWHERE},
        task_folder,
        probe={"file": str(texts)},
    )
    results = MemorySink()
    runner.run(study, results, ["divergence", "evaluation", "forgetting"])
    return results


@pytest.mark.parametrize("model", ELSEWHERE)
def test_a_loss_is_the_share_of_the_base_s_score_on_tasks_of_other_domains(
    sink: MemorySink, model: str
) -> None:
    lost = {row.task: row for row in sink.rows("score_lost", model=model)}
    assert tuple(sorted(lost)) == ELSEWHERE[model]
    for task, row in lost.items():
        base = sink.value(row.metric_of, model="base", task=task).value
        tuned = sink.value(row.metric_of, model=model, task=task).value
        assert base
        assert tuned is not None
        worse = tuned - base if row.metric_of in LOWER else base - tuned
        assert row.value == pytest.approx(worse / base)
        apart = sink.value("difference", model=model, task=task, metric_of=row.metric_of)
        assert apart.low is not None
        assert apart.high is not None
        ends = sorted([abs(apart.low / base), abs(apart.high / base)])
        assert row.low is not None
        assert row.high is not None
        assert sorted([abs(row.low), abs(row.high)]) == pytest.approx(ends)
        assert row.low <= row.high
    mean = sink.value("mean_lost", model=model)
    values = [row.value or 0.0 for row in lost.values()]
    assert mean.value == pytest.approx(sum(values) / len(values))
    assert mean.n == len(values)
    below = [((r.value or 0.0) - (r.low or 0.0)) ** 2 for r in lost.values()]
    assert mean.low == pytest.approx((mean.value or 0.0) - sum(below) ** 0.5 / len(below))
    if model == "copy":
        assert values == [0.0] * 3


def test_the_figure_holds_losses_against_the_divergence(sink: MemorySink) -> None:
    rows = [r for u, result in sink.units.values() if u.analysis == "forgetting"
            for r in result.measurements]  # fmt: skip
    for model in ELSEWHERE:
        moved = sink.rows("kl", model=model, reference="base")
        assert len({row.value for row in moved}) == 1
    catalogue = Catalogue(ranges={"model": tuple(ELSEWHERE)}, models=tuple(ELSEWHERE))
    (view,) = ANALYSIS.views
    made = figure(view, default_choice(view, catalogue), rows, catalogue, ANALYSIS.metrics[0])
    assert isinstance(made, Scatter)
    assert made.x_name == "KL on the probe set"
    places = {point.name: point.place for point in made.points}
    for model in ELSEWHERE:
        x, y = (sink.rows(m, model=model)[0].value for m in ("kl", "mean_lost"))
        assert places[model] == pytest.approx((x, y))
    assert "pairs of tuned models" in view.finding(made)
