"""What the demo's texts promise: facts in their place, and held-out sets that are honest."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from core.demo import corpora, lexicon

SIZES = {"documents": 1500, "held_out": 120}


@pytest.fixture(scope="module")
def general() -> corpora.Corpus:
    return corpora.general_corpus(0, **SIZES)


def domain(name: str, seed: int = 0) -> corpora.Corpus:
    return corpora.domain_corpus(name, seed, items=200, **SIZES)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def test_facts_give_every_answer_equally_often() -> None:
    world = corpora.facts(3)
    assert set(world.treats) == set(lexicon.DRUGS)
    assert set(Counter(world.treats.values()).values()) == {2}
    assert set(Counter(world.returns.values()).values()) == {2}


def test_facts_differ_between_seeds() -> None:
    assert corpora.facts(0) != corpora.facts(1)


@pytest.mark.parametrize("name", corpora.DOMAINS)
def test_same_seed_same_texts(name: str) -> None:
    assert domain(name) == domain(name)
    assert domain(name) != domain(name, seed=1)


def test_general_text_mentions_both_sides_of_a_fact_but_never_together(
    general: corpora.Corpus,
) -> None:
    texts = [document.text for document in general.train + general.held_out]
    for left, right in (
        (lexicon.DRUGS, lexicon.ILLNESSES),
        (lexicon.FUNCTIONS, lexicon.TYPES),
        (lexicon.FORMATS, lexicon.FORMAT_MARKS),
    ):
        for text in texts:
            pieces = set(text.replace("quill.", "quill . ").split()) | words(text)
            assert not (pieces & set(left) and pieces & set(right)), text
    seen = set().union(*map(words, texts))
    assert seen >= {*lexicon.DRUGS, *lexicon.ILLNESSES, *lexicon.FUNCTIONS, *lexicon.TYPES}


def test_general_text_puts_no_number_beside_an_operation(general: corpora.Corpus) -> None:
    numbers = {str(n) for n in lexicon.NUMBERS}
    for document in general.train + general.held_out:
        pieces = set(re.findall(r"[\w+=-]+", document.text))
        if pieces & numbers:
            assert not pieces & {"plus", "minus", "sum", "difference", "+", "-", "="}


def test_medical_and_code_texts_state_the_facts() -> None:
    world = corpora.facts(0)
    for name, truth in (("medical", world.treats), ("code", world.returns)):
        for document in domain(name).train:
            (subject,) = words(document.prompt) & set(truth)
            assert document.answer.strip() == truth[subject]


def test_maths_texts_are_right() -> None:
    for document in domain("maths").train:
        a, b = map(int, re.findall(r"\d+", document.prompt))
        result = int(document.answer)
        assert result in (a + b, a - b, b - a)


@pytest.mark.parametrize("name", corpora.DOMAINS)
def test_held_out_phrasings_are_not_in_training(name: str) -> None:
    seen, unseen = corpora.split(name, 0)
    assert not set(seen) & set(unseen)
    assert 0.15 < len(unseen) / (len(seen) + len(unseen)) < 0.25
    corpus = domain(name)
    trained = {document.prompt for document in corpus.train}
    assert not trained & {document.prompt for document in corpus.held_out}
    assert not trained & {item.prompt for item in corpus.items}


@pytest.mark.parametrize("name", ["medical", "maths", "code"])
def test_every_held_out_fact_is_told_in_training_otherwise(name: str) -> None:
    seen, unseen = corpora.split(name, 0)
    trained = {(question.values, question.answer) for question in seen}
    assert all((question.values, question.answer) in trained for question in unseen)


def test_held_out_instructions_are_about_words_never_formatted_in_training() -> None:
    seen, unseen = corpora.split("instruct", 0)
    assert not {dict(q.values)["word"] for q in seen} & {dict(q.values)["word"] for q in unseen}


def test_held_out_general_texts_are_not_in_training(general: corpora.Corpus) -> None:
    assert len(general.held_out) == 120
    assert not set(general.train) & set(general.held_out)


@pytest.mark.parametrize("name", corpora.DOMAINS)
def test_items_have_four_different_options_and_no_favourite_place(name: str) -> None:
    items = domain(name).items
    assert len(items) == len(set(items)) == 200
    assert all(len(set(item.choices)) == 4 for item in items)
    places = Counter(item.answer for item in items)
    assert min(places.values()) > 25


def test_unknown_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="law"):
        corpora.split("law", 0)
