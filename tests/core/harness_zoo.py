"""Small task files of every kind, and a tiny language model that answers them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from core.demo import checkpoints, tokeniser
from core.demo.recipe import Architecture
from core.study.study import Evaluation, Study

WORDS = (
    "the", "red", "blue", "green", "house", "river", "stone", "is", "was", "near", "far", "and",
    "yes", "no", "maybe", "what", "where",
)  # fmt: skip
CHOICES = ["red", "blue stone", "green"]
ITEMS = 12

CHOICE = """\
task: tiny_choice
tag: tiny_tag
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl, train: items.jsonl}}
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: brier_score, aggregation: brier_score, higher_is_better: false}
metadata: {version: 1.0}
"""

TEXT = """\
task: tiny_text
tag: tiny_tag
dataset_path: json
dataset_kwargs: {data_files: {test: texts.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
metadata: {version: 1.0}
"""

GENERATION = """\
task: tiny_generation
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["."], max_gen_toks: 6, do_sample: false}
filter_list:
  - {name: whole, filter: [{function: take_first}]}
  - name: first-word
    filter:
      - {function: regex, regex_pattern: "([a-z]+)"}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: bleu, aggregation: bleu, higher_is_better: true}
metadata: {version: 1.0}
"""

LAST_WORD = """\
task: tiny_last_word
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: " {{choices[answer]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""

GROUP = """\
group: tiny_group
task: [tiny_choice, tiny_text]
aggregate_metric_list: [{metric: acc, weight_by_size: true}]
metadata: {version: 1.0}
"""

ALL = ("tiny_choice", "tiny_text", "tiny_generation", "tiny_last_word")


def write_tasks(folder: Path) -> Path:
    """A folder with one task file of each kind, a group, and their data."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "choice": CHOICE, "text": TEXT, "generation": GENERATION, "last_word": LAST_WORD,
        "group": GROUP,
    }  # fmt: skip
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    g = torch.Generator().manual_seed(0)
    write_lines(folder / "items.jsonl", (_item(i, g) for i in range(ITEMS)))
    write_lines(folder / "texts.jsonl", ({"text": _words(5 + 9 * i, g)} for i in range(ITEMS)))
    return folder


def write_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _item(i: int, g: torch.Generator) -> dict[str, Any]:
    return {"question": f"what is {_words(2 + i % 4, g)}", "choices": CHOICES, "answer": i % 3}


def _words(count: int, g: torch.Generator) -> str:
    drawn = torch.randint(len(WORDS), (count,), generator=g)
    return " ".join(WORDS[i] for i in drawn)


def evaluation(folder: Path, *names: str, **settings: Any) -> Evaluation:
    """A study's evaluation of these tasks, in one domain."""
    return Evaluation(tasks={"tiny": names}, include=str(folder), **settings)


def write_language_model(folder: Path, *, context: int = 48) -> Path:
    """A model directory of a random, sharply opinionated Llama that knows WORDS."""
    folder.mkdir(parents=True)
    tokenizer = tokeniser.make([" " + " ".join(WORDS) + " ."])
    size = Architecture(
        hidden=16, intermediate=24, layers=2, heads=2, key_value_heads=1, context=context
    )
    separator = tokeniser.separator_id(tokenizer)
    model = checkpoints.new(
        size, vocabulary=tokenizer.get_vocab_size(), separator=separator, seed=0
    )
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    checkpoints.write(model, tokenizer, folder)
    return folder


def write_tuned(base: Path, folder: Path, *, seed: int, size: float = 0.1) -> Path:
    """The same model with a random update of every weight; an exact copy with a size of 0."""
    shutil.copytree(base, folder)
    tensors = load_file(base / checkpoints.WEIGHTS)
    g = torch.Generator().manual_seed(seed)
    for tensor in tensors.values():
        tensor.add_(size * torch.randn(tensor.shape, generator=g))
    save_file(tensors, folder / checkpoints.WEIGHTS, metadata={"format": "pt"})
    return folder


DOMAINS = {"medical": ["tiny_choice"], "maths": ["tiny_last_word"], "general": ["tiny_text"]}


def study_of(
    base: Path,
    tuned: Mapping[str, Path],
    tasks: Path,
    *,
    domains: Mapping[str, Sequence[str]] = DOMAINS,
    analyses: Mapping[str, Any] | None = None,
    probe: Mapping[str, Any] | None = None,
    **evaluation: Any,
) -> Study:
    """A study of these models over task files, with few resamples."""
    settings = {"bootstrap": 50, "include": str(tasks), "tasks": dict(domains), **evaluation}
    return Study.model_validate(
        {
            "name": "scored",
            "models": {"base": str(base), "tuned": {n: str(p) for n, p in tuned.items()}},
            "evaluation": settings,
            "analyses": analyses or {},
            "probe": probe,
            "run": {"device": "cpu", "seed": 5},
        }
    )
