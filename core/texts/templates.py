"""Chat templates of a study's models: the one in use, differing ones and missing ones.

Owns the comparison of templates, and tokenisers with a chosen template. Knows no task and no
harness. transformers renders a template in Jinja's sandbox.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from core import libraries
from core.errors import CheckpointError, StudyError, reason
from core.texts import encoding

_TURNS = (("user", "What is this?"), ("assistant", "A stone."), ("user", "And that?"))
_CONVERSATIONS = (_TURNS, (("system", "Answer briefly."), *_TURNS))
"""Short conversations for comparing templates of different wording."""

Open = Callable[[str], Any]
"""A function from a model's name to its own tokeniser; raises CheckpointError if it has none."""


def fingerprint(tokenizer: Any) -> str:
    """sha256 of a tokeniser's chat template; empty if it has none."""
    template = tokenizer.chat_template
    return hashlib.sha256(json.dumps(template).encode()).hexdigest() if template else ""


def with_own(shared: Any, name: str, open_own: Open) -> Any:
    """The study's tokeniser with this model's own chat template.

    A model without its own tokeniser, such as an adapter, keeps the study's template. Raises
    StudyError if the model's tokeniser has no template.
    """
    try:
        tokenizer = open_own(name)
    except CheckpointError:
        tokenizer = shared
    refuse_none(tokenizer, name, own_template=True)
    made = copy.deepcopy(shared)
    made.chat_template = tokenizer.chat_template
    return made


def refuse_none(tokenizer: Any, name: str, *, own_template: bool = False) -> None:
    """Raise StudyError if a tokeniser has no chat template: the shared tokeniser, or with
    `own_template` the tokeniser of the model `name`."""
    if tokenizer.chat_template:
        return
    first = 'Set models.template = "base", and name' if own_template else "Name"
    raise StudyError(
        f"evaluation.chat_template: the tokeniser of {name} has no chat template.",
        hint=f"{first} a tokeniser that has one with models.tokenizer, or set "
        "evaluation.chat_template = false.",
    )


def chat(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    """Messages in a tokeniser's chat template. Without the prompt for an answer, the last message
    stays open. A template that refuses a system prompt gets none, with a warning. Raises
    ValueError, naming the chat template, if it fails."""
    try:
        return _chat(tokenizer, messages, add_generation_prompt)
    # A template is a program and may raise anything.
    except Exception as error:
        raise ValueError(f"the chat template fails: {reason(error)}") from error


def _chat(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    from jinja2 import TemplateError

    def written(given: list[dict[str, str]]) -> str:
        return str(
            tokenizer.apply_chat_template(
                given, tokenize=False, add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )  # fmt: skip

    try:
        return written(messages)
    except TemplateError:
        bare = [message for message in messages if message["role"] != "system"]
        if len(bare) == len(messages):
            raise
    text = written(bare)
    libraries.tell(
        "its chat template accepts no system prompt: items are asked without the task's "
        "description."
    )
    return text


def doubts(
    shared: Any, whose: str, names: tuple[str, ...], open_own: Open, *, own_templates: bool
) -> list[tuple[str, str]]:
    """Notes on the template in use, and on each model's differences from it.

    `own_templates`: each model uses its own template; then a note names templates that the study's
    tokeniser splits differently from the model's own.
    """
    notes = [("evaluation", _whose(whose, own_templates=own_templates))]
    for name in names:
        try:
            theirs = open_own(name)
        except CheckpointError:
            continue  # it has no tokeniser, so nothing differs
        if own_templates:
            differ = _splits_otherwise(shared, theirs)
            words = "the study's tokeniser splits its chat template into other tokens than its own"
        else:
            differ = bool(theirs.chat_template) and _differs(shared, theirs)
            words = (
                f"has another chat template than {whose}, but is asked in {whose}'s; "
                'models.template = "own" asks each model in its own'
            )
        if differ:
            notes.append((name, f"{words}."))
    return notes


def _whose(whose: str, *, own_templates: bool) -> str:
    if own_templates:
        return "each model is asked as a chat in its own template (models.template)."
    return f"every model is asked as a chat in the template of {whose} (models.template)."


def _differs(first: Any, second: Any) -> bool:
    """Do two templates of different wording render the same conversations differently?"""
    if fingerprint(first) == fingerprint(second):
        return False
    return any(_written(first, c) != _written(second, c) for c in _CONVERSATIONS)


def _splits_otherwise(shared: Any, tokenizer: Any) -> bool:
    words = _written(tokenizer, _TURNS)
    if words is None:
        return False
    return encoding.ids(shared, words) != encoding.ids(tokenizer, words)


def _written(tokenizer: Any, turns: tuple[tuple[str, str], ...]) -> str | None:
    """A conversation in a tokeniser's template; None if the template refuses it."""
    messages: list[Mapping[str, str]] = [{"role": r, "content": words} for r, words in turns]
    try:
        return str(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )
    # A template is a program and may raise anything.
    except Exception:
        return None
