"""Scores of a model of the demo family: held-out loss and four-option accuracy.

Owns two numbers per model and domain, computed as in the evaluation harness: a text's loss follows
the separator, and an item's options are compared by their summed log-likelihood after the bare
prompt. Knows nothing of the documents' origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from core.demo import tokeniser
from core.demo.corpora import ChoiceItem, Document

ROWS = 128
"""Texts scored at once."""


def held_out_loss(model: Any, tokenizer: Tokenizer, documents: Sequence[Document]) -> float:
    """Mean negative log-likelihood of a token, in nats, over whole texts."""
    separator = tokeniser.separator_id(tokenizer)
    rows = [[separator, *tokeniser.encode(tokenizer, document.text)] for document in documents]
    starts = [1] * len(rows)
    total = sum(-value for value in _log_likelihoods(model, rows, starts, separator))
    return total / sum(len(row) - 1 for row in rows)


def accuracy(model: Any, tokenizer: Tokenizer, items: Sequence[ChoiceItem]) -> float:
    """Share of the items with the right option as the likeliest."""
    rows, starts = [], []
    for item in items:
        prompt = tokeniser.encode(tokenizer, item.prompt)
        for choice in item.choices:
            rows.append(prompt + tokeniser.encode(tokenizer, f" {choice}"))
            starts.append(len(prompt))
    scores = iter(_log_likelihoods(model, rows, starts, tokeniser.separator_id(tokenizer)))
    right = 0
    for item in items:
        options = [next(scores) for _ in item.choices]
        right += options.index(max(options)) == item.answer
    return right / len(items)


def _log_likelihoods(
    model: Any, rows: Sequence[Sequence[int]], starts: Sequence[int], padding: int
) -> list[float]:
    """Summed log-likelihood of each row's tokens from its start on, given the tokens before.

    Rows are padded on the right, where causal attention never looks from a real token.
    """
    likelihoods: list[float] = []
    with torch.no_grad():
        for first in range(0, len(rows), ROWS):
            part = rows[first : first + ROWS]
            length = max(map(len, part))
            tokens = torch.tensor([[*row, *[padding] * (length - len(row))] for row in part])
            logits: Tensor = model(input_ids=tokens[:, :-1], use_cache=False).logits
            losses = functional.cross_entropy(
                logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
            ).view(len(part), -1)
            for row, start, loss in zip(part, starts[first:], losses, strict=False):
                likelihoods.append(-float(loss[start - 1 : len(row) - 1].sum()))
    return likelihoods
