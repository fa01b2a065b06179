"""The answer to each kind of request, as events.

Owns the events of each answer. Loads no model and knows no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import Tensor

from core.bench import columns, generation, insight
from core.bench.messages import (
    Compare,
    Crossed,
    Differing,
    Event,
    Generate,
    Lens,
    LensGrid,
    Request,
    Score,
    Scored,
    Tokens,
    Warned,
    refuse_odd,
)
from core.bench.passes import Passes
from core.bench.prompts import Reader, Text
from core.bench.recipes import Formula, Recipe, formula_of
from core.engine.session import Session
from core.errors import StudyError
from core.models.opening import layers_of
from core.outputs import divergence, pairs

Give = Callable[[Event], None]


class Answers:
    """Answers to requests from a loaded model's passes."""

    def __init__(self, session: Session, passes: Passes, reader: Reader) -> None:
        self._session, self._passes, self._reader = session, passes, reader

    def give(self, request: Request, give: Give) -> None:
        """Answer one request by events. Raises StudyError if it can't be answered."""
        refuse_odd(request)
        match request:
            case Score():
                self._score(request, give)
            case Generate():
                self._generate(request, give)
            case Lens():
                self._lens(request, give)
            case Compare():
                self._compare(request, give)

    def _score(self, asked: Score, give: Give) -> None:
        formulas = self._formulas(asked.columns)
        if not 0 <= asked.against < len(formulas):
            raise StudyError(f"There is no column {asked.against} to compare with.")
        text = self._reader.continued(asked.prompt, asked.continuation, _warned(give))
        if len(text.ids) == text.start:
            raise StudyError(
                "The continuation is empty, so there is nothing to score.",
                hint="Write a continuation, or generate one.",
            )
        self._refuse_unknown(formulas, asked.columns, text)
        self._tell_tokens(text, give)
        compared = formulas[asked.against]
        needs = [{(recipe, text) for recipe in (*f.recipes, *compared.recipes)} for f in formulas]
        todo, done = dict.fromkeys(range(len(formulas))), set()
        jobs = dict.fromkeys((r, text) for f in (compared, *formulas) for r in f.recipes)
        for job in self._passes.compute(jobs, compared.recipes[0]):
            done.add(job)
            for column in [column for column in todo if needs[column] <= done]:
                del todo[column]
                self._session.pause()
                give(self._scored(column, formulas[column], compared, text, asked.top))

    def _scored(
        self, column: int, formula: Formula, compared: Formula, text: Text, top: int
    ) -> Scored:
        logs, base = (self._passes.predictions(each, text) for each in (formula, compared))
        logs, base = pairs.common(logs, base)
        following = torch.tensor(text.ids[text.start :], device=logs.device)
        values = divergence.compared(logs, base, following)
        kl, nll, other = (values[:, divergence.COLUMNS.index(c)] for c in ("kl", "nll", "base_nll"))
        return Scored(
            column=column,
            logprobs=tuple(map(float, -nll)),
            kl=tuple(map(float, kl)),
            likeliest=self._likeliest(logs, top),
            nll=float(nll.mean(dtype="float64")),
            nll_change=float((nll - other).mean(dtype="float64")),
        )

    def _likeliest(self, logs: Tensor, top: int) -> tuple[tuple[tuple[str, float], ...], ...]:
        values, ids = logs.topk(min(max(top, 0), logs.shape[1]), 1)
        texts = self._reader.pieces(ids.flatten().tolist())
        likeliest = list(zip(texts, values.flatten().tolist(), strict=True))
        count = ids.shape[1]
        return tuple(tuple(likeliest[row * count : (row + 1) * count]) for row in range(len(ids)))

    def _generate(self, asked: Generate, give: Give) -> None:
        formulas = self._formulas(asked.columns)
        text = self._reader.opened(asked.prompt, asked.tokens, _warned(give))
        self._refuse_unknown(formulas, asked.columns, text)
        writers = [
            generation.Writer(formula, text, asked, self._passes, self._reader, self._ends(formula))
            for formula in formulas
        ]

        def give_and_pause(event: Event) -> None:
            give(event)
            self._session.pause()

        generation.write(writers, formulas, self._passes, give_and_pause)
        texts = [Text((*text.ids, *writer.ids), text.start) for writer in writers]
        give(self._crossed(formulas, texts))

    def _ends(self, formula: Formula) -> frozenset[int]:
        """The end tokens of a column: of the base, the tokeniser and the column's models."""
        tuned = self._session.subject.family.tuned
        of_models = [generation.end_tokens_of(tuned[name]) for name in formula.vectors]
        return frozenset(
            chain(generation.end_tokens(self._passes.own, self._reader.tokenizer), *of_models)
        )

    def _crossed(self, formulas: Sequence[Formula], texts: Sequence[Text]) -> Crossed:
        """The loss of each column's text under every column."""
        scored = [text for text in texts if len(text.ids) > text.start]
        jobs = [(recipe, text) for f in formulas for recipe in f.recipes for text in scored]
        for _ in self._passes.compute(jobs):
            self._session.pause()
        return Crossed(
            nll=tuple(
                tuple(self._loss(f, text) if text in scored else None for f in formulas)
                for text in texts
            )
        )

    def _loss(self, formula: Formula, text: Text) -> float | None:
        """The mean loss of a continuation; None if the column's vocabulary lacks one of its
        tokens."""
        logs = self._passes.predictions(formula, text)
        ids = torch.tensor(text.ids[text.start :], device=logs.device)
        if int(ids.max()) >= logs.shape[1]:
            return None
        return float(-logs.gather(1, ids[:, None]).double().mean())

    def _lens(self, asked: Lens, give: Give) -> None:
        (recipe,) = self._recipes((asked.column,))
        text = self._reader.continued(asked.prompt, asked.continuation, _warned(give), whole=True)
        self._tell_tokens(text, give)
        names = layers_of(self._session.subject.family.base.checkpoint)
        layers = insight.lens(self._passes, self._session.head, names, recipe, text)
        rows = [zip(self._reader.pieces(t.tolist()), p.tolist(), strict=True) for t, p in layers]
        give(LensGrid(rows=tuple(map(tuple, rows))))

    def _compare(self, asked: Compare, give: Give) -> None:
        recipes, neurons = self._recipes(asked.columns), self._session.neurons
        text = self._reader.continued(asked.prompt, asked.continuation, _warned(give), whole=True)
        self._tell_tokens(text, give)
        if not 0 <= asked.position < len(text.ids):
            raise StudyError(
                f"There is no token {asked.position}.",
                hint=f"The text has tokens 0 to {len(text.ids) - 1}.",
            )
        if not neurons.layers:
            raise StudyError("This type of model has no neurons that the bench can see.")
        first, second = (
            insight.values(self._passes, neurons, recipe, text, asked.position)
            for recipe in recipes
        )
        give(Differing(neurons=insight.differing(neurons, first, second, asked.count)))

    def _tell_tokens(self, text: Text, give: Give) -> None:
        give(Tokens(pieces=self._reader.pieces(text.ids), start=text.start, cut=text.cut))

    def _formulas(self, names: Sequence[str]) -> list[Formula]:
        if not names:
            raise StudyError("The request names no column.", hint="Name one, such as base.")
        tuned = tuple(self._session.subject.family.tuned)
        return [formula_of(columns.parse(name, tuned)) for name in names]

    def _recipes(self, names: Sequence[str]) -> list[Recipe]:
        """The one model behind each column. Raises StudyError for a column of two models."""
        formulas = self._formulas(names)
        for formula, name in zip(formulas, names, strict=True):
            if len(formula.recipes) > 1:
                raise StudyError(
                    f"'{name}' mixes the predictions of two models, so it has no states.",
                    hint=f"Look into {formula.vectors[0]} or the base.",
                )
        return [formula.recipes[0] for formula in formulas]

    def _refuse_unknown(
        self, formulas: Sequence[Formula], names: Sequence[str], text: Text
    ) -> None:
        """Raise StudyError if the text has a token that a column lacks."""
        largest = max(text.ids)
        for formula, name in zip(formulas, names, strict=True):
            count = self._passes.vocabulary(formula)
            if largest >= count:
                raise StudyError(
                    f"'{name}' has {count} tokens, so it lacks the token {largest} "
                    f"('{self._reader.pieces([largest])[0]}') of the text.",
                    hint="Leave the column or the token out.",
                )


def _warned(give: Give) -> Callable[[str], None]:
    return lambda words: give(Warned(message=words))
