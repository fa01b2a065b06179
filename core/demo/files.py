"""The text files of a family: probe sets, evaluation tasks, the study file.

Owns their formats. Trains and measures nothing. Task files follow lm-evaluation-harness, over local
JSON lines, with `data_files` relative to the task file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.demo.claim import write_text
from core.demo.corpora import DOMAINS, GENERAL, Corpus

STUDY = "study.toml"
VECTORS = ("medical", "maths")
OWN = 40
"""The most documents of a domain's own probe set."""

_CHOICE = """\
task: demo_{domain}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {domain}_items.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
num_fewshot: 0
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""

_ROLLING = """\
task: demo_{domain}_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {domain}_text.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
    aggregation: bits_per_byte
    higher_is_better: false
metadata: {{version: 1.0}}
"""


def write(folder: Path, corpora: Mapping[str, Corpus]) -> None:
    """Write every missing text file; existing ones stay unchanged."""
    for path, text in contents(corpora).items():
        if not (folder / path).exists():
            write_text(folder / path, text)


def contents(corpora: Mapping[str, Corpus]) -> dict[str, str]:
    """Relative path and text of every file; the study file last."""
    content_of: dict[str, str] = {}
    for name, corpus in corpora.items():
        texts = _lines({"text": document.text} for document in corpus.held_out)
        content_of[f"probe/{name}.jsonl"] = texts
        content_of[f"tasks/{name}_text.jsonl"] = texts
        content_of[f"tasks/{name}_text.yaml"] = _ROLLING.format(domain=name)
    for domain in DOMAINS:
        content_of[f"tasks/{domain}_items.jsonl"] = _lines(
            {"prompt": item.prompt, "choices": list(item.choices), "answer": item.answer}
            for item in corpora[domain].items
        )
        content_of[f"tasks/{domain}.yaml"] = _CHOICE.format(domain=domain)
    content_of[STUDY] = study(len(corpora[GENERAL].held_out))
    return content_of


def study(documents: int) -> str:
    """The study file: all four tuned models, probe sets and tasks by domain, arithmetic."""
    tuned = "\n".join(f'{domain} = "models/{domain}"' for domain in DOMAINS)
    tasks = "\n".join(f'{domain} = ["demo_{domain}", "demo_{domain}_text"]' for domain in DOMAINS)
    vectors = ", ".join(f'"{name}"' for name in VECTORS)
    probes = "".join(
        f'[probes.{name}]\nfile = "probe/{name}.jsonl"\ndocuments = {min(documents, OWN)}\n'
        "max_tokens = 64\n\n"
        for name in DOMAINS
    )
    return f"""\
name = "demo"

[models]
base = "models/base"
[models.tuned]
{tuned}

[probe]
file = "probe/{GENERAL}.jsonl"
documents = {documents}
max_tokens = 64

{probes}[evaluation]
include = "tasks"
limit = 80
[evaluation.tasks]
{tasks}
{GENERAL} = ["demo_{GENERAL}_text"]

[analyses.arithmetic]
vectors = [{vectors}]
coefficients = [0.0, 0.25, 0.5, 0.75, 1.0]
"""


def _lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
