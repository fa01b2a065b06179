"""Messages of the bench: each one comes back from its JSON; foreign values are refused by name."""

import json
from typing import Any

import pytest

from core.bench import messages
from core.bench.messages import Compare, Event, Failed, Generate, Lens, Prompt, Request, Score
from core.errors import StudyError

PROMPT = Prompt(text="A\x1b[31m", system="b", template=True)
REQUESTS: list[Request] = [
    Score(prompt=PROMPT, continuation=" c", columns=("base", "medical=0.5"), against=1),
    Generate(prompt=PROMPT, columns=("base",), temperature=0.7, stop=("\n", "é")),
    Lens(prompt=PROMPT, continuation="", column="base"),
    Compare(prompt=PROMPT, continuation=" c", columns=("base", "medical"), position=3),
]
LENS = {"do": "lens", "prompt": {"text": ""}, "continuation": "", "column": "base"}
EVENTS: list[Event] = [
    messages.Tokens(pieces=("A", " c"), start=1, cut=2),
    messages.Scored(
        column=1, logprobs=(-1.5,), kl=(0.25,), likeliest=((("a", -0.5),),), nll=1.5, nll_change=0.5
    ),
    messages.Piece(column=0, text="a", tokens=1),
    messages.Written(column=0, text="a b", tokens=2, ended="stop"),
    messages.Crossed(nll=((1.0, None), (None, 2.0))),
    messages.LensGrid(rows=((("a", 0.5),),)),
    messages.Differing(neurons=((0, 3, 1.0, -1.0),)),
    messages.Step(label="reading"),
    messages.Warned(message="cut"),
    messages.Done(seconds=0.5),
    Failed(title="No.", cancelled=True),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_comes_back_from_its_line(request_: Request) -> None:
    assert messages.request_of(json.loads(json.dumps(messages.as_json(request_)))) == request_


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_comes_back_from_its_line(event: Event) -> None:
    assert messages.event_of(json.loads(json.dumps(messages.as_json(event)))) == event


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "do"),
        ({"do": "erase"}, "'erase'"),
        ({"do": "score", "prompt": 3}, "prompt"),
        (
            {"do": "lens", "prompt": {"text": 3}, "continuation": "", "column": "base"},
            "prompt.text",
        ),
        ({"do": "lens", "prompt": {"text": ""}, "continuation": "", "column": "base", "x": 1}, "x"),
    ],
)
def test_a_foreign_request_is_refused_by_its_field(given: dict[str, Any], named: str) -> None:
    with pytest.raises(StudyError) as error:
        messages.request_of(given)
    assert named in error.value.title
