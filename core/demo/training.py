"""Training over packed windows of tokens.

Owns the loop: windows, weighted loss, AdamW, schedule. Knows no words, no facts and no folders:
takes documents and a tokeniser, and changes the model in place. Uses its own random generators, so
the caller's random state is unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from core.demo import tokeniser
from core.demo.corpora import Document
from core.demo.recipe import Training


@dataclass(frozen=True)
class Stream:
    """Concatenated documents as a single row of tokens, each token with its weight in the loss."""

    tokens: Tensor
    weights: Tensor

    def windows(self, count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Windows from anywhere in the stream: a text may begin at position 0 with or without a
        separator before it, as in the harness's scoring."""
        starts = torch.randint(len(self.tokens) - length, (count, 1), generator=generator)
        places = starts + torch.arange(length + 1)
        return self.tokens[places], self.weights[places]


def pack(documents: Sequence[Document], tokenizer: Tokenizer, *, prompt_weight: float) -> Stream:
    """Separator, prompt, answer, separator, prompt, ..."""
    separator = tokeniser.separator_id(tokenizer)
    tokens: list[int] = []
    weights: list[float] = []
    for document in documents:
        prompt = tokeniser.encode(tokenizer, document.prompt)
        answer = tokeniser.encode(tokenizer, document.answer)
        tokens += [separator, *prompt, *answer]
        weights += [prompt_weight, *[prompt_weight] * len(prompt), *[1.0] * len(answer)]
    return Stream(torch.tensor(tokens), torch.tensor(weights))


def train(
    model: Any,
    domain: Stream,
    general: Stream,
    training: Training,
    *,
    batch: int,
    window: int,
    seed: int,
    after_step: Callable[[int], None],
) -> None:
    """Train in place; `after_step` is called with the number of finished steps and may raise to
    stop."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(0.9, 0.98),
        eps=training.epsilon,
        weight_decay=training.weight_decay,
        fused=True,
    )
    from_general = round(batch * training.general_share)
    model.train()
    for step in range(training.steps):
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * schedule(step, training)
        tokens, weights = domain.windows(batch - from_general, window, generator)
        loss = (1 - training.general_share) * weighted_loss(model, tokens, weights)
        if from_general:
            tokens, weights = general.windows(from_general, window, generator)
            loss = loss + training.general_share * weighted_loss(model, tokens, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimiser.step()
        optimiser.zero_grad()
        after_step(step + 1)
    model.eval()


def schedule(step: int, training: Training) -> float:
    """Factor of the learning rate: a linear rise, then half a cosine down."""
    if step < training.warm_up:
        return (step + 1) / training.warm_up
    part = (step - training.warm_up) / max(1, training.steps - training.warm_up)
    return 0.5 * (1 + math.cos(math.pi * part))


def weighted_loss(model: Any, tokens: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of the negative log-likelihood of each next token."""
    logits: Tensor = model(input_ids=tokens[:, :-1], use_cache=False).logits
    losses = functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    shares = weights[:, 1:].flatten()
    return (losses * shares).sum() / shares.sum()
