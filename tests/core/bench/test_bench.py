"""Answers of the bench against models of transformers, computed apart from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import decoders
from transformers import PreTrainedTokenizerFast

from core.bench.bench import Bench, open_bench
from core.bench.messages import (
    Crossed,
    Event,
    Generate,
    Piece,
    Prompt,
    Request,
    Score,
    Scored,
    Tokens,
    Warned,
    Written,
)
from core.errors import Cancelled, StudyError
from core.vectors.sweep import hash_parameters
from tests.core import state_family, zoo

PROMPT, CONTINUATION = Prompt(text="the"), " of them"
IDS = [1, *(3 + zoo.LETTERS.index(letter) for letter in PROMPT.text + CONTINUATION)]
START = 1 + len(PROMPT.text)
LETTERS = zoo.LETTERS + "012345678"  # the models have 40 tokens
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


def opened(folder: Path, *tuned: str, **given: Any) -> Bench:
    zoo.write_tokenizer(folder / "base", letters=LETTERS)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "base")
    tokenizer.backend_tokenizer.decoder = decoders.Fuse()  # texts without spaces between letters
    tokenizer.save_pretrained(folder / "base")
    (folder / "probe.txt").write_text("\n".join(state_family.TEXTS))
    study = state_family.study_of(folder, *(tuned or ("tuned0", "tuned1")))
    return open_bench(study, say=lambda words: None, **given)[1]


def asked(bench: Bench, request: Request, pause: Callable[[], None] = lambda: None) -> list[Any]:
    found: list[Event] = []
    bench.answer(request, found.append, pause)
    return found


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_scores_are_those_of_the_models_alone(tried: tuple[Bench, Models]) -> None:
    bench, models = tried
    events = asked(
        bench, Score(prompt=PROMPT, continuation=CONTINUATION, columns=tuple(models), against=1)
    )
    (tokens,) = of(Tokens, events)
    assert tokens.start == START
    assert "".join(tokens.pieces[1:]) == PROMPT.text + CONTINUATION
    logs = {name: _logs(model) for name, model in models.items()}
    scored = {event.column: event for event in of(Scored, events)}
    assert len(scored) == len(models)
    for at, name in enumerate(models):
        own, other = logs[name], logs["tuned0"]
        following = torch.tensor(IDS[START:])[:, None]
        found, wanted = scored[at], own.gather(1, following)[:, 0]
        close(found.logprobs, wanted)
        close(found.kl, (own.exp() * (own - other)).sum(1))
        close(found.nll, -wanted.mean())
        close(found.nll_change, (other.gather(1, following)[:, 0] - wanted).mean())
        close([share for _, share in found.likeliest[0]], own[0].topk(5).values)


def test_greedy_texts_are_those_of_the_models_alone(tried: tuple[Bench, Models]) -> None:
    bench, models = tried
    names = ("base", "tuned0", "tuned0=1", "tuned1=0", MIX)
    events = asked(bench, Generate(prompt=PROMPT, columns=names, tokens=6))
    own = {"tuned0=1": models["tuned0"], "tuned1=0": models["base"]} | models
    ids = torch.tensor([IDS[:START]])
    written = {event.column: event for event in of(Written, events)}
    rows: list[list[int]] = []
    for at, name in enumerate(names):
        found = own[name].generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )[0, START:].tolist()  # fmt: skip
        rows.append([token for token in found if token != 2])
        assert written[at].tokens == len(rows[-1])
        assert written[at].ended == ("end" if 2 in found else "length")
        assert written[at].text == _text(rows[-1])
        assert [event.tokens for event in of(Piece, events) if event.column == at] == list(
            range(1, len(rows[-1]) + (written[at].ended == "end"))
        )
    (crossed,) = of(Crossed, events)
    for i, row in enumerate(rows):
        for j, name in enumerate(names):
            close(crossed.nll[i][j], _loss(own[name], row) if row else None)


def test_an_interrupted_answer_leaves_the_bench_usable(tried: tuple[Bench, Models]) -> None:
    bench, models = tried
    score = Score(prompt=PROMPT, continuation=" z and", columns=("tuned1=0.25", "tuned0=0.75"))
    steps = 0

    def pause() -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise Cancelled("A newer request came.")

    with pytest.raises(Cancelled):
        asked(bench, score, pause)
    (found,) = of(Scored, asked(bench, Score(
        prompt=PROMPT, continuation=CONTINUATION, columns=("tuned1",)
    )))  # fmt: skip
    close(found.nll, _loss(models["tuned1"], IDS[START:]))
    assert zoo.attached(bench._model.module) == []


def test_the_base_comes_back_bit_for_bit(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path)
    bench = opened(tmp_path, "tuned0")
    with bench:
        module = bench._model.module
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
        found = {event.column: event.text for event in of(Written, asked(bench, drawn))}
        return [found[at] for at in range(len(names))]

    first, other, again = texts("tuned0", "base", "tuned0=1")
    assert first == again
    assert texts("base") == [other]
    assert len({texts("base", seed=seed)[0] for seed in range(4)}) > 1
    assert texts("base", temperature=1e-4) == texts("base", temperature=0)


def test_one_after_another_writes_the_same_as_in_turns(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path)
    columns = ("base", "tuned0", "amplify(tuned0):2")
    request = Generate(prompt=PROMPT, columns=columns, tokens=5, stop=("zz",))
    found = []
    for budget in (0, 1 << 30):
        with opened(tmp_path, "tuned0", budget=budget) as bench:
            events = asked(bench, request)
            order = [event.column for event in of(Piece, events)]
            assert (order == sorted(order, key=order.index)) == (budget == 0)
            found.append({event.column: event.text for event in of(Written, events)})
    assert found[0] == found[1]


def test_odd_prompts_are_answered_or_refused_in_words(
    tried: tuple[Bench, Models], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = tried
    context = 16
    monkeypatch.setattr(bench._reader, "context", context)
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
        (Score(prompt=PROMPT, continuation="b", columns=()), "no column"),
        (Score(prompt=PROMPT, continuation="b", columns=("base",), against=1), "no column 1"),
        (Score(prompt=PROMPT, continuation="b", columns=("tuned0=1 @ 7",)), "names layer 7"),
        (Score(prompt=PROMPT, continuation="b" * 3000, columns=("base",)), "no room"),
        (Generate(prompt=Prompt(text="a", template=True), columns=("base",)), "chat template"),
        (Generate(prompt=PROMPT, columns=("base",), temperature=-1), "temperature"),
    ):
        with pytest.raises(StudyError, match=words):
            asked(bench, refused)


def test_a_stop_text_ends_a_text_before_it(tried: tuple[Bench, Models]) -> None:
    bench, _ = tried
    (whole,) = of(Written, asked(bench, Generate(prompt=PROMPT, columns=("base",), tokens=6)))
    stop = whole.text[2:4]
    at = whole.text.index(stop)
    (found,) = of(
        Written, asked(bench, Generate(prompt=PROMPT, columns=("base",), tokens=6, stop=(stop,)))
    )
    assert (found.text, found.tokens, found.ended) == (whole.text[:at], at, "stop")


def close(found: Any, wanted: Any) -> None:
    if wanted is None:
        assert found is None
    else:
        torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(wanted).detach(),
                                   rtol=1e-4, atol=2e-5, check_dtype=False)  # fmt: skip


def _mixed(name: str, models: Models) -> Any:
    made = type(models["base"])(models["base"].config)
    base, first, second = (models[n].state_dict() for n in ("base", "tuned0", "tuned1"))
    made.load_state_dict(
        {n: w + 0.3 * (first[n] - w) - 0.5 * (second[n] - w) for n, w in base.items()}
    )
    return made


def _logs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([IDS])).logits
    return torch.log_softmax(logits[0, START - 1 : -1].float(), 1)


def _loss(model: Any, row: list[int]) -> float:
    ids = [*IDS[:START], *row]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, START - 1 : -1]
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(row)))


def _text(ids: list[int]) -> str:
    return "".join(LETTERS[token - 3] for token in ids if token >= 3)
