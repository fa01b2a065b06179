"""Texts written by columns, token by token.

Owns the choice of a token, the end of a text, and the order of columns: they take turns, token by
token, if memory holds all their weights; else one follows another. Knows no request but `Generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from core.bench.messages import Generate, Piece, Written
from core.bench.passes import Passes, refuse_undefined
from core.bench.prompts import Reader, Text
from core.bench.recipes import Formula, Recipe
from core.models.adapters.checkpoint import Adapter
from core.models.family import Member
from core.models.headers import read_json

Ended = Literal["end", "stop", "length"]


class Writer:
    """One column's text in the making.

    `ids`: its tokens so far, without the end token. `ended`: the reason for its end, else None.
    A draw depends on the seed and the token's position alone, so equal columns write equal texts.
    """

    def __init__(
        self, formula: Formula, text: Text, asked: Generate, passes: Passes, reader: Reader,
        ends: frozenset[int],
    ) -> None:  # fmt: skip
        self._formula, self._text, self._asked = formula, text, asked
        self._passes, self._reader, self._ends = passes, reader, ends
        self._caches: dict[Recipe, Any] = {}
        self._random = torch.Generator().manual_seed(asked.seed)
        self.ids: list[int] = []
        self.written = ""
        self.ended: Ended | None = None

    def step(self) -> None:
        """Write one more token, or end."""
        logits = [self._logits(recipe) for recipe in self._formula.recipes]
        token = self._chosen(self._passes.mixed(self._formula, logits)[0])
        if token in self._ends:
            self.ended = "end"
            return
        self.ids.append(token)
        self.written = self._reader.joined(self._text.ids, self.ids)
        starts = [
            start for stop in self._asked.stop if stop and (start := self.written.find(stop)) >= 0
        ]
        if starts:
            self._stop(min(starts))
        elif len(self.ids) >= self._asked.tokens:
            self.ended = "length"

    def _stop(self, length: int) -> None:
        """End before a stop text, and keep the tokens that the text before it needs."""
        self.written, self.ended = self.written[:length], "stop"
        while self.ids:
            shorter = self._reader.joined(self._text.ids, self.ids[:-1])
            if len(shorter) < length:
                return
            self.ids.pop()

    def _logits(self, recipe: Recipe) -> Tensor:
        """A recipe's logits [1, vocabulary] float32 after the text so far."""
        passes, cache = self._passes, self._caches.get(recipe)
        whole = (*self._text.ids, *self.ids)
        shown = whole if cache is None else whole[-1:]
        device = passes.model.device
        with passes.under(recipe):
            more: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in passes.takes else {}
            if cache is not None:
                more["past_key_values"] = cache
            output = passes.forward(
                torch.tensor([shown], device=device), use_cache="past_key_values" in passes.takes,
                attention_mask=torch.ones(1, len(whole), dtype=torch.int64, device=device), **more,
            )  # fmt: skip
            logits: Tensor = output.logits[:, -1].float()
        refuse_undefined(logits, recipe)
        # A model without such a cache reads the whole text again.
        self._caches[recipe] = getattr(output, "past_key_values", None)
        return logits

    def _chosen(self, logs: Tensor) -> int:
        """A token by its log-probabilities [vocabulary]: the likeliest, or a draw from the
        smallest set of tokens with at least the total probability `top_p`."""
        if not self._asked.temperature:
            return int(logs.argmax())
        shares = torch.softmax(logs.double().cpu() / self._asked.temperature, 0)
        shares, order = shares.sort(descending=True, stable=True)
        sums = shares.cumsum(0)
        count = int((sums < self._asked.top_p * sums[-1]).sum()) + 1
        drawn = torch.rand((), generator=self._random, dtype=torch.float64) * sums[:count][-1]
        return int(order[min(int((sums < drawn).sum()), count - 1, len(order) - 1)])


def write(
    writers: Sequence[Writer], formulas: Sequence[Formula], passes: Passes,
    give: Callable[[Piece | Written], None],
) -> None:  # fmt: skip
    """Let every writer finish its text, in turns if memory holds all their weights."""
    order = _order(formulas, passes)
    wanted = list(dict.fromkeys(r.weights for column in order for r in formulas[column].recipes))
    if len(wanted) == 1 or passes.shelf.hold(wanted):
        while open_ := [column for column in order if writers[column].ended is None]:
            for column in open_:
                _step(column, writers[column], give)
        return
    for column in order:
        weights = list(dict.fromkeys(recipe.weights for recipe in formulas[column].recipes))
        if len(weights) > 1:
            passes.shelf.hold(weights)
        while writers[column].ended is None:
            _step(column, writers[column], give)


def _step(column: int, writer: Writer, give: Callable[[Piece | Written], None]) -> None:
    writer.step()
    text, tokens = writer.written, len(writer.ids)
    if writer.ended is None:
        # A character may need more tokens than there are yet.
        give(Piece(column=column, text=text.rstrip("\ufffd"), tokens=tokens))
    else:
        give(Written(column=column, text=text, tokens=tokens, ended=writer.ended))


def _order(formulas: Sequence[Formula], passes: Passes) -> list[int]:
    """The columns' positions: weights in memory first, equal weights side by side."""

    def rank(column: int) -> tuple[bool, int]:
        weights = formulas[column].recipes[0].weights
        first = next(i for i, f in enumerate(formulas) if f.recipes[0].weights == weights)
        return weights not in passes.shelf.ready, first

    return sorted(range(len(formulas)), key=rank)


def end_tokens(model: Any, tokenizer: Any) -> Iterator[int]:
    """The tokens that end a text: the loaded model's and the tokeniser's."""
    stated = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    yield from _ids(stated)
    yield from _ids(tokenizer.eos_token_id)


def end_tokens_of(member: Member) -> Iterator[int]:
    """The tokens that end a text of a model that is not loaded, as transformers finds them. An
    adapter without end tokens has the end tokens of the model under it. Raises CheckpointError."""
    checkpoint = member.checkpoint
    while True:
        file = Path(checkpoint.where) / "generation_config.json"
        if file.is_file():
            yield from _ids(read_json(file).get("eos_token_id"))
            return
        if not isinstance(checkpoint, Adapter):
            break
        checkpoint = checkpoint.over
    text = checkpoint.config.get("text_config")
    for part in (checkpoint.config, text if isinstance(text, Mapping) else {}):
        yield from _ids(part.get("eos_token_id"))


def _ids(stated: Any) -> Iterator[int]:
    for token in stated if isinstance(stated, list) else [stated]:
        if type(token) is int:
            yield token
