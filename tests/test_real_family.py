"""A real family of models and texts, where one lies beside the checkout: the known facts of it.

TAUSCOPE_REAL_STUDY names the study file of such a family. Skipped where there is none.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.cli.main import run_command
from core.engine import runner
from core.evaluation.evaluator import Evaluator
from core.evaluation.tasks import open_tasks
from core.statistics import comparison
from core.study import intake
from tests.conftest import WEIGHTS, MemorySink

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "real" / "study.toml"
STUDY = Path(os.environ.get("TAUSCOPE_REAL_STUDY", _BESIDE))

pytestmark = pytest.mark.skipif(not STUDY.is_file(), reason=f"there is no study file {STUDY}")


@pytest.fixture(scope="module")
def measured() -> MemorySink:
    sink = MemorySink()
    runner.run(intake.read(STUDY), sink, WEIGHTS)
    return sink


def test_a_model_shares_most_with_the_one_it_was_tuned_from(measured: MemorySink) -> None:
    rows = measured.rows("cosine", layer=None, module="all", setting="")
    best = max(rows, key=lambda row: row.value or 0)
    assert {best.model, best.reference} == {"medical", "medical-qa"}
    assert (best.value or 0) > 0.8
    others = [
        row.value or 0 for row in rows if {row.model, row.reference} != {"medical", "medical-qa"}
    ]
    assert max(others) < 0.5


def test_more_of_the_same_text_moves_a_model_least(measured: MemorySink) -> None:
    rows = measured.rows("relative_norm", layer=None, module="all")
    assert min(rows, key=lambda row: row.value or 0).model == "control"


def test_updates_of_attention_keep_to_the_base_more_than_those_of_the_mlp(
    measured: MemorySink,
) -> None:
    for model in ("medical", "maths", "instruct", "code"):
        attention, mlp = (
            measured.value("two_sided_excess", model=model, layer=None, module=module)
            for module in ("attention", "mlp")
        )
        assert (attention.low or 0) > (mlp.high or 0)


def test_float32_weights_are_not_dominated_by_rounding(measured: MemorySink) -> None:
    shares = [row.value for row in measured.rows("rounding_share", module="all")]
    assert shares
    assert all(share is not None and share < 1e-6 for share in shares)


def test_medical_tuning_pays_on_medical_text_and_costs_on_stories() -> None:
    transformers = pytest.importorskip("transformers")
    study = intake.read(STUDY)
    assert study.evaluation is not None
    tasks = open_tasks(study.evaluation.model_copy(update={"limit": 20}), seed=0)
    asked = [task for task in tasks if task.name in ("real_medical_text", "real_stories_text")]
    bits = []
    for model in (study.models.base, study.models.tuned["medical"]):
        loaded = transformers.AutoModelForCausalLM.from_pretrained(model.path)
        tokenizer = transformers.AutoTokenizer.from_pretrained(model.path)
        evaluator = Evaluator(loaded, tokenizer)
        bits.append([evaluator.evaluate(task)[0].items for task in asked])
    medical, stories = (
        comparison.drop(before, after, higher_is_better=False, resamples=500, seed=0)
        for before, after in zip(*bits, strict=True)
        if before is not None and after is not None
    )
    assert (medical.high or 0) < -30
    assert (stories.low or 0) > 50


@pytest.fixture(scope="module")
def patterns() -> MemorySink:
    wanted = intake.read(STUDY)
    assert wanted.probe is not None
    few = wanted.model_copy(update={"probe": wanted.probe.model_copy(update={"documents": 20})})
    sink = MemorySink()
    runner.run(few, sink, ["edit_distance"])
    return sink


def test_more_of_the_same_text_keeps_most_of_the_patterns(patterns: MemorySink) -> None:
    rows = patterns.rows("ratio", layer=None)
    assert min(rows, key=lambda row: row.value or 0).model == "control"


def test_patterns_lie_nearer_than_those_of_unlike_documents(patterns: MemorySink) -> None:
    for row in patterns.rows("hamming", layer=None):
        assert (row.value or 0) < (row.chance or 0)


def test_tuning_hardly_changes_how_many_neurons_are_active(patterns: MemorySink) -> None:
    base = patterns.value("activated_percent", model="base", layer=None).value
    for row in patterns.rows("activated_percent", layer=None):
        assert row.value == pytest.approx(base, abs=4)


def test_inspect_tells_who_was_tuned_from_whom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = STUDY.parent / "models"
    names = ("base", "medical", "medical-qa", "maths")
    asked = ["inspect", *(str(models / name) for name in names), "--db", str(tmp_path / "x.db")]
    assert run_command(asked) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "medical: the alignment of" in text
    assert "Nearest is medical-qa, cosine +0.9" in text
    assert "medical: attention keeps to the base's directions" in text
