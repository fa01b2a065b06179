"""The bench's parts without a screen: knobs, the board, requests in their order, settings."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from app.tui.bench import blind, knobs, opening, position, settings
from app.tui.bench.board import Board
from app.tui.bench.conversation import Conversation
from app.tui.bench.settings import Settings
from app.tui.memory import BenchColumn, BenchPosition, Memory
from app.tui.widgets.board import signed
from app.tui.widgets.lens import percent
from core.bench.columns import parse
from core.bench.messages import (
    Event,
    Failed,
    Generate,
    Piece,
    Prompt,
    Request,
    Score,
    Scored,
    Step,
)
from core.errors import StudyError
from core.evaluation.answers import Answer
from core.figures.passages import Passages
from tests.app.tui.benches import TUNED, FakeLink, answered

TEXTS = [name for name, _ in knobs.templates(TUNED)] + ["transfer:maths+medical=0.5"]
ASKED = Generate(prompt=Prompt(text="a b"), columns=("base", "medical"))


@pytest.mark.parametrize("text", TEXTS)
def test_a_column_is_what_its_knobs_make(text: str) -> None:
    assert knobs.column(knobs.setup(parse(text, TUNED)), TUNED) == parse(text, TUNED)


@pytest.mark.parametrize(
    ("text", "name", "by", "then"),
    [
        ("medical", "medical", -0.05, "medical=0.95"),
        ("medical=0.95", "medical", 0.05, "medical=1"),
        ("medical=0.05,maths=0.4", "medical", -0.05, "maths=0.4"),
        ("ties(density=0.2):medical=1,maths=1", "maths", 0.25,
         "ties(density=0.2):medical=1,maths=1.25"),
        ("removal:medical=1", "medical", -0.5, "removal:medical=0.5"),
        ("steer(medical,layer=3):1", "λ", 0.05, "steer(medical,layer=3):1.05"),
        ("amplify(maths):0.5", "λ", -0.25, "amplify(maths):0.25"),
        ("medical=1", "in", 1, "medical=1 @ attention"),
        ("graft(medical):0-3", "in", 1, "graft(medical):"),
    ],
)  # fmt: skip
def test_a_knob_is_turned(text: str, name: str, by: float, then: str) -> None:
    held = knobs.turned(knobs.setup(parse(text, TUNED)), name, by)
    assert knobs.column(held, TUNED).text == then


def test_a_knob_keeps_its_place_at_zero_and_while_it_is_off() -> None:
    held = knobs.setup(parse("medical=0.05,maths=0.4", TUNED))
    there = [knob.name for knob in knobs.knobs(held)]
    zero = knobs.turned(held, "medical", -0.05)
    off = knobs.switched(zero, "maths")
    assert [knob.name for knob in knobs.knobs(off)] == there == ["medical", "maths", "in"]
    assert knobs.column(off, TUNED).text == "base"
    assert knobs.column(knobs.switched(off, "maths"), TUNED).text == "maths=0.4"


@pytest.mark.parametrize(
    ("text", "name", "then"),
    [
        ("ablate(medical):top-1%", "without", "medical"),
        ("graft(medical):0-3", "in", "base"),
        ("amplify(medical):0.5", "λ", "medical"),
        ("steer(medical,layer=3):1", "λ", "base"),
        ("medical=1 @ mlp", "in", "medical=1"),
        ("medical", "medical", "base"),
    ],
)
def test_a_change_is_switched_off(text: str, name: str, then: str) -> None:
    held = knobs.switched(knobs.setup(parse(text, TUNED)), name)
    assert knobs.column(held, TUNED).text == then


def test_a_number_is_typed() -> None:
    held = knobs.setup(parse("medical", TUNED))
    assert knobs.column(knobs.typed(held, "medical", "0,5"), TUNED).text == "medical=0.5"
    for words in ("x", "inf", "nan"):
        with pytest.raises(StudyError, match="is not a number"):
            knobs.typed(held, "medical", words)
    with pytest.raises(StudyError):
        knobs.typed(knobs.setup(parse("graft(medical):0-3", TUNED)), "in", "heads")


def test_scores_are_shaded_by_their_difference_from_the_reference() -> None:
    board = Board(TUNED, ["base", "medical"])
    asked = Score(prompt=Prompt(text="a b"), continuation="c d e", columns=board.names)
    board.begin(asked)
    for event in answered(asked):
        board.take(event)
    base, medical = (each.scored for each in board.answers)
    assert isinstance(base, Scored)
    assert isinstance(medical, Scored)
    change = [b - a for a, b in zip(base.logprobs, medical.logprobs, strict=True)]
    assert board.values(1, "change") == pytest.approx(change)
    assert board.values(0, "change") == (0.0,) * 3
    tokens = board.figure("KL").blocks[1].passages[0].tokens
    assert [(each.text, each.value) for each in tokens] == [
        ("c", medical.kl[0]), (" d", medical.kl[1]), (" e", medical.kl[2])
    ]  # fmt: skip
    assert not board.busy
    board.begin(replace(asked, columns=("base", "medical=0.5")))
    assert board.busy
    assert board.answers[1].scored == medical, "it stays in sight until the newer answer comes"
    assert not board.answers[1].fresh


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "<0.1%"), (0.0004, "<0.1%"), (0.001, "0.1%"), (0.0996, "10%"), (0.1, "10%"),
        (0.99, "99%"), (0.995, "99.5%"), (0.9994, "99.9%"), (0.9997, ">99.9%"), (1.0, ">99.9%"),
    ],
)  # fmt: skip
def test_a_probability_is_never_none_or_all(share: float, words: str) -> None:
    assert percent(share) == words


def test_nothing_has_no_minus() -> None:
    assert [signed(value) for value in (-0.001, 0.0, -0.006)] == ["+0.00", "+0.00", "−0.01"]


def test_a_step_before_the_answers_goes_when_they_come() -> None:
    board = Board(TUNED, ["base", "medical"])
    board.begin(ASKED)
    board.take(Step(label="states of medical, document 16 of 16"))
    assert board.step.startswith("states")
    board.take(Piece(column=0, text="so far", tokens=2))
    assert not board.step


def test_a_text_that_was_cut_short_stays() -> None:
    board = Board(TUNED, ["base", "medical"])
    board.begin(ASKED)
    board.take(Piece(column=0, text="so far", tokens=2))
    board.take(Failed(title="", cancelled=True))
    assert [(each.phase, each.text) for each in board.answers] == [
        ("done", "so far"),
        ("empty", ""),
    ]
    board.drop(0)
    board.take(Piece(column=1, text="of a column that is gone", tokens=2))
    assert board.names == ("medical",)


async def test_of_requests_only_the_newest_is_heard() -> None:
    link, heard = FakeLink(slow=True), list[tuple[Request, Event]]()
    states: list[str] = []
    talk = Conversation(
        link.connect, lambda *each: heard.append(each), lambda: states.append(talk.state)
    )
    running = asyncio.ensure_future(talk.run())
    first, second = (replace(ASKED, seed=seed) for seed in (1, 2))
    talk.ask(replace(ASKED, seed=0))
    talk.ask(first)  # before anything was sent: the one before is never sent
    await _settle()
    assert link.sent == [first]
    link.say(1, Piece(column=0, text="one", tokens=1))
    await _settle()
    talk.ask(second)
    link.say(1, Piece(column=0, text="too late", tokens=2))
    await _settle()
    link.say(1, Failed(title="", cancelled=True))
    link.say(2, Piece(column=0, text="two", tokens=1))
    await _settle()
    assert [(asked, event.text) for asked, event in heard if isinstance(event, Piece)] == [
        (first, "one"), (second, "two")
    ]  # fmt: skip
    assert talk.due
    talk.cancel()
    await _settle()
    assert link.cancelled == [2]
    link.die()
    await running
    assert (talk.state, talk.runs) == ("ended", False)
    assert "Killed" in str(getattr(talk.error, "hint", ""))
    assert states[0] == "starting"
    assert {"loading", "ready", "ended"} <= set(states)


async def test_a_request_that_is_too_long_is_answered_at_once() -> None:
    class Strict(FakeLink):
        async def send(self, request: Request) -> int:
            if len(request.prompt.text) > 10:
                raise StudyError("The message is too long.", hint="Shorten the text.")
            return await super().send(request)

    link, heard = Strict(), list[tuple[Request, Event]]()
    talk = Conversation(link.connect, lambda *each: heard.append(each), lambda: None)
    running = asyncio.ensure_future(talk.run())
    talk.ask(replace(ASKED, prompt=Prompt(text="x" * 11)))
    await _settle()
    ((_, event),) = heard
    assert event == Failed(title="The message is too long.", hint="Shorten the text.")
    assert (talk.due, talk.runs) == (False, True)
    talk.ask(ASKED)
    await _settle()
    assert {asked for asked, _ in heard[1:]} == {ASKED}
    link.die()
    await running


async def test_a_bench_that_is_left_goes_on() -> None:
    link = FakeLink()
    talk = Conversation(link.connect, lambda *_: None, lambda: None)
    running = asyncio.ensure_future(talk.run())
    await _settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert link.closed


async def _settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


def test_templates_fit_the_models_size() -> None:
    for layers in (None, 1, 2, 3, 32):
        for name, _ in knobs.templates(TUNED, layers):
            column = parse(name, TUNED)
            part = getattr(column, "restriction", None)
            last = max((last for _, last in part.layers), default=0) if part else 0
            assert max(last, getattr(column, "layer", 0)) < (layers or 1)
    names = [name for name, _ in knobs.templates(TUNED, 32)]
    assert {"graft(maths):0-15", "steer(maths,layer=16):1"} <= set(names)


def test_a_bench_stands_as_it_was_left() -> None:
    board = Board(TUNED, ["base", "medical=0.7 @ mlp", "steer(maths,layer=2):1.5", "maths"])
    for column, name in ((1, knobs.PART), (2, knobs.AMOUNT)):
        board.change(column, knobs.switched(board.setups[column], name))
    assert board.names == ("base", "medical=0.7", "base", "maths")
    left = BenchPosition(columns=position.columns_of(board))
    again = Board(TUNED, ["base"])
    again.restore(position.setups(left, TUNED), 3)
    assert (again.names, again.reference) == (board.names, 3)
    again.change(2, knobs.switched(again.setups[2], knobs.AMOUNT))
    assert again.names[2] == "steer(maths,layer=2):1.5"


def test_what_a_memory_says_of_a_bench_is_not_trusted() -> None:
    columns = (BenchColumn(name="gone=1"), BenchColumn(name="maths", off=("x",)))
    left = BenchPosition(
        columns=columns, settings={"seed": "x", "unknown": "1"}, earlier=("gone", "medical"),
    )  # fmt: skip
    (held,) = position.setups(left, TUNED)
    assert held == knobs.setup(parse("maths", TUNED))
    assert position.settings_of(left) == Settings()
    assert position.earlier(left, TUNED) == ["medical"]
    memory = Memory()
    for number in range(position.MOST + 1):
        memory = position.remembered(memory, str(number), left)
    memory = position.remembered(memory, "1", left)
    assert list(memory.benches)[0::19] == ["2", "1"]
    assert len(memory.benches) == position.MOST


def test_settings_are_read_as_they_are_typed() -> None:
    held = Settings(9, 0.7, 0.9, 3, ("\n\n", "Q:"), True, "Be brief.\nThanks.", "text")
    assert settings.read(settings.typed(held)) == held
    ends = settings.read(settings.typed(held) | {"stop": "<|im_end|>||\\n|a<b|c>|"}).stop
    assert ends == ("<|im_end|>", "\n", "a<b", "c>"), "the bars of a token are its own"
    for name, words in (("tokens", "0"), ("temperature", "hot"), ("top_p", "0"), ("seed", "1.5")):
        with pytest.raises(StudyError, match=f"not '{words}'"):
            settings.read(settings.typed(held) | {name: words})
    with pytest.raises(StudyError, match="item, text or document"):
        settings.read(settings.typed(held) | {"alone": "page"})


def test_preferences_are_counted_by_column_whatever_the_order() -> None:
    held, chance = blind.begun(2, random.Random(5)), random.Random(6)
    for _ in range(6):
        held = held.preferred(held.order.index(1), None, chance)
    assert held.counts == (0, 6)
    assert sorted(held.order) == [0, 1]
    summary = blind.summary(held.counts, ("base", "medical"))
    assert summary == "preferred: base 0 · medical 6 · sign test p = 0.031"


@pytest.mark.parametrize(
    ("analysis", "coordinates", "names"),
    [
        ("arithmetic", {"setting": "medical=0.5,maths=1", "module": ""},
         ("base", "medical", "maths", "medical=0.5,maths=1")),
        ("arithmetic", {"setting": "medical=1", "module": "all"}, ("base", "medical=1")),
        ("arithmetic", {"setting": "medical=1", "module": "mlp"},
         ("base", "medical", "medical=1 @ mlp")),
        ("ablation", {"model": "medical", "reference": "base", "setting": "top-1%"},
         ("base", "medical", "ablate(medical,by=base):top-1%")),
        ("ablation", {"model": "medical", "setting": "random-top-1%-seed0"}, ("base", "medical")),
        ("graft", {"model": "medical", "layer": 3, "module": "mlp"},
         ("base", "medical", "graft(medical):mlp,3")),
        ("graft", {"model": "medical", "setting": "rank-8"},
         ("base", "medical", "graft(medical,rank=8):")),
        ("activation", {"model": "medical", "item": "layer 3 neuron 120"},
         ("base", "medical", "ablate(medical):neurons=3.120")),
        ("activation_difference", {"model": "maths", "layer": 2},
         ("base", "maths", "steer(maths,layer=2):1")),
        ("alignment", {"model": "maths", "layer": 2, "module": "q", "head": 3},
         ("base", "maths", "ablate(maths):heads=2.3")),
        ("alignment", {"model": "maths", "layer": 2, "module": "up"},
         ("base", "maths", "graft(maths):mlp,2")),
        ("alignment", {"model": "maths"}, ("base", "maths")),
        ("directions", {"model": "maths", "layer": 2, "module": "down", "direction": "2"},
         ("base", "maths", "steer(maths,layer=2,module=down,direction=2):0.5")),
        ("direction_places", {"model": "maths", "layer": 2, "module": "o"},
         ("base", "maths", "steer(maths,layer=2,module=o):0.5")),
        ("directions", {"model": "maths", "layer": 2, "module": "router"},
         ("base", "maths", "graft(maths):mlp,2")),
        ("interference", {"model": "medical", "reference": "maths", "layer": 1},
         ("base", "medical", "maths", "medical=0.5,maths=0.5")),
        ("vector_cosine", {"model": "medical", "reference": ""}, ("base", "medical")),
        ("tuning_vectors", {"model": "medical", "layer": 1, "module": "norm"},
         ("base", "medical", "graft(medical):1")),
        ("divergence", {}, ()),
        ("evaluation", {"model": "base"}, ()),
    ],
)  # fmt: skip
def test_the_bench_begins_with_the_models_of_a_value(
    analysis: str, coordinates: dict[str, object], names: tuple[str, ...]
) -> None:
    assert opening.columns(analysis, coordinates, TUNED) == names


def test_the_bench_begins_with_the_token_or_the_direction_of_a_row() -> None:
    place = {"model": "maths", "layer": "2", "module": "down"}
    row = {"of": "Δ", "direction": "3", "kurtosis": "9.0"}
    given = opening.given("directions", place, row, None, TUNED)
    assert given["columns"][2] == "steer(maths,layer=2,module=down,direction=3):0.5"
    given = opening.given("directions", place, {**row, "of": "W"}, None, TUNED)
    assert given["columns"][2] == "steer(maths,layer=2,module=down):0.5"
    for token, text in ((" plus", " plus"), ("s", "s"), ("⏎", "\n")):
        given = opening.given("token_shift", {"model": "maths"}, {"token": token}, None, TUNED)
        assert given == {"columns": ("base", "maths"), "continuation": text, "after": True}


def test_the_bench_begins_with_the_prompt_of_an_item() -> None:
    for answer in (
        Answer(0, "2 + 2 =", (" 3", " 4"), (False, True)),
        Answer(0, "2 + 2 =", ("3", "4"), (False, True)),
        Answer(0, "2 + 2 =", target="4", continuation="4"),
        Answer(0, "2 + 2 =", target="4", continuation="\n4"),
        Answer(0, "", ("2 + 2 =4", "2 + 1 =4"), (True, False), continuation="4"),
    ):
        fields = opening.item(Passages(title="", blocks=(), scored=answer.scored))
        continuation = answer.continuation or answer.choices[1]
        assert fields == {"prompt": "2 + 2 =", "continuation": continuation}
    text = Answer(0, "", ("Once.",), (True,)).scored
    fields = opening.item(Passages(title="", blocks=(), scored=text))
    assert fields == {"prompt": "", "continuation": "Once.", "alone": "text"}
    older = Answer(0, "2 + 2 =", target="4").scored
    assert older == {"prompt": "2 + 2 =", "continuation": " 4"}


def test_the_bench_begins_without_the_marks_of_a_cut_text() -> None:
    answer = Answer(0, "[…]5. 2 + 2 =", target="4", continuation=" 4, since […] 2[…]")
    fields = opening.item(Passages(title="", blocks=(), scored=answer.scored))
    note = "The run stored only a part of this text."
    assert fields == {"prompt": "5. 2 + 2 =", "continuation": " 4, since […] 2", "note": note}
    text = Passages(title="", blocks=(), scored=Answer(0, "", ("Once.[…]",), (True,)).scored)
    alone = {"prompt": "", "continuation": "Once.", "alone": "text", "note": note}
    assert opening.item(text) == alone
