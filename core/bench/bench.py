"""The bench: a study's models in memory, and the answers to requests.

Owns the life of the loaded base, and what an answer consists of. Knows no socket and no screen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from core.bench import columns, generation
from core.bench.changes import Changes
from core.bench.messages import (
    Crossed,
    Event,
    Generate,
    Request,
    Score,
    Scored,
    Step,
    Tokens,
    Warned,
)
from core.bench.passes import Passes
from core.bench.prompts import Reader, Text
from core.bench.recipes import Formula, formula_of
from core.bench.weights import Shelf
from core.engine.measurement import UnitResult
from core.engine.subject import Subject, open_subject
from core.errors import RunError, StudyError, TauscopeError
from core.models import loading
from core.models.identity import Identities
from core.models.opening import layers_of
from core.outputs import divergence, pairs
from core.study.study import Study

Give = Callable[[Event], None]
Load = Callable[[str], UnitResult | None]
"""The result of a finished unit by its key; None if there is none."""

BUDGET = 4 << 30
"""Bytes for sets of weights held beside the loaded one, so that columns write in turns."""


class Bench:
    """A study's base in memory, for as long as the `with` block lasts.

    `say` is told of the work in hand, `load` gives results of finished units, `budget` limits the
    bytes of further sets of weights. The base's weights are restored bit for bit. Not for several
    threads at once.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        say: Callable[[str], None],
        load: Load = lambda key: None,
        budget: int = BUDGET,
    ) -> None:
        self.subject = subject
        self._say, self._load, self._budget = say, load, budget
        self._entered = ExitStack()
        self._give: Give | None = None

    def __enter__(self) -> Self:
        study, family = self.subject.study, self.subject.family
        self._told("loading base")
        with ExitStack() as entering:
            model = entering.enter_context(
                loading.loaded(
                    family.base, study.run, trust_remote_code=study.models.trust_remote_code,
                    merged=True,
                )
            )  # fmt: skip
            self._model = model
            self._shelf = entering.enter_context(Shelf(model, family, self._told, self._budget))
            self._passes = Passes(model, self._shelf, Changes(), self._limits())
            self._reader = Reader(self.subject.tokenizer(), model.context, model.vocabulary)
            self._layers = layers_of(family.base.checkpoint)
            self._entered = entering.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._passes
        self._entered.__exit__(kind, error, trace)

    @property
    def held(self) -> Mapping[str, int]:
        """Bytes held in memory by device: weights, vectors and the cache of predictions."""
        found = dict.fromkeys([str(self._model.device)], self._passes.nbytes)
        for device, nbytes in self._shelf.nbytes.items():
            found[device] = found.get(device, 0) + nbytes
        return found

    def answer(self, request: Request, give: Give, pause: Callable[[], None]) -> None:
        """Answer one request by events.

        `pause` may raise Cancelled; it is called between layers and between tokens. Raises
        StudyError for a request that can't be answered, RunError if memory does not suffice. The
        bench stays usable after any of them.
        """
        answers: dict[type, Callable[..., None]] = {
            Score: self._score, Generate: self._generate,
        }  # fmt: skip
        self._give = give
        try:
            with self._passes.pausing(pause, self._layers):
                answers[type(request)](request, give, pause)
        except TauscopeError:
            raise
        except (RuntimeError, MemoryError) as error:
            if not loading.out_of_memory(error):
                raise
            self._passes.forget()
            self._shelf.drop()
            raise RunError(
                "Memory is too small for this request.",
                hint="Ask for fewer columns or a shorter text, or offload less to other work.",
            ) from error
        finally:
            self._give = None

    def _score(self, asked: Score, give: Give, pause: Callable[[], None]) -> None:
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
        give(Tokens(pieces=self._reader.pieces(text.ids), start=text.start, cut=text.cut))
        compared = formulas[asked.against]
        needs = [{(recipe, text) for recipe in (*f.recipes, *compared.recipes)} for f in formulas]
        todo, done = dict.fromkeys(range(len(formulas))), set()
        jobs = dict.fromkeys((r, text) for f in (compared, *formulas) for r in f.recipes)
        for job in self._passes.compute(jobs, compared.recipes[0]):
            done.add(job)
            for at in [at for at in todo if needs[at] <= done]:
                del todo[at]
                pause()
                give(self._scored(at, formulas[at], compared, text, asked.top))

    def _scored(self, at: int, formula: Formula, compared: Formula, text: Text, top: int) -> Scored:
        own, base = (self._passes.predictions(each, text) for each in (formula, compared))
        own, base = pairs.common(own, base)
        following = torch.tensor(text.ids[text.start :], device=own.device)
        values = divergence.compared(own, base, following)
        kl, nll, other = (values[:, divergence.COLUMNS.index(c)] for c in ("kl", "nll", "base_nll"))
        return Scored(
            column=at,
            logprobs=tuple(map(float, -nll)),
            kl=tuple(map(float, kl)),
            likeliest=self._likeliest(own, top),
            nll=float(nll.mean(dtype="float64")),
            nll_change=float((nll - other).mean(dtype="float64")),
        )

    def _likeliest(self, logs: Tensor, top: int) -> tuple[tuple[tuple[str, float], ...], ...]:
        values, ids = logs.topk(min(top, logs.shape[1]), 1)
        texts = self._reader.pieces(ids.flatten().tolist())
        found = list(zip(texts, values.flatten().tolist(), strict=True))
        count = ids.shape[1]
        return tuple(tuple(found[at : at + count]) for at in range(0, len(found), count or 1))

    def _generate(self, asked: Generate, give: Give, pause: Callable[[], None]) -> None:
        formulas = self._formulas(asked.columns)
        if asked.tokens < 1 or not asked.temperature >= 0 or not 0 < asked.top_p <= 1:
            raise StudyError(
                "A text has at least one token, a temperature from 0 on, and a top-p above 0 and "
                "at most 1."
            )
        text = self._reader.opened(asked.prompt, asked.tokens, _warned(give))
        ends = frozenset(generation.end_tokens(self._passes.own, self._reader.tokenizer))
        writers = [
            generation.Writer(formula, text, asked, self._passes, self._reader, ends)
            for formula in formulas
        ]

        def told(event: Event) -> None:
            give(event)
            pause()

        generation.write(writers, formulas, self._passes, told)
        texts = [Text((*text.ids, *writer.ids), text.start) for writer in writers]
        give(self._crossed(formulas, texts))

    def _crossed(self, formulas: Sequence[Formula], texts: Sequence[Text]) -> Crossed:
        """The loss of each column's text under every column."""
        scored = [text for text in texts if len(text.ids) > text.start]
        jobs = [(recipe, text) for f in formulas for recipe in f.recipes for text in scored]
        for _ in self._passes.compute(jobs):
            pass
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

    def _formulas(self, names: Sequence[str]) -> list[Formula]:
        if not names:
            raise StudyError("The request names no column.", hint="Name one, such as base.")
        tuned = tuple(self.subject.family.tuned)
        return [formula_of(columns.parse(name, tuned)) for name in names]

    def _limits(self) -> dict[str, int]:
        """The number of tokens that the base and each tuned model have."""
        family, most = self.subject.family, self._model.vocabulary
        tokens = [p for p in family.anatomy.pieces if p.module in ("embedding", "unembedding")]
        found = {}
        for name, member in family.tuned.items():
            named = (member.names.get(p.tensor) for p in tokens if p.rows[-1][1] >= most)
            rows = [member.checkpoint.tensors[own].rows for own in named if own is not None]
            found[name] = min([most, *rows])
        return found

    def _refuse_unknown(
        self, formulas: Sequence[Formula], names: Sequence[str], text: Text
    ) -> None:
        """Raise StudyError if the text has a token that a column lacks."""
        for formula, name in zip(formulas, names, strict=True):
            count = min(
                [self._model.vocabulary, *(self._passes.limits[v] for v in formula.vectors)]
            )
            if max(text.ids) >= count:
                piece = self._reader.pieces([max(text.ids)])[0]
                raise StudyError(
                    f"'{name}' has {count} tokens, and the text has the token {max(text.ids)} "
                    f"('{piece}').",
                    hint="Leave the column or the token out.",
                )

    def _told(self, words: str) -> None:
        self._say(words)
        if self._give is not None:
            self._give(Step(label=words))


def open_bench(
    study: Study,
    *,
    say: Callable[[str], None],
    load: Load = lambda key: None,
    identities: Identities | None = None,
    budget: int = BUDGET,
) -> tuple[Subject, Bench]:
    """A study's inputs and its bench, which is not loaded yet. Raises InputError, StudyError.

    Code of models runs only if the study trusts it (`core.trust.granted`).
    """
    subject = open_subject(study, ["texts"], identities)
    return subject, Bench(subject, say=say, load=load, budget=budget)


def _warned(give: Give) -> Callable[[str], None]:
    return lambda words: give(Warned(message=words))
