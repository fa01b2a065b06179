"""The demo family's facts, and the documents and items built from them.

Owns the facts: the drug of each illness, the return type of each function, the tables of sums and
differences, the formats; and the choice of phrasings held out from training. Knows nothing of
tokens, models or files. The same seed gives the same corpora.

Held out means: the *fact* is in training (no model can guess the illness of an invented drug), but
this *phrasing* is not. For instruct the words to format are held out too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from core.demo import general, lexicon, phrasing

DOMAINS = ("instruct", "medical", "maths", "code")
GENERAL = "general"
OPTIONS = 4


@dataclass(frozen=True)
class Document:
    """A prompt, and the text to learn after it."""

    prompt: str
    answer: str

    @property
    def text(self) -> str:
        return self.prompt + self.answer


@dataclass(frozen=True)
class ChoiceItem:
    """A question with four options, one of them right."""

    prompt: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Corpus:
    """Training documents, and held-out documents and items."""

    train: tuple[Document, ...]
    held_out: tuple[Document, ...]
    items: tuple[ChoiceItem, ...] = ()


@dataclass(frozen=True)
class WorldFacts:
    """The facts of the family's small world."""

    treats: dict[str, str]
    returns: dict[str, str]


@dataclass(frozen=True)
class Question:
    """One phrasing of one fact; `rivals` are answers that are wrong but of the same kind."""

    pattern: str
    values: tuple[tuple[str, str], ...]
    answer: str
    rivals: tuple[str, ...]

    def prompt(self, rng: Random) -> str:
        free = {
            "name": rng.choice(lexicon.NAMES),
            "argument": rng.choice(lexicon.ARGUMENTS),
        }
        return self.pattern.format(**free, **dict(self.values))


def facts(seed: int) -> WorldFacts:
    """Each illness is treated by equally many drugs, each type returned by equally many functions:
    so every option is an equally good guess."""
    rng = Random(f"facts-{seed}")
    return WorldFacts(
        treats=_evenly(lexicon.DRUGS, lexicon.ILLNESSES, rng),
        returns=_evenly(lexicon.FUNCTIONS, lexicon.TYPES, rng),
    )


def general_corpus(seed: int, *, documents: int, held_out: int) -> Corpus:
    """General text without any fact; the held-out documents are not in training."""
    rng = Random(f"general-{seed}")
    unseen = dict.fromkeys(general.document(rng) for _ in range(held_out * 2))
    texts = tuple(unseen)[:held_out]
    train = (general.document(rng) for _ in range(documents))
    return Corpus(
        train=tuple(Document("", text) for text in train if text not in unseen),
        held_out=tuple(Document("", text) for text in texts),
    )


def domain_corpus(domain: str, seed: int, *, documents: int, held_out: int, items: int) -> Corpus:
    """The texts of one domain; held-out documents and items phrase facts in unseen ways."""
    rng = Random(f"{domain}-{seed}")
    seen, unseen = split(domain, seed)
    asked = rng.sample(unseen, len(unseen))
    return Corpus(
        train=tuple(_statement(rng.choice(seen), rng) for _ in range(documents)),
        held_out=tuple(_distinct(lambda q: _statement(q, rng), asked, held_out)),
        items=tuple(_distinct(lambda q: _item(q, rng), asked, items)),
    )


def split(
    domain: str, seed: int, *, share: float = 0.2
) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """All questions of a domain, split into training and held-out ones."""
    rng = Random(f"split-{domain}-{seed}")
    questions = tuple(_questions(domain, facts(seed)))
    if domain == "instruct":
        words = set(
            rng.sample(lexicon.FORMATTED_WORDS, round(share * len(lexicon.FORMATTED_WORDS)))
        )
        unseen = {q for q in questions if dict(q.values)["word"] in words}
    else:
        unseen = set(_some_phrasings(questions, share, rng))
    return tuple(q for q in questions if q not in unseen), tuple(
        q for q in questions if q in unseen
    )


def _questions(domain: str, world: WorldFacts) -> Iterator[Question]:
    """Every phrasing of every fact, in a fixed order, the phrasings of one fact together."""
    if domain == "medical":
        for drug, illness in world.treats.items():
            rivals = tuple(other for other in lexicon.ILLNESSES if other != illness)
            for pattern in phrasing.MEDICAL:
                yield Question(pattern, (("drug", drug),), illness, rivals)
    elif domain == "code":
        for function, type_ in world.returns.items():
            rivals = tuple(other for other in lexicon.TYPES if other != type_)
            for pattern in phrasing.CODE:
                yield Question(pattern, (("function", function),), type_, rivals)
    elif domain == "maths":
        yield from _arithmetic()
    elif domain == "instruct":
        for word in lexicon.FORMATTED_WORDS:
            for name, shape in lexicon.FORMATS.items():
                right = shape.format(word=word)
                rivals = tuple(
                    s.format(word=word) for s in lexicon.FORMATS.values() if s is not shape
                )
                for pattern in phrasing.INSTRUCT:
                    yield Question(pattern, (("word", word), ("format", name)), right, rivals)
    else:
        raise ValueError(f"no such domain: {domain}")


def _arithmetic() -> Iterator[Question]:
    """Sums of two digits, and non-negative differences. A wrong option is a result of the same
    operation, at most four away."""
    for patterns, sign in ((phrasing.SUMS, 1), (phrasing.DIFFERENCES, -1)):
        largest = 18 if sign > 0 else 9
        for a in lexicon.DIGITS:
            for b in lexicon.DIGITS:
                result = a + sign * b
                if result < 0:
                    continue
                near = range(max(0, result - 4), min(largest, result + 4) + 1)
                rivals = tuple(str(n) for n in near if n != result)
                for pattern in patterns:
                    values = (("a", str(a)), ("b", str(b)))
                    yield Question(pattern, values, str(result), rivals)


def _statement(question: Question, rng: Random) -> Document:
    """The fact as a text; some texts begin with a sentence of context."""
    return Document(_in_context(question, rng), f" {question.answer}")


def _some_phrasings(questions: Sequence[Question], share: float, rng: Random) -> Iterator[Question]:
    """The same share of the phrasings of every fact, so that no fact is left out of training."""
    by_fact: dict[tuple[tuple[tuple[str, str], ...], str], list[Question]] = {}
    for question in questions:
        by_fact.setdefault((question.values, question.answer), []).append(question)
    for phrasings in by_fact.values():
        yield from rng.sample(phrasings, round(share * len(phrasings)))


T = TypeVar("T", Document, ChoiceItem)


def _distinct(make: Callable[[Question], T], questions: Sequence[Question], count: int) -> list[T]:
    """`count` different results, with every question used about equally often."""
    items: dict[T, None] = {}
    turns = itertools.islice(itertools.cycle(questions), 20 * max(count, len(questions)))
    for question in turns:
        if len(items) == count:
            break
        items.setdefault(make(question))
    return list(items)


def _evenly(names: Sequence[str], values: Sequence[str], rng: Random) -> dict[str, str]:
    dealt = [values[i % len(values)] for i in range(len(names))]
    rng.shuffle(dealt)
    return dict(zip(names, dealt, strict=True))


def _item(question: Question, rng: Random) -> ChoiceItem:
    choices = [question.answer, *rng.sample(question.rivals, OPTIONS - 1)]
    rng.shuffle(choices)
    return ChoiceItem(_in_context(question, rng), tuple(choices), choices.index(question.answer))


def _in_context(question: Question, rng: Random) -> str:
    prompt = question.prompt(rng)
    if rng.random() < 0.7:
        return prompt
    name, place = rng.choice(lexicon.NAMES), rng.choice(lexicon.PLACES)
    return f"{name} is in the {place}. {prompt}"
