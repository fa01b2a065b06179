"""Prompts for the bench out of a run: the items of its tasks, and the documents of its probe sets.

Owns the choice and the number of listed prompts. Reads stored arrays and files of texts; computes
no score and knows no screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StudyError
from core.evaluation import answers
from core.evaluation.answers import CUT, LONGEST, Answer
from core.figures import items
from core.figures.item_tables import BASE, NOT_STORED, SHOWN, beginning
from core.figures.items import Arrays
from core.study.study import Probe, Study
from core.texts.documents import source
from core.texts.documents.fields import Document
from storage import runs

if TYPE_CHECKING:
    from storage.database import Database
    from storage.runs import StoredArtifact

MOST = 3_000
"""The most prompts listed, shared among the tasks or the probe sets."""
WORDS = 12
"""The first words of a document without a prompt, which serve as one."""
IS_CUT = "The run stored only a part of this text."


@dataclass(frozen=True, slots=True)
class Listed:
    """A prompt on offer. `name`: its task or probe set; `words`: its number, its results and its
    beginning; `prompt`: as `app.bench.prompts` reads it, with a `note` if its text is cut."""

    name: str
    words: str
    prompt: dict[str, str]


@dataclass(frozen=True, slots=True)
class Offered:
    """The listed prompts, and the number of all prompts."""

    listed: tuple[Listed, ...]
    total: int


def of_tasks(db: Database, run_id: str, tuned: Mapping[str, str]) -> Offered:
    """The items of a run's tasks with the results of the base and of the task's `tuned` model.

    Raises StudyError if the run stored no prompts, StorageError if its arrays are damaged.
    """
    stored = {
        (each.name, each.task, each.model): each
        for each in runs.artifacts(db, run_id, "evaluation")
    }
    asked: dict[str, StoredArtifact] = {}  # the base's prompts, or else another model's
    for (name, task, model), each in stored.items():
        if name == answers.PROMPTS and (task not in asked or model == BASE):
            asked[task] = each
    if not asked:
        raise _none(db, run_id, scored=bool(stored))
    listed: list[Listed] = []
    total = 0
    for task, prompts in asked.items():
        known = answers.stored(runs.arrays(db, prompts), None)
        sides = [stored.get(("items", task, name)) for name in (BASE, tuned.get(task)) if name]
        results = [runs.arrays(db, each) if each else None for each in sides]
        listed += of_task(task, list(known.values())[: _room(len(asked))], results)
        total += len(known)
    return Offered(tuple(listed), total)


def of_task(
    task: str, known: Sequence[Answer], results: Sequence[Arrays | None]
) -> Iterator[Listed]:
    """Items of a task; `results`: the arrays of results of the base and of another model."""
    right = [_right(each) for each in results]
    for each in known:
        marks = [side.get(each.index, "?") for side in right]
        shown = f"{' → '.join(marks)}  " if any(each.index in side for side in right) else ""
        prompt = uncut(each.scored)
        then = f" · {' '.join(prompt['continuation'].split())[:SHOWN]}" if each.prompt else ""
        yield Listed(task, f"{each.index:<3} {shown}{beginning(each)}{then}", prompt)


def of_probes(study: Study | None) -> Offered:
    """The documents of the study's probe sets that are built in or are files. A study without
    probe sets has the set `general`, as in the analyses.

    A document without a prompt gives its first words as one. Raises StudyError if there is no such
    set, ProbeError if a file can't be read.
    """
    asked = (study.probe_sets() if study is not None else {}) or {
        "general": Probe(builtin="general")
    }
    sets = {name: each for name, each in asked.items() if each.task is None}
    if not sets:
        raise StudyError("All probe sets of this study consist of tasks: choose items of tasks.")
    listed: list[Listed] = []
    total = 0
    for name, probe in sets.items():
        documents = _documents(probe)
        total += len(documents)
        for number, each in enumerate(documents[: _room(len(sets))], 1):
            listed.append(
                Listed(name, f"{number} {' '.join(each.text[:200].split())}", _parted(each))
            )
    return Offered(tuple(listed), total)


def _none(db: Database, run_id: str, *, scored: bool) -> StudyError:
    """Why there are no items."""
    if not run_id:
        return StudyError("This study has no run yet: only a run stores the items of tasks.")
    if scored:
        return StudyError("The run scored its tasks without their prompts.", hint=NOT_STORED)
    if "evaluation" in runs.find_run(db, run_id).analyses:
        return StudyError("The run has not scored a task yet.")
    return StudyError("The run has no items of tasks: it does not have the analysis 'evaluation'.")


def _room(count: int) -> int:
    return max(1, MOST // count)


def _right(arrays: Arrays | None) -> dict[int, str]:
    """Whether each item is right or wrong by the first metric that says it; `acc` comes before
    `acc_norm`."""
    names = {name.removesuffix("|index") for name in arrays or () if name.endswith("|index")}
    for metric in sorted(names):
        compared = items.compared(arrays, arrays, metric)
        if compared.binary:
            return {each.number: "right" if each.after else "wrong" for each in compared.items}
    return {}


def uncut(fields: Mapping[str, str]) -> dict[str, str]:
    """Fields without the marks of texts that the run stored in part; a note says so."""
    texts = {name: text.removeprefix(CUT).removesuffix(CUT) for name, text in fields.items()}
    return texts if texts == fields else texts | {"note": IS_CUT}


def _documents(probe: Probe) -> list[Document]:
    built_in = files("core.texts.builtin") / f"{probe.builtin}.jsonl"
    return source.read(Path(probe.file or str(built_in)), probe.documents)


def _parted(document: Document) -> dict[str, str]:
    """A document's prompt and text, or its first words and the rest; a long text is cut."""
    prompt, text = document.prompt, document.text
    if not prompt:
        match = re.match(rf"\s*(?:\S+\s+){{0,{WORDS - 1}}}\S+(?=\s)", text)
        prompt = match[0] if match else ""
        text = text[len(prompt) :]
    fields = {"prompt": prompt, "continuation": text[:LONGEST]}
    fields |= {} if prompt else {"alone": "document"}
    return fields if len(text) <= LONGEST else fields | {"note": "This document is cut."}
