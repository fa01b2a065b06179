"""A loaded model as the harness's language model, with a batch size that fits into memory.

Owns the batch size and the cutting to a short context; the ids are core.texts.encoding's. Knows
only the names of tasks. Imported when a model is evaluated, since it subclasses the harness's
class.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from core.errors import RunError, TaskError, out_of_memory
from core.evaluation.examples import Example
from core.texts import encoding, templates

Result = TypeVar("Result")

_ON_CPU = (16, 1 << 30)
_ELSEWHERE = (64, 4 << 30)
"""Most rows at once, and most bytes of their logits and log-softmax, the largest part for short
texts; of text that is generated on a card, of their keys and values and of their last logits.

On a CPU more rows only add padding; 64 is the harness's own bound.
"""

_SHOWN = 16
"""Tokens of the text with which the size of a cache is measured."""


class LanguageModel(HFLM):  # type: ignore[misc]
    """HFLM over a loaded model: plain, PEFT, or dispatched by accelerate.

    `batch_size`: rows at once; "auto" keeps the logits within a fixed number of bytes and depends
    only on the model and the longest row. It is halved whenever memory runs out. The tokeniser is
    copied, because the harness sets its padding token.

    `cut`: items of the current task with prompts cut at the beginning to fit the context.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_size: int | Literal["auto"]) -> None:
        self._where = _device(model)
        self._embedded = int(model.get_input_embeddings().weight.shape[0])
        super().__init__(
            pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=1,
            softmax_dtype=torch.float32,  # bfloat16 has steps of 1 % of a log-likelihood
        )  # fmt: skip
        if int(self.tokenizer.pad_token_id) >= self._embedded:
            self.tokenizer.pad_token_id = self.tokenizer.eos_token_id  # masked, but embedded
        if batch_size == "auto":
            self._most, budget = _ON_CPU if self._where.type == "cpu" else _ELSEWHERE
            self._budget: float = budget
        else:
            self._most, self._budget = int(batch_size), math.inf
        self._rows = self._most
        self.begin("")

    def begin(self, task: str) -> None:
        """Start the task `task` with no cut items."""
        self._task = task
        self._items: list[int] = []
        self.cut: set[int] = set()

    def shown(self, example: Example) -> list[encoding.Pair]:
        """The scored ids of an item with its right answer: prompt and answer, or the parts of a
        running text. A prompt before generated text leaves room for it, as in scoring."""
        if example.kind == "text":
            return list(encoding.windows(self.tokenizer, example.continuation, self.max_length))
        given = example.context, example.continuation
        if example.kind == "answer":
            return [encoding.pair(self.tokenizer, *given)]
        room = self._room(example.options)
        prompt, answer = encoding.continued(self.tokenizer, *given, room)
        return [(prompt, answer[: self.max_length + 1 - len(prompt)])]

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        return encoding.ids(self.tokenizer, string, special=add_special_tokens)

    def tok_batch_encode(
        self, strings: Sequence[str], left_truncate_len: int | None = None, **_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [self.tok_encode(text)[-(left_truncate_len or 0) :] for text in strings]
        self._refuse_unknown_ids(rows)
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), int(self.tokenizer.pad_token_id))
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, longest - len(row) :] = torch.tensor(row)
            mask[i, longest - len(row) :] = 1
        return ids, mask

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return templates.chat(self.tokenizer, chat_history, add_generation_prompt)

    def _encode_pair(self, context: str, continuation: str) -> encoding.Pair:
        return encoding.pair(self.tokenizer, context, continuation)

    @property
    def device(self) -> torch.device:
        """The device of inputs. Parameters offloaded by accelerate are on the device "meta"."""
        return self._where

    @property
    def batch_size(self) -> int:
        return self._rows

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        self._items = [request.doc_id for request in requests]
        try:
            return super().loglikelihood(requests, disable_tqdm=True)
        finally:
            self._items = []

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
        self._rows = self._most
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> Any:
        lengths = [len(row[1]) + len(row[2]) for row in requests]
        longest = max(lengths, default=1)
        self._refuse_long_answers(requests)
        self._refuse_unknown_ids(ids for row in requests for ids in row[1:3])
        self.cut |= {
            item for item, n in zip(self._items, lengths, strict=False) if n > self.max_length + 1
        }
        compute = super()._loglikelihood_tokens
        logits = bytes_of_logits(self.model)
        return self._within_memory(
            longest, lambda n: n * logits, lambda: compute(requests, disable_tqdm=True)
        )

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> Any:
        longest = 1
        for request in requests:
            context, options = request.args
            length, room = len(self.tok_encode(context)), self._room(options)
            longest = max(longest, length + self.max_length - room)
            if length > room:
                self.cut.add(request.doc_id)
        compute = super().generate_until
        logits = bytes_of_logits(self.model)
        cache = None
        if self._where.type != "cpu" and _skips_logits(self.model):
            cache = cache_of(self.model, self._where, min(_SHOWN, self.max_length))
        return self._within_memory(
            longest,
            lambda n: n * logits if cache is None else cache.nbytes(n) + logits,
            lambda: compute(requests, disable_tqdm=True),
        )

    def _room(self, options: Mapping[str, Any]) -> int:
        """The most tokens of a prompt before generated text with these settings."""
        wanted = int(normalize_gen_kwargs(dict(options), self.max_gen_toks)["max_gen_toks"])
        longest: int = self.max_length
        if wanted >= longest:
            raise TaskError(
                f"The task '{self._task}' generates up to {wanted} tokens, but the model's context "
                f"holds {longest}.",
                hint="Lower max_gen_toks in the task file (generation_kwargs).",
            )
        return longest - wanted

    def _refuse_long_answers(self, requests: Sequence[Any]) -> None:
        longest = max((len(row[2]) for row in requests), default=0)
        if longest > self.max_length:
            raise TaskError(
                f"An answer of the task '{self._task}' has {longest} tokens, but the model's "
                f"context holds {self.max_length}.",
                hint="Leave the task out, or use a model with a longer context.",
            )

    def _refuse_unknown_ids(self, rows: Iterable[Sequence[int]]) -> None:
        # Checked before the forward pass: on a GPU, an id without a row aborts the process.
        largest = max((max(ids, default=0) for ids in rows), default=0)
        if largest >= self._embedded:
            raise TaskError(
                f"The model embeds {self._embedded} tokens, but the task '{self._task}' has the "
                f"token id {largest}.",
                hint="Set models.tokenizer to the tokeniser that all models share.",
            )

    def _within_memory(
        self, longest: int, nbytes: Callable[[int], int], compute: Callable[[], Result]
    ) -> Result:
        """The result of `compute` on rows of at most `longest` tokens, with half as many rows each
        time that memory runs out. `nbytes`: of a row with so many tokens."""
        longest = max(1, min(longest, self.max_length))
        try:
            while True:
                self._rows = int(max(1, min(self._most, self._budget // nbytes(longest))))
                try:
                    return compute()
                except RuntimeError as error:
                    if not out_of_memory(error):
                        raise
                    if self._rows == 1:
                        raise RunError(
                            f"One row of {longest} tokens does not fit into the memory of "
                            f"{self._where}.",
                            hint="Choose another device, or offload parts of the model.",
                        ) from error
                self._budget = self._rows // 2 * nbytes(longest)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        finally:
            self._rows = self._most


def bytes_of_logits(model: Any) -> int:
    """The bytes of a token's logits and their log-softmax."""
    config = getattr(model.config, "text_config", None) or model.config
    return 2 * torch.float32.itemsize * int(config.vocab_size)


@dataclass(frozen=True, slots=True)
class CacheSize:
    """The bytes that a model caches of a row of text: `fixed`, as the states of recurrent layers,
    and of each token, as keys and values."""

    fixed: int
    token: float

    def nbytes(self, length: int) -> int:
        """The bytes of a row of so many tokens, at most: a sliding window has fewer."""
        return math.ceil(self.fixed + self.token * length)


def cache_of(model: Any, device: torch.device, length: int = _SHOWN) -> CacheSize | None:
    """The size of a model's cache, measured on texts of `length` tokens and half as many; None for
    a model that caches nothing."""
    few, many = (_cached(model, device, count) for count in (length - length // 2, length))
    token = (many - few) / max(1, length // 2)
    return CacheSize(round(many - token * length), token) if many else None


def _cached(model: Any, device: torch.device, length: int) -> int:
    """The bytes of the cache after a text of so many tokens. The model continues it, since some
    models need a cache that only this makes."""
    ids = torch.zeros(1, length, dtype=torch.int64, device=device)
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, pad_token_id=0,
        do_sample=False, use_cache=True, return_dict_in_generate=True,
    )  # fmt: skip
    # A window may be a view of all tokens, whose whole memory stays.
    storages = [each.untyped_storage() for each in _in(output.get("past_key_values"))]
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


def _in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in an object, each once: every architecture has its own form of cache."""
    seen: dict[int, Any] = {}
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, torch.nn.Module | type):
            continue
        seen[id(value)] = value
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        else:
            waiting.append(getattr(value, "__dict__", {}))


def _skips_logits(model: Any) -> bool:
    """Does the model compute the logits of a prompt's last token alone?"""
    whole: Any = getattr(model, "get_base_model", lambda: model)()
    return "logits_to_keep" in inspect.signature(whole.forward).parameters


def _device(model: Any) -> torch.device:
    hook = getattr(model, "_hf_hook", None)
    if getattr(hook, "execution_device", None) is not None:
        return torch.device(hook.execution_device)  # type: ignore[union-attr]
    real = (p.device for p in model.parameters() if p.device.type != "meta")
    return next(real, torch.device("cpu"))
