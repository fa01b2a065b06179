"""Few-shot examples that reveal an item's own answer.

Owns the count of items that are among their own examples. Draws as the harness does; runs no model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.evaluation import harness
from core.evaluation.tasks import Task

LOOKED_AT = 200
"""Most items of a task to check, since drawing examples takes time."""


def doubts(tasks: Iterable[Task]) -> list[tuple[str, str]]:
    """A warning for each task with prompts that contain their own right answers."""
    notes = []
    for task in tasks:
        looked_at = min(task.items, LOOKED_AT)
        shown = own_examples(task, looked_at)
        if shown:
            words = (
                f"of {looked_at} items of the task '{task.name}', {shown} are among their own "
                f"{task.fewshot} examples, with the right answer: its scores are too high. Name "
                "another split with fewshot_split in the task file, or set evaluation.fewshot = 0."
            )
            notes.append(("evaluation", words))
    return notes


def own_examples(task: Task, items: int) -> int:
    """The number of the first `items` items that are among their own examples. A running text has
    no examples."""
    handle = task.handle
    sampler = getattr(handle, "sampler", None)
    if not task.fewshot or sampler is None or task.output_type == "loglikelihood_rolling":
        return 0
    with harness.quiet():
        handle.set_fewshot_seed(seed=task.seed)
        try:
            return sum(_drawn(handle, task, index) for index in range(items))
        # Too few examples, or a failing sampler of the task. The harness reports it when it runs
        # the task.
        except Exception:
            return 0


def _drawn(handle: Any, task: Task, index: int) -> bool:
    document = task.document(index)
    leaves_out = handle.fewshot_cfg.split == handle.config.test_split
    drawn = handle.sampler.sample(n=task.fewshot, eval_doc=document if leaves_out else None)
    return any(each == document for each in drawn)
