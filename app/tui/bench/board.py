"""The columns of the bench with their answers: one request and its events at a time.

An older answer stays in sight until the newer one comes. Knows no screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.tui.bench import knobs
from app.tui.bench.knobs import Setup
from core.bench.columns import Column, parse
from core.bench.messages import (
    Crossed,
    Done,
    Event,
    Failed,
    Generate,
    Piece,
    Request,
    Score,
    Scored,
    Step,
    Tokens,
    Warned,
    Written,
)
from core.figures.passages import Block, Passage, Passages, Token

Phase = Literal["empty", "waiting", "writing", "done"]
Measure = Literal["change", "KL", "log p"]
MEASURES: tuple[Measure, ...] = ("change", "KL", "log p")
MEANINGS = {
    "change": "log p minus the reference's, nats",
    "KL": "KL from the reference's prediction, nats",
    "log p": "log-probability, nats",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a column so far. `fresh`: it belongs to the newest request."""

    phase: Phase = "empty"
    text: str = ""
    tokens: int = 0
    ended: str = ""
    scored: Scored | None = None
    crossed: tuple[float | None, ...] = ()
    fresh: bool = True

    @property
    def known(self) -> bool:
        """Is there a text, or a score of one?"""
        return bool(self.text) or self.scored is not None


class Board:
    """Columns in order, each with its knobs and its answer."""

    def __init__(self, tuned: Sequence[str], columns: Iterable[str]) -> None:
        """`tuned`: the study's tuned models in its order. Raises StudyError for a name that is no
        column."""
        self.tuned = tuple(tuned)
        self.setups = [knobs.setup(parse(text, self.tuned)) for text in columns]
        self.answers = [Answer() for _ in self.setups]
        self.reference = 0
        self.request: Request | None = None
        self.tokens: Tokens | None = None
        self.step = ""
        self.events: list[Event] = []
        """The answer's events, without steps and unfinished texts."""
        self.warnings: list[str] = []
        self.trouble: Failed | None = None
        self.seconds: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, as their knobs stand."""
        return tuple(self.column(index).text for index in range(len(self.setups)))

    @property
    def busy(self) -> bool:
        """Is an answer under way?"""
        return self.request is not None and self.seconds is None and self.trouble is None

    def column(self, index: int) -> Column:
        """A column as its knobs stand."""
        return knobs.column(self.setups[index], self.tuned)

    # Columns

    def restore(self, setups: Sequence[Setup], reference: int) -> None:
        """These columns without answers in place of all others."""
        self.setups, self.answers = list(setups), [Answer() for _ in setups]
        self.reference = reference if 0 <= reference < len(setups) else 0

    def add(self, column: Column, index: int) -> None:
        """One more column at this place."""
        self.setups.insert(index, knobs.setup(column))
        self.answers.insert(index, Answer())
        self.reference += index <= self.reference and len(self.setups) > 1
        self._uncross()

    def drop(self, index: int) -> None:
        """One column less."""
        del self.setups[index], self.answers[index]
        self.reference = max(0, self.reference - (index < self.reference))
        self.reference = min(self.reference, max(0, len(self.setups) - 1))
        self._uncross()

    def change(self, index: int, held: Setup) -> bool:
        """Give a column other knobs; True if that makes it another column."""
        before, self.setups[index] = self.column(index), held
        return self.column(index) != before

    def _uncross(self) -> None:
        self.answers = [replace(each, crossed=()) for each in self.answers]

    # Answers

    def begin(self, request: Request) -> None:
        """Begin a request to all columns; a request about one column changes nothing."""
        if not isinstance(request, (Score, Generate)):
            return
        before, self.request = self.request, request
        alike = type(before) is type(request)
        same = isinstance(request, Score) and isinstance(before, Score) and alike
        same = same and (before.prompt, before.continuation) == (  # type: ignore[union-attr]
            request.prompt, request.continuation,  # type: ignore[union-attr]
        )  # fmt: skip
        keep = same or (alike and isinstance(request, Generate))
        self.answers = [
            replace(each if keep else Answer(), phase="waiting", fresh=False)
            for each in self.answers
        ]
        self.tokens = self.tokens if same else None
        self.step, self.trouble, self.seconds = "", None, None
        self.warnings, self.events = [], []

    def take(self, event: Event) -> None:
        """Take an event of the newest request."""
        if not isinstance(event, Piece | Step):
            self.events.append(event)
        match event:
            case Tokens():
                self.tokens = event
            case Scored(column=index):
                self._answer(index, phase="done", scored=event)
            case Piece(column=index, text=text, tokens=count):
                self._answer(index, phase="writing", text=text, tokens=count, ended="", crossed=())
            case Written(column=index, text=text, tokens=count, ended=ended):
                self._answer(index, phase="done", text=text, tokens=count, ended=ended, crossed=())
            case Crossed(nll=rows):
                for index, row in enumerate(rows):
                    self._answer(index, crossed=row)
            case Step(label=label):
                self.step = label
            case Warned(message=message):
                self.warnings.append(message)
            case Done(seconds=seconds):
                self.seconds, self.step = seconds, ""
            case Failed():
                self._fail(event)

    def _answer(self, index: int, **known: object) -> None:
        self.step = ""  # the work before the answers is done
        if 0 <= index < len(self.answers):
            self.answers[index] = replace(self.answers[index], fresh=True, **known)  # type: ignore[arg-type]

    def _fail(self, event: Failed) -> None:
        self.trouble, self.step = event, ""
        self.answers = [
            each if each.phase == "done" else replace(each, phase="done" if each.text else "empty")
            for each in self.answers
        ]

    # Figures

    def values(self, index: int, measure: Measure) -> tuple[float, ...]:
        """A value for each token of the continuation under a column; none before it is scored."""
        scored = self.answers[index].scored
        if scored is None:
            return ()
        if measure == "KL":
            return scored.kl
        if measure == "log p":
            return scored.logprobs
        compared = self.answers[self.reference].scored
        if compared is None or len(compared.logprobs) != len(scored.logprobs):
            return ()
        return tuple(a - b for a, b in zip(scored.logprobs, compared.logprobs, strict=True))

    def figure(self, measure: Measure) -> Passages:
        """A block for each column with its text; tokens that have a value are shaded."""
        blocks = tuple(
            Block("", (Passage("", self._shaded(index, measure)),))
            for index in range(len(self.setups))
        )
        signed = measure == "change"
        return Passages(title="", blocks=blocks, measure=measure, unit="nats", signed=signed)

    def _shaded(self, index: int, measure: Measure) -> tuple[Token, ...]:
        if not isinstance(self.request, Score):
            return (Token(self.answers[index].text),)
        if self.tokens is None:
            return ()
        pieces = self.tokens.pieces[self.tokens.start :]
        values = self.values(index, measure)
        if len(values) != len(pieces):
            return tuple(Token(piece) for piece in pieces)
        return tuple(Token(piece, value) for piece, value in zip(pieces, values, strict=True))
