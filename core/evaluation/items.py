"""Checks of a task's items before a model runs: missing answers, fields and examples.

Owns the faults that make an item unusable, and the errors that name the item. The harness would
count an answer outside of the choices as wrong, write `None` for a null field, or fail without
naming the item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import TaskError

if TYPE_CHECKING:
    from core.evaluation.tasks import Task

_WRITERS = ("doc_to_text", "doc_to_choice", "doc_to_target")
"""Keys of the templates of an item, in a task file and in the harness."""


def refuse_unfit(task: Task, documents: Sequence[Mapping[str, Any]]) -> None:
    """Raise TaskError for the first unusable item, by its index from 0, and if there are fewer
    few-shot examples than a prompt needs."""
    _refuse_few_examples(task)
    used = {writer: _fields(task.handle, writer) for writer in _WRITERS}
    for index in range(task.items):
        _refuse_null(task, index, documents[index], used)
        if task.output_type == "multiple_choice":
            _refuse_no_choice(task, index, documents[index])


def _refuse_few_examples(task: Task) -> None:
    """Raise TaskError by the harness's rule, which draws one more if the item may be among them."""
    sampler = getattr(task.handle, "sampler", None)
    if sampler is None or not task.fewshot or type(sampler).__name__ != "ContextSampler":
        return
    there = len(sampler.fewshot_indices or sampler.df)
    config = task.handle.config
    split = task.handle.fewshot_cfg.split
    same_split = split == config.test_split
    if task.fewshot + same_split > there:
        least = f"{task.fewshot} and the item itself" if same_split else str(task.fewshot)
        raise TaskError(
            f"The prompts of the task '{task.name}' take {task.fewshot} few-shot examples, drawn "
            f"from {there} documents of the split '{split}': {least} are needed.",
            hint="Set evaluation.fewshot to fewer, or name a larger split with fewshot_split in "
            "the task file.",
        )


def _fields(handle: Any, writer: str) -> frozenset[str]:
    """The fields of a document that a template uses; empty for any other value."""
    from jinja2 import Environment, TemplateError, meta

    template = getattr(getattr(handle, "config", None), writer, None)
    if not isinstance(template, str):
        return frozenset()
    if template in (getattr(handle, "features", None) or ()):
        return frozenset((template,))
    try:
        return frozenset(meta.find_undeclared_variables(Environment().parse(template)))
    except TemplateError:
        return frozenset()


def _refuse_null(
    task: Task, index: int, document: Mapping[str, Any], used: Mapping[str, frozenset[str]]
) -> None:
    for writer, fields in used.items():
        for field in sorted(name for name in fields if document.get(name, "") is None):
            if _shows_none(task.handle, writer, document, field):
                raise TaskError(
                    f"Item {index} (from 0) of the task '{task.name}' has null as its '{field}', "
                    f"which {writer} uses.",
                    hint="Fill the field, or leave the item out of the data.",
                )


def _shows_none(handle: Any, writer: str, document: Mapping[str, Any], field: str) -> bool:
    """Does a null appear in the text? A template may test for a field's presence."""
    write = getattr(handle, writer)
    try:
        written = str(write(document)).count("None")
    except Exception:
        return True
    try:
        return written > str(write({**document, field: ""})).count("None")
    except Exception:
        return written > 0


def stated(handle: Any, document: Mapping[str, Any]) -> Any:
    """The right choices of an item in the form of its task: an index, a text, or a list of them.
    Tasks whose choices are prompts, such as Winogrande, state them as their text."""
    several = getattr(handle, "multiple_input", 0)
    return handle.doc_to_text(document) if several else handle.doc_to_target(document)


def right_choices(handle: Any, document: Mapping[str, Any]) -> frozenset[int]:
    """The indices of the right choices of an item. A text is the first choice with these words."""
    right, choices = stated(handle, document), handle.doc_to_choice(document)
    answers = right if isinstance(right, list) else [right]
    return frozenset(choices.index(a) if isinstance(a, str) else int(a) for a in answers)


def _refuse_no_choice(task: Task, index: int, document: Mapping[str, Any]) -> None:
    try:
        choices, right = task.handle.doc_to_choice(document), stated(task.handle, document)
    except Exception:
        return  # the harness fails there too, and its error is reported
    answers = right if isinstance(right, list) else [right]
    if answers and all(_is_choice(answer, choices) for answer in answers):
        return
    raise TaskError(
        f"Item {index} (from 0) of the task '{task.name}' has {len(choices)} choices, and its "
        f"answer is {right!r:.60}, which is not one of them.",
        hint="An answer is a choice's index, from 0, or its text: correct the item, or leave it "
        "out of the data.",
    )


def _is_choice(answer: Any, choices: Sequence[Any]) -> bool:
    return answer in choices if isinstance(answer, str) else 0 <= answer < len(choices)
