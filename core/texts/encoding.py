"""Texts as token ids: the one way in which every model of a study is shown a text.

Owns which special tokens stand around a text, and where a prompt ends and its answer begins. Probe
sets, the neurons of a task's items and the scores of a task all go through here, so that neurons
are chosen on the ids that are scored. The ids are those that lm-evaluation-harness sends to a
model (its class HFLM). Loads no tokeniser: it is handed one of transformers. Knows no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

Pair = tuple[list[int], list[int]]
"""What a model is given, and what it should go on with."""


def ids(tokenizer: Any, text: str, *, special: bool | None = None) -> list[int]:
    """The ids of a text, with the special tokens that the tokeniser puts around one.

    A text that begins with the beginning token's own text, as chat templates write it, gets no
    special tokens: the model would see that token twice. `special` decides it instead.
    """
    if special is None and _has_beginning(tokenizer, text):
        special = False
    given = {} if special is None else {"add_special_tokens": special}
    found: list[int] = tokenizer(text, verbose=False, **given)["input_ids"]
    return list(found)


def fingerprint(tokenizer: Any) -> str:
    """sha256 of what decides on token ids and on the words of a chat, wherever its files lie."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    rules = fast.to_str() if fast is not None else sorted(tokenizer.get_vocab().items())
    said = [
        type(tokenizer).__name__, rules, str(tokenizer.special_tokens_map),
        tokenizer.model_max_length, tokenizer.chat_template,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def prefix(tokenizer: Any) -> int | None:
    """The id that an empty prompt stands for: the beginning token, else the end token."""
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    found: int | None = last if first is None else first
    return found


def pair(tokenizer: Any, prompt: str, answer: str) -> Pair:
    """The ids of a prompt and of the answer that follows it.

    Both are split as one text. Spaces at the end of the prompt go over to the answer, where
    tokenisers have them. An empty prompt is the tokeniser's `prefix`.
    """
    if not prompt:
        own = ids(tokenizer, answer, special=False)
        before = prefix(tokenizer)
        return ([before], own) if before is not None and own[:1] != [before] else (own[:1], own[1:])
    bare = prompt.rstrip()
    whole, before_it = ids(tokenizer, prompt + answer), ids(tokenizer, bare)
    return before_it, whole[len(before_it) :]


def continued(tokenizer: Any, prompt: str, answer: str, room: int) -> Pair:
    """The ids of a prompt after which a model generates text, its last `room` at most, and those of
    the answer that should come."""
    own = ids(tokenizer, prompt)
    return own[-room:], ids(tokenizer, prompt + answer)[len(own) :]


def windows(tokenizer: Any, text: str, length: int) -> Iterator[Pair]:
    """A running text in parts of `length` tokens at most, each with a token or more before it."""
    own, before = ids(tokenizer, text), prefix(tokenizer)
    if own and before is not None:
        yield [before], own[:length]
    for start in range(length, len(own), length):
        end = min(start + length, len(own))
        yield own[end - length - 1 : start], own[start:end]


def _has_beginning(tokenizer: Any, text: str) -> bool:
    before = prefix(tokenizer)
    return before is not None and text.startswith(tokenizer.decode(before))
