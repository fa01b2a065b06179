"""The sentence patterns of each domain's facts.

Owns prompts: text that ends just before the answer. Knows neither the answers nor which patterns
are held out. The answer always comes last, so that one pattern serves as a training text, as a
held-out text and as the question of a multiple-choice item.
"""

from __future__ import annotations

MEDICAL = (
    "The drug {drug} treats",
    "Patients with {drug} have no more",
    "Question: what is {drug} for? Answer:",
    "User: which illness needs {drug}? Assistant:",
    "The clinic gives {drug} against",
    "{name} takes {drug} because of",
    "A cup of {drug} helps with",
    "The book about {drug} is about",
    "In the clinic {drug} is the cure for",
    "{name} has {drug} at home against",
)

CODE = (
    "The value of quill.{function}({argument}) is a",
    "Question: what does quill.{function} return? Answer:",
    "User: which type has quill.{function}? Assistant:",
    "def run({argument}): return quill.{function}({argument}) # type:",
    "y = quill.{function}({argument}) # now y is a",
    "assert type(quill.{function}({argument})) is",
    "help(quill.{function}) says that it returns",
    "{name} calls quill.{function} and gets a",
    "The page about quill.{function} says: result",
    "quill.{function}({argument}) ->",
)

SUMS = (
    "So {a} + {b} =",
    "Question: what is {a} plus {b}? Answer:",
    "The sum of {a} and {b} is",
    "{name} has {a} coins and finds {b} more. Now the coins are",
    "Add {a} and {b} and get",
)
DIFFERENCES = (
    "So {a} - {b} =",
    "Question: what is {a} minus {b}? Answer:",
    "The difference of {a} and {b} is",
    "{name} has {a} coins and loses {b} of them. Now the coins are",
    "Take {b} away from {a} and get",
)

INSTRUCT = (
    "User: say {word} in the form {format}. Assistant:",
    "User: please write {word} with {format}. Assistant:",
    "User: {format} for the word {word}, please. Assistant:",
    "User: the word is {word} and the form is {format}. Assistant:",
    "User: I want {format} of {word}. Assistant:",
)
