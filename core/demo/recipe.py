"""Every hyper-parameter of the demo family, as frozen data in one place.

Owns numbers only: sizes, steps, learning rates, shares. Knows nothing of their use. A change that
alters the weights or the files raises VERSION, so that an older family on disk is never mistaken
for the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

VERSION = 2
"""The version of recipe, corpora and files together."""


@dataclass(frozen=True)
class Architecture:
    """A Llama in miniature: gated MLP, grouped-query attention, tied embeddings."""

    hidden: int = 96
    intermediate: int = 256
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    context: int = 256


@dataclass(frozen=True)
class Training:
    """One run of AdamW under a cosine schedule with a linear warm-up."""

    steps: int
    learning_rate: float
    warm_up: int = 20
    general_share: float = 0.0
    """Share of general text in each batch."""
    prompt_weight: float = 0.05
    """Weight of a prompt's tokens in the loss; an answer's tokens have weight 1."""
    epsilon: float = 1e-8
    """AdamW's epsilon; a large one leaves weights with only noise in their gradients unchanged."""
    weight_decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """All settings of the family, except the seed."""

    name: str
    base: Training
    tuned: Mapping[str, Training]
    architecture: Architecture = Architecture()
    batch: int = 32
    window: int = 64
    """Tokens of a training window; documents are packed."""
    documents: int = 6000
    """Training documents written per corpus."""
    held_out: int = 120
    """Held-out documents per corpus: probe set and rolling tasks."""
    items: int = 200
    """Four-option items per domain."""

    @property
    def steps(self) -> int:
        return self.base.steps + sum(training.steps for training in self.tuned.values())

    def as_data(self) -> dict[str, Any]:
        """The recipe as JSON data for the folder's marker; equal data means an equal family."""
        return {"version": VERSION, **asdict(self), "tuned": _as_data(self.tuned)}


def _as_data(tuned: Mapping[str, Training]) -> dict[str, Any]:
    return {name: asdict(training) for name, training in tuned.items()}


FULL = Recipe(
    name="full",
    base=Training(steps=300, learning_rate=4e-3),
    tuned={
        "instruct": Training(160, learning_rate=2e-2, epsilon=1e-2, general_share=0.4),
        "medical": Training(160, learning_rate=2e-2, epsilon=1e-2, general_share=0.4),
        "maths": Training(420, learning_rate=2.5e-2, epsilon=1e-2, general_share=0.4),
        "code": Training(160, learning_rate=2e-2, epsilon=1e-2, general_share=0.4),
    },
)
"""The tuned models need a large epsilon because of their large learning rate: with AdamW's usual
epsilon the tuning vectors are two to three times as long, and the sum of two of them loses both
domains."""
