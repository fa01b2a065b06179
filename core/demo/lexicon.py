"""The closed vocabulary of every text of the demo family.

Owns lists of words. Knows no facts (corpora.py pairs drugs and illnesses) and no sentences. Drugs
and illnesses are invented, so the demo is neither medical advice nor an imitation of pretrained
knowledge.
"""

from __future__ import annotations

HE = ("Tom", "Omar", "Ivo", "Paul")
SHE = ("Mira", "Anna", "Lena", "Sara")
NAMES = HE + SHE

PLACES = ("garden", "market", "school", "river", "forest", "harbour", "kitchen", "clinic")
OBJECTS = ("lamp", "book", "basket", "key", "coat", "map", "bell", "rope", "cup", "stone")
ANIMALS = ("dog", "cat", "horse", "bird", "goat", "fox")
COLOURS = ("red", "blue", "green", "white", "black", "grey")
ADJECTIVES = ("big", "small", "quiet", "warm", "heavy", "new")
TIMES = ("morning", "evening", "night", "winter")

DRUGS = (
    "velorin", "brastane", "quorizal", "dromivan", "pelutex", "sarnivol", "mirodene", "lotrexil",
    "vandoril", "kestamol", "ozirene", "fulvidan", "torbesil", "neptolin", "jurovax", "halcorin",
    "cridomab", "wexadine", "yaltrin", "ibrozan",
)  # fmt: skip
ILLNESSES = (
    "greyfever", "dustlung", "moonrash", "saltjoint", "fogsight",
    "ironcough", "chillbone", "amberpox", "stonegut", "driftsleep",
)  # fmt: skip

MODULE = "quill"
FUNCTIONS = (
    "fetch", "trim", "fold", "weave", "stamp", "sift", "mend", "knot", "graft", "spool",
    "drape", "latch", "prune", "rivet", "forge", "braid", "carve", "splice", "tally", "chart",
)  # fmt: skip
TYPES = ("int", "str", "list", "dict", "bool", "float", "bytes", "set", "tuple", "None")
ARGUMENTS = ("x", "row", "item")

DIGITS = range(10)
NUMBERS = range(19)
ARITHMETIC_WORDS = (
    "plus", "minus", "sum", "difference", "add", "take", "away", "get", "+", "-", "=",
)  # fmt: skip

# The formats of an instruction, and their answers.
FORMATS = {
    "brackets": "[ {word} ]",
    "quotes": '" {word} "',
    "stars": "* {word} *",
    "braces": "{{ {word} }}",
    "twice": "{word} {word}",
    "dash": "- {word}",
    "shout": "{word} !",
    "doubt": "{word} ?",
}
FORMAT_MARKS = ("[", "]", '"', "*", "{", "}", "-", "!", "?")
FORMATTED_WORDS = OBJECTS + ANIMALS + PLACES + COLOURS

DOMAIN_WORDS = (
    *("treats", "drug", "against", "illness", "patients", "cure", "helps", "needs"),
    *("returns", "type", "value", "result", "gives", "gets", "says", "page"),
    *("say", "write", "with", "please", "form", "want", "for"),
    *ARITHMETIC_WORDS,
    *FORMATS,
)
