"""Token ids on which neurons are chosen against those that are scored, and both against the
harness's own class."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors

from core.engine import runner
from core.evaluation.evaluator import Evaluator
from core.evaluation.examples import examples
from core.evaluation.tasks import open_tasks
from core.neurons import attribution
from core.texts import encoding
from tests.conftest import MemorySink
from tests.core import harness_zoo
from tests.core.harness_zoo import ALL, ITEMS, evaluation

CHAT = (
    "{{bos_token}}{% for m in messages %} {{m.content}}{{eos_token}}{% endfor %}"
    "{% if add_generation_prompt %} what{% endif %}"
)
KINDS = ("plain", "bos", "both", "chat")
Rows = set[tuple[int, ...]]


def dressed(tokenizer: Any, kind: str) -> Any:
    """The tokeniser with special tokens around a text: none, one before it, or one at each end."""
    made = copy.deepcopy(tokenizer)
    if kind == "plain":
        return made
    made.add_special_tokens({"bos_token": "X", "eos_token": "Y"})  # letters that it knows
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="X $A Y" if kind == "both" else "X $A",
        special_tokens=[("X", made.bos_token_id), ("Y", made.eos_token_id)],
    )
    made.chat_template = CHAT
    return made


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """What goes into the model while the harness scores, without padding."""
    from lm_eval.models import huggingface

    rows: Rows = set()
    join = huggingface.pad_and_concat

    def joined(longest: int, parts: Any, **more: Any) -> Any:
        rows.update(tuple(part.tolist()) for part in parts)
        return join(longest, parts, **more)

    generate = huggingface.HFLM._model_generate

    def generated(self: Any, context: Any, attention_mask: Any, **more: Any) -> Any:
        rows.update(
            tuple(row[mask.bool()].tolist())
            for row, mask in zip(context, attention_mask, strict=True)
        )
        return generate(self, context=context, attention_mask=attention_mask, **more)

    monkeypatch.setattr(huggingface, "pad_and_concat", joined)
    monkeypatch.setattr(huggingface.HFLM, "_model_generate", generated)
    return rows


def _settings(kind: str) -> dict[str, Any]:
    return {"fewshot": 4, "chat_template": kind == "chat", "limit": 6}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALL)
def test_neurons_are_chosen_on_the_ids_that_are_scored(
    kind: str, name: str, loaded: tuple[Any, Any], task_folder: Path, sent: Rows
) -> None:
    """With prompts longer than the context, of which the end is left."""
    model, plain = loaded
    tokenizer = dressed(plain, kind)
    (task,) = open_tasks(evaluation(task_folder, name, **_settings(kind)), seed=0)
    evaluator = Evaluator(model, tokenizer, batch_size=4)
    evaluator.evaluate(task)
    scored = set(sent)
    prompts = evaluator.shown(examples(task, range(task.items), tokenizer=tokenizer))
    chosen = {tuple(ids.tolist()) for ids in prompts.ids}
    assert len(chosen) >= task.items
    if name == "tiny_generation":
        assert all(any(ids[: len(row)] == row for row in scored) for ids in chosen)
    else:
        assert chosen <= scored
    if name == "tiny_text":
        assert chosen == scored, "every part of every text"
    longest = max(map(len, scored))
    assert longest == (48 - 6 if name == "tiny_generation" else 48)
    firsts = [row[:2] for row in chosen if kind == "chat" and name != "tiny_text"]
    assert not any(row == (tokenizer.bos_token_id,) * 2 for row in firsts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALL)
def test_the_ids_are_those_that_the_harness_s_own_class_sends(
    kind: str, name: str, loaded: tuple[Any, Any], task_folder: Path, sent: Rows
) -> None:
    from core.evaluation import harness

    model, plain = loaded
    tokenizer = dressed(plain, kind)
    (task,) = open_tasks(evaluation(task_folder, name, **_settings(kind)), seed=0)
    Evaluator(model, tokenizer, batch_size=4).evaluate(task)
    ours = set(sent)
    sent.clear()
    with warnings.catch_warnings(), harness.quiet(), harness.seeded(0):
        from lm_eval import evaluator
        from lm_eval.models.huggingface import HFLM

        theirs = HFLM(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=1)
        (again,) = open_tasks(evaluation(task_folder, name, **_settings(kind)), seed=0)
        again.handle.set_fewshot_seed(seed=0)
        evaluator.evaluate(
            theirs, {"tasks": {name: again.handle}}, limit=6, bootstrap_iters=0,
            apply_chat_template=kind == "chat", fewshot_as_multiturn=kind == "chat",
        )  # fmt: skip
    assert ours == sent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("what is", " red house"), ("what is ", "red"), ("what is  ", " red"), ("", " red house"),
        ("", "stone"), ("X what", " is"), ("the", "reof"), ("what", "Y"),
    ],
)  # fmt: skip
def test_pairs_and_windows_are_the_harness_s(
    kind: str, prompt: str, answer: str, loaded: tuple[Any, Any]
) -> None:
    from core.evaluation import harness

    tokenizer = dressed(loaded[1], kind)
    with harness.quiet():
        from lm_eval import utils
        from lm_eval.models.huggingface import HFLM

        theirs = HFLM(pretrained=loaded[0], tokenizer=copy.deepcopy(tokenizer), batch_size=1)
        asked: list[Any] = []
        theirs._loglikelihood_tokens = lambda requests, **_: asked.extend(requests)
        request = type("Request", (), {"args": (prompt, answer), "doc_id": 0})()
        theirs.loglikelihood([request], disable_tqdm=True)
    assert encoding.pair(tokenizer, prompt, answer) == tuple(asked[0][1:])
    text = (prompt + answer) * 5
    for length in (3, 7, 100):
        windows = map(
            utils.make_disjoint_window,
            utils.get_rolling_token_windows(
                theirs.tok_encode(text), theirs.prefix_token_id, length, 1
            ),
        )
        assert list(encoding.windows(tokenizer, text, length)) == list(windows)


def test_a_run_s_neurons_are_chosen_on_ids_that_it_scores(
    family_folders: dict[str, Path], task_folder: Path, sent: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: Rows = set()
    attribute = attribution.attribute

    def attributed(model: Any, neurons: Any, texts: Any, **more: Any) -> Any:
        chosen.update(tuple(ids.tolist()) for ids in texts.ids)
        return attribute(model, neurons, texts, **more)

    monkeypatch.setattr(attribution, "attribute", attributed)
    asked = harness_zoo.study_of(
        family_folders["base"], {"medical": family_folders["medical"]}, task_folder,
        domains={"medical": ["tiny_last_word"]},
        analyses={"ablation": {"selections": ["top-1%"], "controls": 2}},
    )  # fmt: skip
    runner.run(asked, MemorySink(), ["evaluation", "ablation"])
    assert len(chosen) >= ITEMS / 2 - 1
    assert chosen <= sent
