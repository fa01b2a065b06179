"""Answers of the bench against models of transformers, computed apart from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.bench import needs
from core.bench.bench import Bench
from core.bench.messages import (
    Crossed,
    Generate,
    Piece,
    Prompt,
    Score,
    Scored,
    Tokens,
    Warned,
    Written,
)
from core.errors import Cancelled, RunError, StudyError
from core.models.placement import DeviceShare
from core.vectors.sweep import hash_parameters
from tests.core import zoo
from tests.core.bench.tried import (
    CONTINUATION,
    IDS,
    LETTERS,
    PROMPT,
    START,
    asked,
    close,
    logs,
    of,
    opened,
    said,
    scored,
)

MIX = "tuned0=0.3,tuned1=-0.5"

Models = dict[str, Any]


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen2_moe"])
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, Models]]:
    """A bench, and its models and a mix of them as transformers has them."""
    folder = tmp_path_factory.mktemp("family")
    models = dict(
        zip(("base", "tuned0", "tuned1"), zoo.build(request.param, folder, models=2), strict=True)
    )
    models[MIX] = _mixed(request.param, models)
    for model in models.values():
        model.eval()
    with opened(folder) as bench:
        yield bench, models


def test_scores_are_those_of_the_models_alone(tried: tuple[Bench, Models]) -> None:
    bench, models = tried
    events = asked(
        bench, Score(prompt=PROMPT, continuation=CONTINUATION, columns=tuple(models), against=1)
    )
    (tokens,) = of(Tokens, events)
    assert tokens.start == START
    assert "".join(tokens.pieces[1:]) == PROMPT.text + CONTINUATION
    known = {name: logs(model) for name, model in models.items()}
    found_of = {event.column: event for event in of(Scored, events)}
    assert len(found_of) == len(models)
    for column, name in enumerate(models):
        log_probs, other = known[name], known["tuned0"]
        result, wanted = found_of[column], said(log_probs)
        close(result.logprobs, wanted)
        close(result.kl, (log_probs.exp() * (log_probs - other)).sum(1))
        close(result.nll, -wanted.mean())
        close(result.nll_change, (said(other) - wanted).mean())
        close([share for _, share in result.likeliest[0]], log_probs[0].topk(5).values)


def test_greedy_texts_are_those_of_the_models_alone(tried: tuple[Bench, Models]) -> None:
    bench, models = tried
    names = ("base", "tuned0", "tuned0=1", "tuned1=0", MIX)
    events = asked(bench, Generate(prompt=PROMPT, columns=names, tokens=6))
    by_name = {"tuned0=1": models["tuned0"], "tuned1=0": models["base"]} | models
    ids = torch.tensor([IDS[:START]])
    written = {event.column: event for event in of(Written, events)}
    rows: list[list[int]] = []
    for column, name in enumerate(names):
        generated = by_name[name].generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )[0, START:].tolist()  # fmt: skip
        rows.append([token for token in generated if token != 2])
        assert written[column].tokens == len(rows[-1])
        assert written[column].ended == ("end" if 2 in generated else "length")
        assert written[column].text == _text(rows[-1])
        assert [event.tokens for event in of(Piece, events) if event.column == column] == list(
            range(1, len(rows[-1]) + (written[column].ended == "end"))
        )
    (crossed,) = of(Crossed, events)
    for i, row in enumerate(rows):
        for j, name in enumerate(names):
            close(crossed.nll[i][j], _loss(by_name[name], row) if row else None)


def test_an_interrupted_answer_leaves_the_bench_usable(tried: tuple[Bench, Models]) -> None:
    bench, models = tried
    left = 0

    def pause() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Cancelled("A newer request came.")

    for steps in range(7):  # within a write of weights, between layers, between columns
        left, columns = steps, (f"tuned1=0.{steps}1", f"tuned0=0.{steps}1")
        with pytest.raises(Cancelled):
            asked(bench, Score(prompt=PROMPT, continuation=" z and", columns=columns), pause)
        bench._passes.forget()
        for result, name in zip(scored(bench, "tuned1", "base"), ("tuned1", "base"), strict=True):
            close(result.nll, _loss(models[name], IDS[START:]))
    assert zoo.attached(bench._passes.model.module) == []


def test_the_base_comes_back_bit_for_bit(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path)
    bench = opened(tmp_path, "tuned0")
    with bench:
        module = bench._passes.model.module
        before = hash_parameters(module)
        asked(bench, Generate(prompt=PROMPT, columns=("base", "tuned0", "tuned0=0.5"), tokens=3))
        assert bench.held["cpu"] > 0
    assert hash_parameters(module) == before


def test_equal_columns_draw_equal_texts_of_a_seed(tried: tuple[Bench, Models]) -> None:
    bench, _ = tried

    def texts(*names: str, seed: int = 1, temperature: float = 1.0) -> list[str]:
        drawn = Generate(
            prompt=PROMPT, columns=names, tokens=8, temperature=temperature, top_p=0.95, seed=seed
        )  # fmt: skip
        by_column = {event.column: event.text for event in of(Written, asked(bench, drawn))}
        return [by_column[column] for column in range(len(names))]

    first, other, again = texts("tuned0", "base", "tuned0=1")
    assert first == again
    assert texts("base") == [other]
    assert len({texts("base", seed=seed)[0] for seed in range(4)}) > 1
    assert texts("base", temperature=1e-4) == texts("base", temperature=0)


def test_one_after_another_writes_the_same_as_in_turns(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path, models=2)
    columns = ("base", "tuned0", "tuned1", "amplify(tuned0):2")
    request = Generate(prompt=PROMPT, columns=columns, tokens=5, stop=("zz",))
    texts = []
    for budget in (0, 1 << 30):
        with opened(tmp_path, budget=budget) as bench:
            events = asked(bench, request)
            order = [event.column for event in of(Piece, events)]
            assert (order == sorted(order, key=order.index)) == (budget == 0)
            texts.append({event.column: event.text for event in of(Written, events)})
    assert texts[0] == texts[1]


def test_weights_that_are_wanted_again_are_held(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path, models=2)
    size = sum(p.numel() * 4 for p in zoo.alive("llama").module.parameters())
    columns = ("base", "tuned0", "tuned1", MIX)
    with opened(tmp_path, budget=2 * size) as bench:
        shelf, first = bench._passes.shelf, scored(bench, *columns)
        for _ in range(3):
            bench._passes.forget()
            assert scored(bench, *columns) == first
            assert shelf.nbytes["cpu"] <= 6 * size  # with the base's copy and two vectors
        at_hand = len(shelf.ready)
        asked(bench, Generate(prompt=PROMPT, columns=columns[:3], tokens=2))
        assert at_hand == 4
        bench._passes.forget()
        assert scored(bench, *columns) == first
        shelf.drop()
        bench._passes.forget()
        assert scored(bench, *columns) == first


def test_one_model_at_a_time_scores_the_same(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path, models=2)
    columns = (
        "base",
        "tuned0",
        MIX,
        "ties(density=0.5):tuned0=1,tuned1=1",
        "graft(tuned0,rank=2):",
    )
    results, held = [], []
    for apart in (False, True):
        with opened(tmp_path, one_at_a_time=apart) as bench:
            results.append(scored(bench, *columns))
            held.append(bench.held["cpu"])
    assert results[0] == results[1]
    size = sum(p.numel() * 4 for p in zoo.alive("llama").module.parameters())
    assert held[0] - held[1] == 3 * size  # the base's copy and two vectors


def test_needs_choose_by_the_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.build("llama", tmp_path, models=2)
    subject = opened(tmp_path).subject
    size = sum(p.numel() * 4 for p in zoo.alive("llama").module.parameters())
    requirements = needs.requirements(subject)
    assert (requirements.together["cpu"], requirements.apart["cpu"]) == (4 * size, size)
    assert not requirements.one_at_a_time
    monkeypatch.setattr(needs, "_free", lambda device: 4 * size)
    assert needs.requirements(subject).one_at_a_time


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (("cpu", "disk"), "2 B of the base would be offloaded to disk,"),
        (("cuda:0", "cpu"), "2 B of the base would be offloaded to cpu,"),
        (("cuda:0", "cpu", "disk"), "5 B of the base would be offloaded to cpu and disk,"),
        (("cuda:0", "cuda:1"), ""),
    ],
)
def test_a_base_that_is_offloaded_is_refused_before_it_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: tuple[str, ...], words: str
) -> None:
    zoo.build("llama", tmp_path)
    bench = opened(tmp_path, "tuned0")
    shares = [DeviceShare(device, (), (1, 2, 3)[index]) for index, device in enumerate(devices)]
    monkeypatch.setattr("core.models.loading.placement_of", lambda *_, **__: tuple(shares))
    monkeypatch.setattr(needs, "_free", lambda device: 1 << 40)
    if not words:
        assert not needs.requirements(bench.subject).one_at_a_time
        return
    with pytest.raises(RunError, match=words), bench:
        pytest.fail("it was loaded")


def test_odd_prompts_are_answered_or_refused_in_words(
    tried: tuple[Bench, Models], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = tried
    context = 16
    monkeypatch.setattr(bench._answers._reader, "context", context)
    long = Prompt(text="a" * 3000)
    events = asked(bench, Score(prompt=long, continuation="bc", columns=("base",)))
    (tokens,), (warned,) = of(Tokens, events), of(Warned, events)
    assert len(tokens.pieces) == context + 1
    assert tokens.cut == 3001 - tokens.start
    assert "longer than the context" in warned.message
    events = asked(bench, Score(prompt=Prompt(text=""), continuation="bc", columns=("base",)))
    assert of(Tokens, events)[0].start == 1
    odd = Prompt(text="\x1b[31m\x00 語 a", system="Be brief.")
    assert of(Warned, asked(bench, Generate(prompt=odd, columns=("base",), tokens=1)))
    for refused, words in (
        (Score(prompt=PROMPT, continuation="", columns=("base",)), "nothing to score"),
        (Score(prompt=PROMPT, continuation="b\udcff", columns=("base",)), "part of a character"),
        (Generate(prompt=Prompt(text="\ud800"), columns=("base",)), "part of a character"),
        (Score(prompt=PROMPT, continuation="b", columns=()), "no column"),
        (Score(prompt=PROMPT, continuation="b", columns=("base",), against=1), "no column 1"),
        (Score(prompt=PROMPT, continuation="b", columns=("tuned0=1 @ 7",)), "names layer 7"),
        (Score(prompt=PROMPT, continuation="b" * 3000, columns=("base",)), "no room"),
        (Generate(prompt=PROMPT, columns=("base",), tokens=3000), "no room"),
        (Generate(prompt=Prompt(text="a", template=True), columns=("base",)), "chat template"),
        (Generate(prompt=PROMPT, columns=("base",), temperature=-1), "temperature"),
        (Generate(prompt=PROMPT, columns=("base",), temperature=float("inf")), "temperature"),
        (Generate(prompt=PROMPT, columns=("base",), top_p=0), "top-p"),
        (Generate(prompt=PROMPT, columns=("base",), tokens=0), "1 or more"),
        (Generate(prompt=PROMPT, columns=("base",), seed=-1), "seed"),
    ):
        with pytest.raises(StudyError, match=words):
            asked(bench, refused)


def test_a_chat_template_writes_the_prompt(
    tried: tuple[Bench, Models], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = tried
    template = """{% for m in messages %}{% if m.role == 'system' and refused %}
        {{ raise_exception('no system prompt') }}{% endif %}{{ m.role[0] }} {{ m.content }}.
        {%- endfor %}{% if add_generation_prompt %}a {% endif %}"""
    asking = Score(
        prompt=Prompt(text="hi", system="be", template=True), continuation="ok", columns=("base",)
    )
    tokenizer = bench._answers._reader.tokenizer
    for refused, read in ((False, "s be.u hi.a ok"), (True, "u hi.a ok")):
        monkeypatch.setattr(
            tokenizer, "chat_template", template.replace("refused", str(refused).lower())
        )
        events = asked(bench, asking)
        assert "".join(of(Tokens, events)[0].pieces[1:]) == read
        assert [event.message for event in of(Warned, events)] == [
            "The chat template accepts no system prompt: it is left out."
        ][: int(refused)]


def test_a_stop_text_ends_a_text_before_it(tried: tuple[Bench, Models]) -> None:
    bench, _ = tried
    (whole,) = of(Written, asked(bench, Generate(prompt=PROMPT, columns=("base",), tokens=6)))
    stop = whole.text[2:4]
    stop_at = whole.text.index(stop)
    (result,) = of(
        Written, asked(bench, Generate(prompt=PROMPT, columns=("base",), tokens=6, stop=(stop,)))
    )
    assert (result.text, result.tokens, result.ended) == (whole.text[:stop_at], stop_at, "stop")


def _mixed(name: str, models: Models) -> Any:
    made = type(models["base"])(models["base"].config)
    base, first, second = (models[n].state_dict() for n in ("base", "tuned0", "tuned1"))
    made.load_state_dict(
        {n: w + 0.3 * (first[n] - w) - 0.5 * (second[n] - w) for n, w in base.items()}
    )
    return made


def _loss(model: Any, row: list[int]) -> float:
    ids = [*IDS[:START], *row]
    return -float(said(logs(model, ids), ids).mean())


def _text(ids: list[int]) -> str:
    return "".join(LETTERS[token - 3] for token in ids if token >= 3)
