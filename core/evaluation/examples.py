"""The items of a task as texts: prompt and right answer, as the task writes them.

Owns the choice of the right answer. Knows no model; a tokeniser only for its chat template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from core.errors import TaskError, TauscopeError, reason
from core.evaluation import harness, sandbox
from core.evaluation.items import stated
from core.evaluation.tasks import Task, open_tasks
from core.study.study import Evaluation
from core.texts import templates


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its right answer; a running text is all answer.

    `kind` names the scoring: likelihood of the answer, likelihood of a running text, or generation
    after the prompt with the settings `options`.
    """

    context: str
    continuation: str
    kind: Literal["answer", "text", "generated"] = "answer"
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)


def examples(task: Task, indices: Iterable[int], *, tokenizer: Any = None) -> list[Example]:
    """The items with these indices, in this order, with the task's few-shot and chat settings.

    `tokenizer` applies the chat template, if the task is asked as a chat. Raises TaskError if an
    item has no identifiable right answer.
    """
    asked = list(indices)
    chosen = sorted(set(asked))
    if not chosen:
        return []
    for index in (chosen[0], chosen[-1]):
        task.document(index)
    with harness.quiet(), harness.seeded(task.seed):
        try:
            with sandbox.templates_of(task.name):
                requests = _requests(task, chosen, tokenizer)
                by_index = {i: _gold(task, task.document(i), requests[i]) for i in chosen}
        except TauscopeError:
            raise
        # Code and templates of tasks may raise anything.
        except Exception as error:
            raise TaskError(
                f"The items of the task '{task.name}' can't be written out: {reason(error)}"
            ) from error
    return [by_index[index] for index in asked]


def documents(
    name: str, *, include: str | None = None, limit: int | None = None, trusted: bool = False
) -> list[str]:
    """The items of a task as whole texts, without few-shot examples; at most `limit`.

    The items of a group follow task by task. `trusted`: code of task files may run. Raises
    TaskError as `open_tasks` does.
    """
    evaluation = Evaluation(
        tasks={"probe": (name,)}, include=include, limit=limit, fewshot=0, trust_task_code=trusted
    )
    texts = (
        example.context + example.continuation
        for task in open_tasks(evaluation, seed=0)
        for example in examples(task, range(task.items))
    )
    return [text for text, _ in zip(texts, range(limit), strict=False)] if limit else list(texts)


def after(task: Task, document: Mapping[str, Any], prompt: str) -> str:
    """The right answer of an item to be generated, as it follows its prompt."""
    handle = task.handle
    target = handle.doc_to_target(document)
    target = target[0] if isinstance(target, list) and target else target
    if isinstance(target, int) and handle.config.doc_to_choice is not None:
        target = handle.doc_to_choice(document)[target]
    if handle.config.gen_prefix:  # it ends the prompt, as in the harness's few-shot examples
        begun = prompt[-1:].isspace() or str(target)[:1].isspace()
        return f"{'' if begun else ' '}{target}"
    # A chat template ends the prompt itself.
    return f"{'' if task.chat_template else handle.config.target_delimiter}{target}"


def _requests(task: Task, chosen: list[int], tokenizer: Any) -> dict[int, list[Any]]:
    """The harness's requests to a model, by item."""
    template = partial(templates.chat, tokenizer) if task.chat_template else None
    task.handle.set_fewshot_seed(seed=task.seed)
    task.handle.build_all_requests(
        samples=chosen,
        apply_chat_template=task.chat_template,
        fewshot_as_multiturn=task.chat_template,
        chat_template=template,
    )
    by_document: dict[int, list[Any]] = {}
    for instance in task.handle.instances:
        by_document.setdefault(chosen[instance.doc_id], []).append(instance)
    return by_document


def _gold(task: Task, document: Mapping[str, Any], requests: Sequence[Any]) -> Example:
    write: Callable[..., Example] = _OF_TYPE.get(task.output_type, _of_likelihood)
    return write(task, document, requests)


def _of_text(_: Task, __: Mapping[str, Any], requests: Sequence[Any]) -> Example:
    return Example("", str(requests[0].args[0]), "text")


def _of_choices(task: Task, document: Mapping[str, Any], requests: Sequence[Any]) -> Example:
    handle = task.handle
    right = stated(handle, document)
    right = right[0] if isinstance(right, list) and right else right
    if isinstance(right, str):
        choices = handle.doc_to_choice(document)
        right = choices.index(right) if right in choices else None
    if not isinstance(right, int) or not 0 <= right < len(requests):
        raise TaskError(f"An item of the task '{task.name}' has no right answer among its choices.")
    return Example(*requests[right].args[:2])


def _of_likelihood(task: Task, document: Mapping[str, Any], requests: Sequence[Any]) -> Example:
    if len(requests) == 1:
        return Example(*requests[0].args[:2])
    right = document.get("gold")
    if not isinstance(right, int) or not 0 <= right < len(requests):
        raise TaskError(f"The task '{task.name}' does not say which answers are right.")
    return Example(*requests[right].args[:2])


def _of_generation(task: Task, document: Mapping[str, Any], requests: Sequence[Any]) -> Example:
    prompt, options = requests[0].args
    return Example(str(prompt), after(task, document, str(prompt)), "generated", options)


_OF_TYPE: Mapping[str, Callable[..., Example]] = {
    "loglikelihood_rolling": _of_text,
    "multiple_choice": _of_choices,
    "generate_until": _of_generation,
}
