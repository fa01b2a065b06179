"""Scores of a loaded model against the harness called by itself on that model."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.report import Row
from tests.benchmarks.workload import best

ITEMS, ROWS, RESAMPLES = 200, 16, 1000
_TASK = """\
task: benchmark_choice
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""


def rows(folder: Path) -> Iterator[Row]:
    """The row about evaluation: the same requests, once with intervals and items and once bare."""
    from core.evaluation import harness

    tasks = _written(folder / "scoring")
    model, tokenizer = _model()
    with harness.quiet(), contextlib.redirect_stderr(io.StringIO()):
        works = _asked(model, tokenizer, tasks), _bare(model, tokenizer, tasks)
        # In turns, so that whatever else the machine does disturbs both alike.
        taken = [[best(work, 1) for work in works] for _ in range(5)]
    ours, bare = map(min, zip(*taken, strict=True))
    yield Row(
        "evaluation over a bare harness call on the same loaded model", ours / bare, "≤", 1.1,
        f"{ours:.2f} s against {bare:.2f} s, {ITEMS} items of four choices",
    )  # fmt: skip


def _asked(model: Any, tokenizer: Any, folder: Path) -> Any:
    """What `core.analyses.evaluation` does with a loaded model and a task."""
    from core.evaluation import scores
    from core.evaluation.evaluator import Evaluator
    from core.evaluation.tasks import open_tasks
    from core.study.study import Evaluation

    evaluation = Evaluation(tasks={"all": ("benchmark_choice",)}, include=str(folder))
    (task,) = open_tasks(evaluation, seed=0)

    def work() -> None:
        results = Evaluator(model, tokenizer, batch_size=ROWS).evaluate(task)
        scores.rows(results, resamples=RESAMPLES, seed=0, model="base", task=task.name)
        scores.artifact(results, model="base", task=task.name)

    return work


def _bare(model: Any, tokenizer: Any, folder: Path) -> Any:
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM

    from core.evaluation.tasks import open_tasks
    from core.study.study import Evaluation

    evaluation = Evaluation(tasks={"all": ("benchmark_choice",)}, include=str(folder))
    (task,) = open_tasks(evaluation, seed=0)

    def work() -> None:
        wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=ROWS)
        evaluator.evaluate(wrapped, {"tasks": {task.name: task.handle}}, bootstrap_iters=0)

    return work


def _model() -> tuple[Any, Any]:
    """A Llama of a few million parameters, whose forward passes outweigh all else."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from core.demo import tokeniser

    made = tokeniser.make(["what is the red green blue house near "])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=tokeniser.SEPARATOR, eos_token=tokeniser.SEPARATOR
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=made.get_vocab_size(), hidden_size=256, intermediate_size=704,
        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), tokenizer


def _written(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "choice.yaml").write_text(_TASK)
    words = ("red", "green", "blue", "house")
    lines = [
        {
            "question": " ".join(
                ["what is the", *(words[(i + k) % 4] for k in range(24 + i % 72))]
            ),
            "choices": [f"{word} house near" for word in words],
            "answer": i % 4,
        }
        for i in range(ITEMS)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
