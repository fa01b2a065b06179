"""A model in memory as the harness's language model, with a batch that fits into memory.

Owns how many rows go through the model at once. Knows no task. Imported when a model is evaluated:
it is made of the harness's own class.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import torch
from lm_eval.models.huggingface import HFLM

from core.errors import RunError

Result = TypeVar("Result")

_ON_CPU = (16, 1 << 30)
_ELSEWHERE = (64, 4 << 30)
"""Most rows at once, and bytes for their logits and log-softmax: the largest part for short texts.

A CPU gains nothing by more rows and loses by their padding; 64 is the harness's own bound.
"""


class LanguageModel(HFLM):  # type: ignore[misc]
    """HFLM over a loaded model, whatever placed it: plain, PEFT, or dispatched by accelerate.

    `batch_size` rows at once, or with "auto" as many as keep the logits within a fixed number of
    bytes, which depends on the model and the longest row alone. Half as many whenever memory runs
    out. The tokeniser is copied, because the harness gives it a padding token.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_size: int | Literal["auto"]) -> None:
        self._where = _device(model)
        super().__init__(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=1)
        if batch_size == "auto":
            self._most, budget = _ON_CPU if self._where.type == "cpu" else _ELSEWHERE
            self._tokens: float = budget // _bytes_of_a_token(model)
        else:
            self._most, self._tokens = int(batch_size), math.inf
        self._rows = self._most

    @property
    def device(self) -> torch.device:
        """Where inputs go. Parameters that accelerate has offloaded lie nowhere ("meta")."""
        return self._where

    @property
    def batch_size(self) -> int:
        return self._rows

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
        self._rows = self._most
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> Any:
        longest = max((len(row[1]) + len(row[2]) for row in requests), default=1)
        compute = super()._loglikelihood_tokens
        return self._within_memory(longest, lambda: compute(requests, disable_tqdm=True))

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> Any:
        longest = 1
        if self._tokens < math.inf:
            longest = max((self._generated(*request.args) for request in requests), default=1)
        compute = super().generate_until
        return self._within_memory(longest, lambda: compute(requests, disable_tqdm=True))

    def _generated(self, context: str, options: Mapping[str, Any]) -> int:
        return len(self.tok_encode(context)) + int(options.get("max_gen_toks", self.max_gen_toks))

    def _within_memory(self, longest: int, compute: Callable[[], Result]) -> Result:
        """What `compute` gives, with half as many rows each time that memory runs out."""
        longest = max(1, min(longest, self.max_length))
        try:
            while True:
                self._rows = int(max(1, min(self._most, self._tokens // longest)))
                try:
                    return compute()
                except RuntimeError as error:
                    if not _out_of_memory(error):
                        raise
                    if self._rows == 1:
                        raise RunError(
                            f"One row of {longest} tokens is too much for the memory of "
                            f"{self._where}.",
                            hint="Choose another device, or let parts of the model be offloaded.",
                        ) from error
                self._tokens = self._rows // 2 * longest
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        finally:
            self._rows = self._most


def _bytes_of_a_token(model: Any) -> int:
    config = getattr(model.config, "text_config", None) or model.config
    return 2 * torch.float32.itemsize * int(config.vocab_size)


def _device(model: Any) -> torch.device:
    hook = getattr(model, "_hf_hook", None)
    if getattr(hook, "execution_device", None) is not None:
        return torch.device(hook.execution_device)  # type: ignore[union-attr]
    real = (p.device for p in model.parameters() if p.device.type != "meta")
    return next(real, torch.device("cpu"))


def _out_of_memory(error: RuntimeError) -> bool:
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in told for words in ("out of memory", "can't allocate memory")
    )
