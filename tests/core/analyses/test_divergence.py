"""Divergence of predictions, from a study to its rows, against the models' own logits."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import transformers as hf

from core.engine import runner
from core.errors import Cancelled
from core.figures import output_texts
from core.models import loading
from core.outputs import readers
from core.study import study
from core.texts import encoding
from tests.conftest import MemorySink
from tests.core import zoo
from tests.core.analyses.probed import FURTHER, TEXTS, family, ids_of, log_probabilities, study_of

NAMES = (
    "llama", "qwen2", "phi3", "gemma2", "olmo2", "gpt2", "gpt_neox", "opt", "cohere", "granite",
)  # fmt: skip
"""Tied and untied heads, with a bias, a cap (gemma2), and scales of logits (cohere, granite)."""


SCALED = {
    "cohere": lambda: hf.CohereConfig(**zoo._COMMON, logit_scale=0.3),
    "granite": lambda: hf.GraniteConfig(**zoo._COMMON, logits_scaling=3.0),
}


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    family(tmp_path, "llama")
    return tmp_path


def _kl(p: list[torch.Tensor], q: list[torch.Tensor]) -> list[Any]:
    """KL(p ‖ q) at each token, by torch's own."""
    return [
        torch.nn.functional.kl_div(b, a, log_target=True, reduction="none").sum(1).numpy()
        for a, b in zip(p, q, strict=True)
    ]


def nll(p: list[torch.Tensor], documents: list[torch.Tensor]) -> list[Any]:
    return [
        -each.gather(1, ids[1:, None])[:, 0].numpy() for each, ids in zip(p, documents, strict=True)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_equals_brute_force(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scaled, make in SCALED.items():
        monkeypatch.setitem(zoo.CONFIGS, scaled, make)
    base, tuned = family(tmp_path, name)
    sink = MemorySink()
    runner.run(study_of(tmp_path, "tuned0"), sink, ["divergence"])
    documents = ids_of(tmp_path, TEXTS)
    b, t = log_probabilities(base, documents), log_probabilities(tuned, documents)
    wanted = {
        "kl": _kl(t, b),
        "reverse_kl": _kl(b, t),
        "nll": nll(t, documents),
        "nll_change": [x - y for x, y in zip(nll(t, documents), nll(b, documents), strict=True)],
        "top1_agreement": [
            (x.argmax(1) == y.argmax(1)).double().numpy() for x, y in zip(t, b, strict=True)
        ],
    }
    coordinates = {"model": "tuned0", "reference": "base"}
    assert np.concatenate(wanted["kl"]).mean() > 1e-4, "there is something to measure"
    for metric, values in wanted.items():
        row = sink.value(metric, **coordinates)
        assert row.value == pytest.approx(np.concatenate(values).mean(), rel=1e-3, abs=2e-6)
        assert row.low is not None
        assert row.high is not None
        assert row.value is not None
        assert row.low <= row.value <= row.high
        assert row.n == len(TEXTS)
        assert row.probe == "", "there is one probe set"
    assert sink.value("nll", model="base").value == pytest.approx(
        np.concatenate(nll(b, documents)).mean(), rel=1e-5
    )
    floor = sink.value("kl", **coordinates).chance
    assert floor is not None
    assert 0 <= floor < 1e-6, "rounding in float32"
    means = [values.mean() for values in wanted["nll_change"]]
    for metric, q in (("lower_quartile", 0.25), ("median", 0.5), ("upper_quartile", 0.75)):
        row = sink.value(metric, metric_of="nll_change", **coordinates)
        assert row.value == pytest.approx(np.quantile(means, q), rel=1e-3, abs=2e-6)


def test_of_documents_with_prompts_only_answers_count(tmp_path: Path) -> None:
    base, tuned = family(tmp_path, "llama")
    given = [("one more ", "of them"), ("is it ", "long"), ("", "and so on")]
    lines = (json.dumps({"prompt": prompt, "text": text}) for prompt, text in given)
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    probe = study.Probe(file=str(tmp_path / "prompts.jsonl"))
    sink = MemorySink()
    runner.run(study_of(tmp_path, "tuned0", probe=probe), sink, ["divergence"])
    tokenizer = loading.tokenizer(tmp_path / "base")
    pairs = [encoding.pair(tokenizer, *each) if each[0] else ([], tokenizer(each[1]).input_ids)
             for each in given]  # fmt: skip
    documents = [torch.tensor([*prompt, *answer]) for prompt, answer in pairs]
    starts = [max(1, len(prompt)) - 1 for prompt, _ in pairs]
    b, t = log_probabilities(base, documents), log_probabilities(tuned, documents)
    for metric, values in (("kl", _kl(t, b)), ("nll", nll(t, documents))):
        known = np.concatenate(
            [document_values[start:] for document_values, start in zip(values, starts, strict=True)]
        )
        row = sink.value(metric, model="tuned0", reference="base")
        assert row.value == pytest.approx(known.mean(), rel=1e-3, abs=2e-6)
        assert row.value != pytest.approx(np.concatenate(values).mean(), rel=1e-3)


def test_a_model_with_the_base_s_weights_is_no_distance_away(llama: Path) -> None:
    sink = MemorySink()
    runner.run(study_of(llama, "same"), sink, ["divergence"])
    for metric in ("kl", "reverse_kl", "nll_change"):
        assert sink.value(metric, model="same", reference="base").value == 0
    assert sink.value("top1_agreement", model="same", reference="base").value == 1


def test_the_interval_is_over_documents(llama: Path) -> None:
    sink = MemorySink()
    runner.run(study_of(llama, "tuned0"), sink, ["divergence"])
    row = sink.value("kl", model="tuned0")
    base, tuned = zoo.build("llama", llama / "again")
    documents = ids_of(llama, TEXTS)
    values = _kl(log_probabilities(tuned, documents), log_probabilities(base, documents))
    values = [each for each in values if len(each)]
    n, whole = len(values), np.concatenate(values).mean()
    without = [np.concatenate(values[:i] + values[i + 1 :]).mean() for i in range(n)]
    error = np.std(without) * (n - 1) ** 0.5
    low, high = scipy.stats.t.interval(0.95, n - 1, whole, error)
    assert (row.low, row.high) == pytest.approx((low, high), rel=0.01)


def test_intervals_over_few_documents_end_where_values_do() -> None:
    unit: Any = SimpleNamespace(
        model="tuned", reference="base", options={"documents": 2, "named": ""}
    )
    session: Any = SimpleNamespace(subject=SimpleNamespace(study=SimpleNamespace(run=study.Run())))
    reader = readers._Reader(unit, session, 1, resamples=10)
    reader.sums.counts[:] = 1
    names = ("kl", "reverse_kl", "nll", "top1_agreement", "nll_change")
    rows = {name: reader.mean(name, np.array([0.1, 0.9])) for name in names}
    assert [rows[name].low for name in names[:4]] == [0, 0, 0, 0]
    assert rows["top1_agreement"].high == 1 < rows["kl"].high  # type: ignore[operator]
    assert rows["nll_change"].low == pytest.approx(-4.58, abs=0.01)


def test_p_values_are_student_s_over_documents_and_corrected_together(llama: Path) -> None:
    code = study.Probe(builtin="code", documents=3, max_tokens=20)
    sink = MemorySink()
    runner.run(study_of(llama, "tuned0", "same", probes={"code": code}), sink, ["divergence"])
    documents = ids_of(llama, TEXTS)
    base, tuned = zoo.build("llama", llama / "again")
    before, after = (nll(log_probabilities(m, documents), documents) for m in (base, tuned))
    means = [float((b - a).mean()) for a, b in zip(before, after, strict=True)]
    counts = np.array([len(each) for each in before])
    shares = counts / counts.sum()
    error = np.sqrt(np.square(shares * (means - shares @ means)).sum() * 6 / 5)
    wanted = 2 * scipy.stats.t.sf(abs(shares @ means) / error, 5)
    coordinates = {"model": "tuned0", "probe": "probe"}
    assert sink.value("p_value", **coordinates).value == pytest.approx(wanted, rel=1e-2)
    assert sink.value("p_value", model="same", probe="code").value == 1
    tests = sink.rows("p_value")
    q_values = scipy.stats.false_discovery_control([row.value for row in tests])
    for row, q in zip(tests, q_values, strict=True):
        corrected = sink.value("q_value", model=row.model, probe=row.probe)
        assert corrected.value == pytest.approx(q)
        assert corrected.n == 4


def test_each_probe_set_is_its_own_and_one_more_leaves_the_others(llama: Path) -> None:
    further = study.Probe(file=str(llama / "further.txt"), documents=2)
    sink = MemorySink()
    asked = study_of(llama, "tuned0", probes={"further": further})
    runner.run(asked, sink, ["divergence"])
    base, tuned = zoo.build("llama", llama / "again")
    for name, texts in (("probe", TEXTS), ("further", FURTHER)):
        documents = ids_of(llama, texts)
        values = _kl(log_probabilities(tuned, documents), log_probabilities(base, documents))
        row = sink.value("kl", model="tuned0", probe=name)
        assert row.value == pytest.approx(np.concatenate(values).mean(), rel=1e-3)
        assert row.n == len(texts)
    before = list(sink.saved)
    more = {"further": further, "code": study.Probe(builtin="code", documents=1, max_tokens=9)}
    runner.run(study_of(llama, "tuned0", probes=more), sink, ["divergence"])
    assert len(sink.saved) == len(before) + 4, (
        "the new set's states, likelihoods, model, and the correction"
    )


def test_a_study_without_a_probe_set_reads_the_general_one(llama: Path) -> None:
    sink = MemorySink()
    asked = study_of(llama, "tuned0", probe=None)
    runner.run(asked, sink, ["divergence"])
    assert sink.value("kl", model="tuned0").n == 40
    assert any("built-in set 'general'" in words for _, words in sink.warnings)


def test_an_interrupted_run_goes_on(llama: Path) -> None:
    sink = MemorySink(stop_after=2)
    with pytest.raises(Cancelled):
        runner.run(study_of(llama, "tuned0"), sink, ["divergence"])
    sink.stop_after = None
    runner.run(study_of(llama, "tuned0"), sink, ["divergence"])
    whole = MemorySink()
    runner.run(study_of(llama, "tuned0"), whole, ["divergence"])
    assert sink.value("kl", model="tuned0") == whole.value("kl", model="tuned0")


def test_the_stored_text_has_the_values_and_likeliest_tokens_of_both(llama: Path) -> None:
    sink = MemorySink()
    runner.run(study_of(llama, "tuned0"), sink, ["divergence"])
    base, tuned = zoo.build("llama", llama / "again")
    documents = ids_of(llama, TEXTS)
    b, t = log_probabilities(base, documents), log_probabilities(tuned, documents)
    arrays = next(
        a.arrays for _, result in sink.units.values() for a in result.artifacts
        if a.name == output_texts.artifact("")
    )  # fmt: skip
    assert arrays["kl"] == pytest.approx(np.concatenate(_kl(t, b)), rel=2e-3, abs=2e-6)
    shown = arrays["token"][arrays["document"] == 2]
    letters = [str(arrays["vocabulary"][index])[-1] for index in shown]
    assert "".join(letters) == TEXTS[2][:13]
    row = int(np.flatnonzero((arrays["document"] == 2) & (arrays["place"] == 3))[0])
    for name, log_probs in (("own", t), ("base", b)):
        top = log_probs[2][2].topk(5)
        assert arrays[f"{name}_share"][row] == pytest.approx(top.values.exp().numpy(), rel=1e-3)
