"""Texts as token ids, in the same way for every model of a study.

Owns the special tokens around a text, and the border of prompt and answer. Probe sets, the ranking
of neurons and the scores of a task all use this module, so neurons are chosen on the scored ids.
The ids equal lm-evaluation-harness's (its class HFLM). Loads no tokeniser: callers pass one of
transformers. Knows no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

Pair = tuple[list[int], list[int]]
"""The token ids of a prompt and of its continuation."""


def ids(tokenizer: Any, text: str, *, special: bool | None = None) -> list[int]:
    """The ids of a text, with the tokeniser's special tokens around it.

    A text that begins with the beginning token's text, as chat templates write it, gets no special
    tokens, since the model would see that token twice. `special` overrides this.
    """
    if special is None and _has_beginning(tokenizer, text):
        special = False
    given = {} if special is None else {"add_special_tokens": special}
    tokens: list[int] = tokenizer(text, verbose=False, **given)["input_ids"]
    return list(tokens)


def fingerprint(tokenizer: Any) -> str:
    """sha256 of everything that determines a tokeniser's ids of texts and texts of ids; a chat
    template is apart (see `core.texts.templates`)."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules: Any = [type(tokenizer).__name__, tokenizer.get_vocab()]
    else:
        rules = backend.to_str()
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    whole = [rules, special, tokenizer.clean_up_tokenization_spaces]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def prefix(tokenizer: Any) -> int | None:
    """The id in place of an empty prompt: the beginning token, else the end token."""
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    token: int | None = last if first is None else first
    return token


Alone = Literal["item", "text", "document"]
"""The encoding of a text without a prompt: see `alone`."""
WAYS: Mapping[str, Alone] = {way: way for way in get_args(Alone)}


def alone(tokenizer: Any, text: str, way: Alone) -> Pair:
    """The ids before the first scored token of a text without a prompt, and the scored ids.

    `item`: an item of a task with an empty prompt: the `prefix`, then the text's own tokens.
    `text`: a running text of a task, up to the model's context: the `prefix`, then the text with
    its special tokens, which are scored too. `document`: a document of a probe set: its first
    token, a special one or not, is read and not scored.
    """
    tokens = ids(tokenizer, text, special=False if way == "item" else None)
    before = prefix(tokenizer)
    if way == "document" or before is None or (way == "item" and tokens[:1] == [before]):
        return tokens[:1], tokens[1:]
    return [before], tokens


def pair(tokenizer: Any, prompt: str, answer: str) -> Pair:
    """The ids of a prompt and of its answer.

    Both are tokenised as one text. Spaces at the end of the prompt move to the answer, where
    tokenisers expect them. Without a prompt the answer is `alone`, as an item.
    """
    if not prompt:
        return alone(tokenizer, answer, "item")
    return split(partial(ids, tokenizer), prompt, answer)


def split(encode: Callable[[str], Sequence[int]], prompt: str, answer: str) -> Pair:
    """The `pair` of a prompt that is not empty, with a function from a text to its `ids`."""
    whole, before_it = encode(prompt + answer), encode(prompt.rstrip())
    return list(before_it), list(whole[len(before_it) :])


def continued(tokenizer: Any, prompt: str, answer: str, room: int) -> Pair:
    """The ids of a prompt before generated text (at most the last `room`), and the ids of the
    expected answer."""
    prompt_ids = ids(tokenizer, prompt)
    return prompt_ids[-room:], ids(tokenizer, prompt + answer)[len(prompt_ids) :]


def windows(tokenizer: Any, text: str, length: int) -> Iterator[Pair]:
    """A running text in parts of at most `length` tokens, each with at least one token before
    it."""
    text_ids, before = ids(tokenizer, text), prefix(tokenizer)
    if text_ids and before is not None:
        yield [before], text_ids[:length]
    for start in range(length, len(text_ids), length):
        end = min(start + length, len(text_ids))
        yield text_ids[end - length - 1 : start], text_ids[start:end]


def _has_beginning(tokenizer: Any, text: str) -> bool:
    before = prefix(tokenizer)
    return before is not None and text.startswith(tokenizer.decode(before))
