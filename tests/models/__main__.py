"""Examine tiny models of all types, or of those named: what does tauscope make of them?

    python -m tests.models [TYPE…] [--jobs N] [--write docs/models.md]

Owns the table. Each type is examined in a process of its own, with limits on memory and time.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers

from tests.models import configs, examination, families
from tests.models.examination import Row, Verdict
from tests.models.isolation import isolated

SECONDS, GIGABYTES = 180, 10

INTRODUCTION = """# Model types

`make models` wrote this table. For every model type that transformers {version} generates text with
it makes a tiny random base and a tuned copy of it, lets tauscope compare the two, and holds the
results against a computation in float64 on the weights as transformers loads them.

- **weights**: the relative norm and the number of parameters, over all and by layer, and the
  alignment of one attention output by head.
- **study**: the share of activated neurons in each layer, for the base and the tuned model, and the
  logits with all neurons ablated, which have to be those of zeroed down projections.
- **merge**: the merged model at coefficient 1 equals the tuned model in every tensor, and at 0 the
  base.
- **role**: the share of the layers' parameters that have a finer role than `other`.

A type with a note in the place of a verdict is refused or wrong, and the note says which.
"""


def main() -> int:
    """Print the table; the exit code is 1 if any number is wrong."""
    wanted = _arguments()
    known = configs.entries()
    unknown = [name for name in wanted.types if name not in known]
    if unknown:
        print(f"There is no model type {', '.join(unknown)}.", file=sys.stderr)
        return 2
    rows = []
    for row in examined(wanted.types or list(known), wanted.jobs):
        print(line(row), flush=True)
        rows.append(row)
    print(totals(rows))
    if wanted.write is not None:
        wanted.write.write_text(document(rows), encoding="utf-8")
    return int(any(v.note.startswith("wrong") for row in rows for v in _verdicts(row)))


def examined(names: Sequence[str], jobs: int) -> Iterator[Row]:
    """The row of each type, in the order given."""
    _quieten()
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(_row, names)


def _row(name: str) -> Row:
    outcome = isolated(_examine, name, seconds=SECONDS, gigabytes=GIGABYTES)
    if outcome.failure:
        return Row(name, weights=Verdict(False, f"not made: {outcome.failure}"))
    row: Row = outcome.value
    return row


def _examine(name: str) -> Row:
    return examination.examine(families.family(name))


def line(row: Row) -> str:
    """A row for a terminal."""
    marks = "  ".join(f"{'ok' if v.good else '-':2}" for v in _verdicts(row))
    share = "" if row.share is None else f"{row.share:5.0%}"
    return f"{row.name:26} {marks}  {share:5} {row.seconds:5.1f} s  {note(row)}".rstrip()


def note(row: Row) -> str:
    """What is worth saying of a row; parts of the work with the same words share them."""
    by_words: dict[str, list[str]] = {}
    for title, verdict in zip(("weights", "study", "merge"), _verdicts(row), strict=True):
        if verdict.note:
            words = verdict.note.replace(f"{families.room()}{os.sep}", "")
            by_words.setdefault(words, []).append(title)
    return "; ".join(f"{', '.join(titles)}: {words}" for words, titles in by_words.items())


def totals(rows: Sequence[Row]) -> str:
    """How many types pass each part, of how many that could be made."""
    made = [row for row in rows if row.class_name]
    counts = {
        title: sum(_verdicts(row)[place].good for row in made)
        for place, title in enumerate(("weights", "study", "merge"))
    }
    wrong = sum(any(v.note.startswith("wrong") for v in _verdicts(row)) for row in made)
    counted = ", ".join(f"{title} {count}" for title, count in counts.items())
    return f"{len(made)} of {len(rows)} types made: {counted}; {wrong} with a wrong number."


def document(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = [
        INTRODUCTION.format(version=transformers.__version__),
        totals(rows),
        "",
        "| type | weights | study | merge | role | note |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        marks = " | ".join("yes" if v.good else "no" for v in _verdicts(row))
        share = "" if row.share is None else f"{row.share:.0%}"
        words = note(row).replace("|", "\\|")
        lines.append(f"| {row.name} | {marks} | {share} | {words} |")
    return "\n".join(lines) + "\n"


def _verdicts(row: Row) -> tuple[Verdict, Verdict, Verdict]:
    return row.weights, row.study, row.merge


def _quieten() -> None:
    """No remarks and no bars of transformers, in this process and in those forked from it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in ("llama4", "bamba"):  # what every model needs is imported once, not in each process
        importlib.import_module(f"transformers.models.{name}.modeling_{name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument("types", nargs="*", metavar="TYPE")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
