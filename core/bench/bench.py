"""The bench: a study's models in memory, which answer requests.

Owns the life of the loaded base, and the errors of an answer. Knows no socket and no screen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

from core.bench.answers import Answers, Give
from core.bench.changes import Changes, Load
from core.bench.messages import Request, Step, Warned
from core.bench.needs import requirements
from core.bench.passes import Passes
from core.bench.prompts import Reader
from core.bench.weights import Shelf, token_counts
from core.engine.measurement import UnitResult
from core.engine.session import Session
from core.engine.subject import Subject, open_subject
from core.errors import RunError, StorageError, TauscopeError, out_of_memory
from core.models import hooks, loading
from core.models.identity import Identities
from core.models.loading import LoadedModel
from core.models.opening import anatomy_of, layers_of
from core.study.study import Study

BUDGET = 4 << 30
"""Bytes for sets of weights held beside the loaded one, so that columns write in turns."""


class Bench:
    """A study's base in memory, while the `with` block lasts.

    `say` reports the work in hand; `load` gives the results of finished units; `budget` limits the
    bytes of further sets of weights. `one_at_a_time`: memory holds one model, and each column reads
    the other models from disk; None chooses by `needs.requirements`. The end of the block restores
    the base's weights bit for bit. Not safe for several threads.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        say: Callable[[str], None],
        load: Load = lambda key: None,
        budget: int = BUDGET,
        one_at_a_time: bool | None = None,
    ) -> None:
        self.subject, self._one_at_a_time = subject, one_at_a_time
        self._say, self._load, self._budget = say, load, budget
        self._entered = ExitStack()
        self._give: Give | None = None
        self._pause: Callable[[], None] = _go_on

    def __enter__(self) -> Self:
        run, family = self.subject.study.run, self.subject.family
        trusted = self.subject.study.models.trust_remote_code
        apart = self._one_at_a_time
        if apart is None:
            needed = requirements(self.subject)
            apart = needed.one_at_a_time
            if apart:
                self._told(needed.reason)
        budget = None if apart else self._budget
        self._told("loading base")
        with ExitStack() as entering:
            model = entering.enter_context(
                loading.loaded(family.base, run, trust_remote_code=trusted, merged=True)
            )
            shelf = entering.enter_context(
                Shelf(model, family, self._told, lambda: self._pause(), budget)
            )
            session = self._session(model)
            changes = Changes(session, shelf.put, self._load)
            self._passes = Passes(model, shelf, changes, token_counts(family, model.vocabulary))
            reader = Reader(self.subject.tokenizer(), model.context, model.vocabulary)
            self._answers = Answers(session, self._passes, reader)
            self._entered = entering.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        try:
            self._entered.__exit__(*raised)
        finally:
            del self._passes, self._answers

    @property
    def layers(self) -> int:
        """The number of the models' layers."""
        return self.subject.family.anatomy.layers

    @property
    def held(self) -> Mapping[str, int]:
        """Bytes held in memory by device: weights, vectors and the cache of predictions."""
        nbytes = dict(self._passes.shelf.nbytes)
        device = str(self._passes.model.device)
        return {**nbytes, device: nbytes.get(device, 0) + self._passes.nbytes}

    def answer(self, request: Request, give: Give, pause: Callable[[], None]) -> None:
        """Answer one request by events.

        `pause` may raise Cancelled; it is called between layers and between tokens. Raises
        StudyError for a request that can't be answered, RunError if memory does not suffice or
        numbers are not finite. The bench stays usable after any of them.
        """
        self._give, self._pause = give, pause
        names = layers_of(self.subject.family.base.checkpoint)
        try:
            with self._passes.pausing(pause, names):
                self._answers.give(request, give)
            for words in self._passes.shelf.complaints():
                self._warn(words)
        except TauscopeError:
            raise
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            self._passes.forget()
            self._passes.shelf.drop()
            raise RunError(
                "Memory is too small for this request.",
                hint="Ask for fewer columns, a shorter text or a shorter continuation.",
            ) from error
        finally:
            self._give, self._pause = None, _go_on

    def _session(self, model: LoadedModel) -> Session:
        """The loaded model for the functions of analyses."""

        def unfinished(key: str) -> UnitResult:
            raise StorageError(f"There is no result of the unit {key}.")

        outlets = anatomy_of(self.subject.family.base.checkpoint).outlets
        return Session(
            self.subject, model, hooks.locate(model.module, outlets), self._paused,
            self._told, self._warn, unfinished,
        )  # fmt: skip

    def _paused(self) -> None:
        self._pause()

    def _warn(self, words: str) -> None:
        if self._give is not None:
            self._give(Warned(message=words))

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
    one_at_a_time: bool | None = None,
) -> tuple[Subject, Bench]:
    """A study's inputs and its bench, which is not loaded yet. Raises InputError, StudyError.

    Code of models runs only if the study trusts it (`core.trust.granted`).
    """
    subject = open_subject(study, ["texts"], identities)
    return subject, Bench(subject, say=say, load=load, budget=budget, one_at_a_time=one_at_a_time)


def _go_on() -> None:
    """Nothing asks for a pause."""
