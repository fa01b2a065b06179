"""The bench's numbers against the analyses' numbers, merged models and adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as hf

from core.bench.messages import Generate, Prompt, Score, Scored, Written
from core.engine import runner
from core.errors import RunError, StudyError
from core.texts.encoding import Alone
from core.vectors import arithmetic, merging
from tests.conftest import MemorySink
from tests.core import zoo
from tests.core.bench.tried import (
    IDS,
    PROMPT,
    START,
    asked,
    close,
    logs,
    of,
    opened,
    said,
    scored,
)  # fmt: skip


@pytest.mark.parametrize(("special", "alone"), [(True, "item"), (False, "document")])
def test_scores_are_those_of_divergence(tmp_path: Path, special: bool, alone: Alone) -> None:
    zoo.build("gemma2", tmp_path)
    text = "neurons at"
    with opened(tmp_path, "tuned0", special=special) as bench:
        (tmp_path / "probe.txt").write_text(text)
        sink = MemorySink()
        runner.run(bench.subject.study, sink, ["divergence"])
        events = of(Scored, asked(bench, Score(
            prompt=Prompt(text="", alone=alone), continuation=text, columns=("base", "tuned0")
        )))  # fmt: skip
    (tuned,) = (event for event in events if event.column == 1)
    coordinates = {"model": "tuned0", "reference": "base"}
    close(sum(tuned.kl) / len(tuned.kl), sink.value("kl", **coordinates).value)
    close(tuned.nll, sink.value("nll", **coordinates).value)
    close(tuned.nll_change, sink.value("nll_change", **coordinates).value)


@pytest.mark.parametrize("special", [True, False])
def test_scores_are_those_of_evaluation(tmp_path: Path, special: bool) -> None:
    from lm_eval.api.instance import Instance

    from core.evaluation.language_model import LanguageModel

    _, tuned = zoo.build("llama", tmp_path)
    with opened(tmp_path, "tuned0", special=special) as bench:
        tokenizer = bench.subject.tokenizer()
        tokenizer.pad_token = "<pad>"
        harness = LanguageModel(tuned.eval(), tokenizer, 1)

        def score(prompt: Prompt) -> float:
            asking = Score(prompt=prompt, continuation="one", columns=("tuned0",))
            (scored,) = of(Scored, asked(bench, asking))
            return float(sum(scored.logprobs))

        for prompt in ("the first ", ""):  # the space at the end belongs to the answer
            item = Instance("loglikelihood", {}, (prompt, "one"), 0)
            close(score(Prompt(text=prompt)), harness.loglikelihood([item])[0][0])
        running = Instance("loglikelihood_rolling", {}, ("one",), 0)
        whole = harness.loglikelihood_rolling([running])[0]
        close(score(Prompt(text="", alone="text")), whole)
        assert (whole == pytest.approx(score(Prompt(text="")))) is not special


@pytest.mark.parametrize("text", ["tuned0=0.7,tuned1=-0.4", "dare(density=0.5,seed=1):tuned0=1"])
def test_a_mix_is_the_merged_model(tmp_path: Path, text: str) -> None:
    zoo.build("qwen3_moe", tmp_path, models=2, dtype=torch.bfloat16)
    with opened(tmp_path) as bench:
        (result,) = scored(bench, f"{text} @ mlp")
        point = arithmetic.parse(text, ("tuned0", "tuned1"))
        part = arithmetic.restrict("mlp")
        merging.merge(bench.subject.family, point, tmp_path / "merged", restriction=part)
    merged = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.bfloat16)
    close(result.logprobs, said(logs(merged)))


def test_a_column_ends_at_the_end_token_of_its_own_model(tmp_path: Path) -> None:
    """An instruct model ends a turn by a token that its base has no use for."""
    base, tuned = zoo.build("phi3", tmp_path)
    ids = torch.tensor([IDS[:START]])
    greedy = {"do_sample": False, "max_new_tokens": 6, "attention_mask": torch.ones_like(ids)}
    whole = tuned.generate(ids, **greedy)[0, START:].tolist()
    end = next(token for place, token in enumerate(whole) if token not in whole[: max(2, place)])
    tuned.generation_config.eos_token_id = [2, end]
    tuned.generation_config.save_pretrained(tmp_path / "tuned0")
    with opened(tmp_path, "tuned0") as bench:
        names = ("base", "tuned0", "tuned0=0.999", "steer(tuned0,layer=0):0")
        asking = Generate(prompt=PROMPT, columns=names, tokens=6)
        written = {event.column: event for event in of(Written, asked(bench, asking))}
    for model, columns in ((base, (0, 3)), (tuned, (1, 2))):
        theirs = model.generate(ids, **greedy)[0, START:].tolist()
        ended = theirs[-1] in (2, end) if model is tuned else theirs[-1] == 2
        for column in columns:
            assert written[column].tokens == len(theirs) - ended
            assert written[column].ended == ("end" if ended else "length")
    assert written[1].tokens == whole.index(end)


@pytest.mark.parametrize("tokens", [34, 43])
def test_another_vocabulary_is_compared_where_it_is_common(tmp_path: Path, tokens: int) -> None:
    base, tuned = zoo.build("llama", tmp_path)
    tuned.resize_token_embeddings(tokens, mean_resizing=False)
    tuned.save_pretrained(tmp_path / "tuned0")
    common = min(40, tokens)
    log_probs, other = (torch.log_softmax(logs(m)[:, :common], 1) for m in (tuned, base))
    with opened(tmp_path, "tuned0") as bench:
        _, result = scored(bench, "base", "tuned0")
        close(result.logprobs, said(log_probs))
        close(result.kl, (log_probs.exp() * (log_probs - other)).sum(1))
        last = Score(prompt=PROMPT, continuation="7", columns=("tuned0",))  # token 38
        if tokens > 38:
            assert asked(bench, last)
        else:
            with pytest.raises(StudyError, match="has 34 tokens, so it lacks the token 38"):
                asked(bench, last)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft
def test_an_adapter_is_a_column(tmp_path: Path) -> None:
    (base,) = zoo.build("llama", tmp_path, models=0)
    torch.manual_seed(1)
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    wrapped = peft.get_peft_model(base, lora)
    wrapped.save_pretrained(tmp_path / "tuned0")
    with opened(tmp_path, "tuned0") as bench:
        (result,) = scored(bench, "tuned0")
    close(result.logprobs, said(logs(wrapped)), rtol=1e-3, atol=1e-4)


def test_weights_that_are_not_finite_end_in_words(tmp_path: Path) -> None:
    base, tuned = zoo.build("llama", tmp_path)
    tuned.model.layers[0].mlp.up_proj.weight.data[0, 0] = torch.nan
    tuned.save_pretrained(tmp_path / "tuned0")
    with opened(tmp_path, "tuned0") as bench:
        with pytest.raises(RunError, match="not finite"):
            scored(bench, "base", "tuned0=0.5")
        (result,) = scored(bench, "base")
    close(result.logprobs, said(logs(base)))


def test_a_lack_of_memory_ends_in_words_and_leaves_the_bench_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _ = zoo.build("llama", tmp_path)
    with opened(tmp_path, "tuned0") as bench:
        with monkeypatch.context() as patched:

            def lacking(*_: Any, **__: Any) -> Any:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

            patched.setattr(bench._passes, "forward", lacking)
            with pytest.raises(RunError, match="Memory is too small"):
                scored(bench, "tuned0")
        (result,) = scored(bench, "base")
    close(result.logprobs, said(logs(base)))
