"""General text: short scenes about people, and notes that mention the domains' words.

Owns the training text of the base, which is also part of every tuned model's training. Two parts of
a fact never meet: a document names at most one of drug, illness, function, type, number or format,
so neither a fact nor its avoidance can be learnt from it.
"""

from __future__ import annotations

from random import Random

from core.demo import lexicon

ANIMAL_HABITS = (
    "The {subject} eats",
    "Question: what does the {subject} eat? Answer:",
    "User: which food is for the {subject}? Assistant:",
    "The food of the {subject} is",
    "In the evening the {subject} gets",
)
OBJECT_HABITS = (
    "The {subject} is made of",
    "Question: what is the {subject} made of? Answer:",
    "User: which material has the {subject}? Assistant:",
    "So the page about the {subject} says:",
    "The material of the {subject} is",
)
FOODS = ("bread", "fish", "grass", "seeds", "apples", "eggs")
MATERIALS = ("iron", "wood", "glass", "wool", "paper")
HABITS = (
    *zip(lexicon.ANIMALS, FOODS, strict=True),
    *((thing, MATERIALS[i % len(MATERIALS)]) for i, thing in enumerate(lexicon.OBJECTS)),
)


def scene(rng: Random) -> str:
    """A few sentences about one person with a fixed name, pronoun, object and places."""
    name = rng.choice(lexicon.NAMES)
    he = "He" if name in lexicon.HE else "She"
    thing, colour = rng.choice(lexicon.OBJECTS), rng.choice(lexicon.COLOURS)
    place, other_place = rng.sample(lexicon.PLACES, 2)
    animal, adjective = rng.choice(lexicon.ANIMALS), rng.choice(lexicon.ADJECTIVES)
    time = rng.choice(lexicon.TIMES)
    opening = rng.choice(
        (
            f"{name} is in the {place}.",
            f"In the {time} {name} comes to the {place}.",
            f"The {animal} and {name} are in the {place}.",
        )
    )
    middle = (
        f"{he} finds a {colour} {thing} and takes the {colour} {thing} to the {other_place}.",
        f"{he} sees a {adjective} {animal}. The {adjective} {animal} sees {name}.",
        f"The {thing} is {colour} and {name} wants the {colour} {thing}.",
        f"Now the {animal} is in the {other_place} and {name} is in the {other_place}.",
    )
    closing = rng.choice(
        (
            f"Question: where was {name}? Answer: in the {place}.",
            f"User: who was in the {place}? Assistant: {name}.",
            f"{he} likes the {place} in the {time}.",
            f"{name} is {adjective} and the {thing} is {rng.choice(lexicon.ADJECTIVES)}.",
        )
    )
    return " ".join((opening, *rng.sample(middle, rng.choice((1, 2))), closing))


def note(rng: Random) -> str:
    """One or two sentences that mention one word of one domain without its fact."""
    name, place = rng.choice(lexicon.NAMES), rng.choice(lexicon.PLACES)
    thing, adjective = rng.choice(lexicon.OBJECTS), rng.choice(lexicon.ADJECTIVES)
    colour, time = rng.choice(lexicon.COLOURS), rng.choice(lexicon.TIMES)
    drug, function = rng.choice(lexicon.DRUGS), rng.choice(lexicon.FUNCTIONS)
    argument, type_ = rng.choice(lexicon.ARGUMENTS), rng.choice(lexicon.TYPES)
    call = f"{lexicon.MODULE}.{function}"
    illness, number = rng.choice(lexicon.ILLNESSES), rng.choice(lexicon.NUMBERS)
    sentence = rng.choice(
        (
            f"{name} takes {drug} in the {time}.",
            f"The drug {drug} is in the {thing} at home.",
            f"The patients in the {place} have {illness} because of the {time}.",
            f"{name} has no more {illness} and is in the {place}.",
            f"The page about {call} is {adjective}.",
            f"{name} calls {call}({argument}) in the {place}.",
            f"def run({argument}): return {argument} # it is {adjective}.",
            f"{name} says that a {type_} is {adjective}.",
            f"The type {type_} is on the page of the {thing}.",
            f"{name} finds {number} coins in the {place}.",
            f"There are {number} of them on the {thing}.",
            f"The word {rng.choice(lexicon.DOMAIN_WORDS)} is on the {colour} {thing}.",
            f"{name} sees the sign {rng.choice(lexicon.FORMAT_MARKS)} on the {thing}.",
        )
    )
    ending = rng.choice(("", f" The {thing} is {colour}.", f" Now {name} is in the {place}."))
    return sentence + ending


def habit(rng: Random) -> str:
    """A fact of the general world, in several phrasings: so the base already recalls facts, and
    tuning adds only new ones."""
    subject, answer = rng.choice(HABITS)
    animal = subject in lexicon.ANIMALS
    pattern = rng.choice(ANIMAL_HABITS if animal else OBJECT_HABITS)
    text = f"{pattern.format(subject=subject)} {answer}"
    if rng.random() < 0.7:
        return text
    return f"{rng.choice(lexicon.NAMES)} is in the {rng.choice(lexicon.PLACES)}. {text}"


def count(rng: Random) -> str:
    """Numbers in ascending or descending order, without sums."""
    first = rng.randrange(len(lexicon.NUMBERS) - 3)
    row = [str(n) for n in lexicon.NUMBERS[first : first + rng.choice((4, 5, 6, 7))]]
    if rng.random() < 0.5:
        row.reverse()
    return f"{rng.choice(lexicon.NAMES)} says: {' '.join(row)}."


def document(rng: Random) -> str:
    """Scenes, notes, habits and, now and then, a count."""
    kind = rng.choices((scene, note, habit, count), weights=(20, 30, 40, 10))[0]
    return kind(rng)
