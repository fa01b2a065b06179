"""Forward passes of the loaded model under a recipe, interrupted between layers.

Owns the order in which weights are written, and a cache of predictions, so that a column is not
computed twice for the same tokens. Knows no request.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from core.bench.changes import Changes
from core.bench.prompts import Text
from core.bench.recipes import Formula, Recipe
from core.bench.weights import Shelf
from core.errors import RunError
from core.models.loading import LoadedModel
from core.states.head import unwrapped

CACHED = 1 << 29
"""Bytes of predictions in the cache."""

Job = tuple[Recipe, Text]


class Passes:
    """The loaded model's predictions. `limits`: the vocabulary of each tuned model."""

    def __init__(
        self, model: LoadedModel, shelf: Shelf, changes: Changes, limits: dict[str, int]
    ) -> None:
        self.model, self.shelf, self.changes, self.limits = model, shelf, changes, limits
        self.own: Any = unwrapped(model.module)
        self.takes = inspect.signature(self.own.forward).parameters
        self._cache: OrderedDict[Job, Tensor] = OrderedDict()

    @contextmanager
    def under(self, recipe: Recipe) -> Iterator[None]:
        """The model of a recipe inside the block."""
        change = self.changes.prepared(recipe.change)
        self.shelf.put(recipe.weights)
        with change, torch.inference_mode():
            yield

    def forward(self, ids: Tensor, **more: Any) -> Any:
        """The model's output for token ids [B, T] without padding."""
        mask = more.pop("attention_mask", torch.ones_like(ids))
        return self.model.module(input_ids=ids, attention_mask=mask, **more)

    def read(self, ids: Sequence[int]) -> None:
        """A forward pass for its hooks; its logits are not used."""
        more = {"logits_to_keep": 1} if "logits_to_keep" in self.takes else {}
        self.forward(torch.tensor([ids], device=self.model.device), use_cache=False, **more)

    def compute(self, jobs: Iterable[Job], first: Recipe | None = None) -> Iterator[Job]:
        """Compute the jobs' predictions into the cache; gives each job once it is done.

        Cached jobs come first, then jobs whose change is known, then the loaded weights, then
        weights that need no writing; among equals the recipe `first`."""
        missing = dict.fromkeys(jobs)
        while missing:
            ready = self.shelf.ready
            job = min(missing, key=lambda j: (
                j not in self._cache, not self.changes.known(j[0].change),
                j[0].weights != self.shelf.shown,
                j[0].weights not in ready, j[0] != first,
            ))  # fmt: skip
            del missing[job]
            self.recipe_predictions(job)
            yield job

    def predictions(self, formula: Formula, text: Text) -> Tensor:
        """A column's log-probabilities [tokens of the continuation, vocabulary] float32."""
        logs = [self.recipe_predictions((recipe, text)) for recipe in formula.recipes]
        return self.mixed(formula, logs)

    def mixed(self, formula: Formula, logits: list[Tensor]) -> Tensor:
        """The column's log-probabilities [n, vocabulary] over its own vocabulary, from logits or
        log-probabilities of its recipes."""
        count = self.vocabulary(formula)
        first = logits[0][:, :count]
        if len(logits) > 1:
            other = logits[1][:, :count]
            # Tokens that a model can't predict have a logit of −∞.
            first = first + formula.amount * torch.where(other > -torch.inf, first - other, 0)
        return torch.log_softmax(first, 1)

    def vocabulary(self, formula: Formula) -> int:
        """The number of tokens that a column can predict."""
        return min([self.model.vocabulary, *(self.limits[name] for name in formula.vectors)])

    def recipe_predictions(self, job: Job) -> Tensor:
        """The log-probabilities [n, vocabulary] float32 of a recipe, from the cache if there."""
        if job in self._cache:
            self._cache.move_to_end(job)
            return self._cache[job]
        recipe, text = job
        with self.under(recipe):
            ids = torch.tensor([text.ids[:-1]], device=self.model.device)
            count = len(text.ids) - text.start
            more = {"logits_to_keep": count} if "logits_to_keep" in self.takes else {}
            logits = self.forward(ids, use_cache=False, **more).logits[0, -count:].float()
            logs = torch.log_softmax(logits, 1)
        refuse_undefined(logs, recipe)
        self._cache[job] = logs
        while len(self._cache) > 1 and self._bytes() > CACHED:
            self._cache.popitem(last=False)
        return logs

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of the cache."""
        return self._bytes()

    def _bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in self._cache.values())

    @contextmanager
    def after_layers(
        self, names: Sequence[str], see: Callable[[int, Tensor], None]
    ) -> Iterator[None]:
        """Call `see` with the number of each layer and the states [B, T, d] after it."""

        def hook(number: int) -> Callable[..., None]:
            def ended(module: Any, given: Any, result: Any) -> None:
                see(number, result[0] if isinstance(result, tuple) else result)

            return ended

        with ExitStack() as hooks:
            for number, name in enumerate(names):
                module = self.own.get_submodule(name)
                hooks.callback(module.register_forward_hook(hook(number)).remove)
            yield

    @contextmanager
    def pausing(self, pause: Callable[[], None], names: Iterable[str]) -> Iterator[None]:
        """Call `pause` before each layer inside the block."""
        with ExitStack() as hooks:
            for name in names:
                module = self.own.get_submodule(name)
                hooks.callback(module.register_forward_pre_hook(lambda *_: pause()).remove)
            yield


def refuse_undefined(logits: Tensor, recipe: Recipe) -> None:
    """Raise RunError if a model's predictions are not numbers."""
    if bool(torch.isnan(logits).any()):
        raise RunError(
            f"The model with {recipe.weights.point.setting} gives no finite numbers.",
            hint="Look at its weights, lower the coefficients, or set run.dtype to 'float32'.",
        )
