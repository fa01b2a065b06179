"""What libraries say during a run: in our words, once, and nothing of it on the terminal."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import libraries
from core.engine import runner
from core.errors import StudyError
from core.evaluation import fewshot
from core.evaluation.evaluator import Evaluator
from core.evaluation.tasks import open_tasks
from tests.conftest import MemorySink
from tests.core import harness_zoo
from tests.core.harness_zoo import ITEMS, evaluation


def _numpy() -> None:
    np.mean(np.array([]))


def _logger() -> None:
    logger = logging.getLogger("somelib.part")
    logger.warning("weights %s\x1b[31m are\nodd", "w" * 400)
    logger.info("never mind")


def _own_handler() -> None:
    logging.getLogger("loud").warning("has a handler of its own")


def _printed() -> None:
    for _ in range(3):
        print("hello")


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (_numpy, "a mean was taken over no values: it is empty."),
        (_logger, f"somelib says: weights {'w' * 292} …"),
        (_own_handler, "loud says: has a handler of its own"),
        (_printed, "a library says: hello"),
        (lambda: logging.getLogger("lm_eval.x").warning("Truncating 5 tokens from the left"), None),
        (lambda: warnings.warn("old", DeprecationWarning, stacklevel=1), None),
    ],
)
def test_what_is_said_is_told_once_and_leaves_the_terminal_alone(
    say: Any,
    expected: str | None,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loud = logging.getLogger("loud")
    monkeypatch.setattr(loud, "handlers", [logging.StreamHandler(sys.stderr)])
    monkeypatch.setattr(loud, "propagate", False)
    handlers = list(logging.root.handlers)
    messages: list[str] = []
    with warnings.catch_warnings(), libraries.heard(messages.append):
        warnings.simplefilter("always")
        for _ in range(2):
            with libraries.quiet():
                say()
        libraries.tell("ours")
        libraries.tell("ours")
    assert [words for words in messages if "invalid value" not in words][-1] == "ours"
    assert messages[0] == (expected or "ours")
    assert len(messages) == len(set(messages))
    assert capfd.readouterr() == ("", "")
    assert logging.root.handlers == handlers
    assert type(loud.handlers[0]) is logging.StreamHandler


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "overflow encountered in exp",
            "a number was too large for its precision: results may be infinite.",
        ),
        (
            "Duplicate task name 'a' found. Already registered from: /a. Skipping it from: /b",
            "two files describe the task 'a': /a is used, /b is not.",
        ),
        ("[Task: t] metric acc is defined, but aggregation is not. using default",
         "the task 't' sets no aggregation for its metric acc: the harness's default is used."),
    ],
)  # fmt: skip
def test_what_is_known_is_said_in_our_words(message: str, expected: str) -> None:
    assert libraries.in_our_words("lm_eval", message) == expected


def _run(folders: dict[str, Path], tasks: Path, *names: str, **settings: Any) -> list[Any]:
    sink = MemorySink()
    asked = harness_zoo.study_of(
        folders["base"], {"medical": folders["medical"]}, tasks,
        domains={"medical": list(names)}, **settings,
    )  # fmt: skip
    runner.run(asked, sink, ["evaluation"])
    return sink.warnings


def test_items_that_the_context_cuts_are_counted(
    family_folders: dict[str, Path], task_folder: Path, loaded: tuple[Any, Any],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Against the lengths of the prompts and answers themselves."""
    names = ("tiny_last_word", "tiny_generation", "tiny_text")
    notes = _run(family_folders, task_folder, *names, fewshot=3)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")
    evaluator = Evaluator(*loaded)
    tokenizer = loaded[1]
    for name in names[:2]:
        (task,) = open_tasks(evaluation(task_folder, name, fewshot=3), seed=5)
        evaluator.evaluate(task)
        room = 49 if name == "tiny_last_word" else 48 - 6
        texts = {i.doc_id: "".join(i.args[: 2 if room == 49 else 1]) for i in task.handle.instances}
        cut = sum(len(tokenizer(text)["input_ids"]) > room for text in texts.values())
        assert 0 < cut < ITEMS
        words = (
            f"{cut} of {ITEMS} items of the task '{name}' are longer than the model's context of "
            "48 tokens: their prompts are cut at the beginning."
        )
        assert [note for note in notes if note[1] == words] == [
            ("base", words), ("medical", words)
        ]  # fmt: skip
    assert not any("tiny_text" in words for _, words in notes), "long texts go in parts"


def test_cut_items_are_told_again_of_the_next_unit(
    task_folder: Path, loaded: tuple[Any, Any]
) -> None:
    evaluator = Evaluator(*loaded)
    (task,) = open_tasks(evaluation(task_folder, "tiny_last_word", fewshot=3), seed=5)
    messages: list[str] = []
    with libraries.heard(messages.append):
        evaluator.evaluate(task)
        evaluator.evaluate(task)
        assert sum("prompts are cut" in words for words in messages) == 1
        libraries.repeat()
        evaluator.evaluate(task)
        assert sum("prompts are cut" in words for words in messages) == 2


def test_items_among_their_own_examples_are_counted(
    family_folders: dict[str, Path], task_folder: Path
) -> None:
    """The three splits: the same items under another name, the same split, and none named."""
    (leaky,) = open_tasks(evaluation(task_folder, "tiny_choice", fewshot=6), seed=5)
    handle = leaky.handle
    count = fewshot.own_examples(leaky, ITEMS)
    handle.set_fewshot_seed(seed=5)
    handle.build_all_requests()
    prompts = [handle.instances[3 * i].args[0] for i in range(ITEMS)]
    asked = [handle.doc_to_text(leaky.document(i)) for i in range(ITEMS)]
    shown = [
        prompt.startswith(f"{question} ") or f"\n\n{question} " in prompt
        for prompt, question in zip(prompts, asked, strict=True)
    ]
    assert 0 < count == sum(shown) < ITEMS
    notes = _run(family_folders, task_folder, "tiny_choice", fewshot=6)
    (words,) = {words for about, words in notes if about == "evaluation"}
    assert words.startswith(f"of {ITEMS} items of the task 'tiny_choice', {count} are among")
    assert "fewshot_split" in words
    assert not _run(family_folders, task_folder, "tiny_choice", fewshot=0)


def test_the_same_split_leaves_an_item_out_of_its_examples(tmp_path: Path) -> None:
    folder = harness_zoo.write_tasks(tmp_path / "tasks")
    text = harness_zoo.CHOICE.replace("fewshot_split: train", "fewshot_split: test")
    (folder / "choice.yaml").write_text(text)
    (task,) = open_tasks(evaluation(folder, "tiny_choice", fewshot=6), seed=5)
    assert fewshot.own_examples(task, ITEMS) == 0


TEMPLATE = "{% for m in messages %}<{{m.role}}> {{m.content}} {% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE


def _with_template(folders: dict[str, Path], to: Path, **texts: str | None) -> dict[str, Path]:
    """The models again, with chat templates."""
    import json
    import shutil

    made = {}
    for name, text in texts.items():
        made[name] = Path(shutil.copytree(folders[name], to / name))
        if text is not None:
            file = made[name] / "tokenizer_config.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": text}))
    return made


def test_a_system_prompt_that_is_dropped_is_told_and_dropped_in_both_paths(
    family_folders: dict[str, Path], tmp_path: Path
) -> None:
    tasks = harness_zoo.write_tasks(tmp_path / "tasks")
    with (tasks / "last_word.yaml").open("a") as file:
        file.write('description: "red red red"\n')
    given = _with_template(family_folders, tmp_path, base=NO_SYSTEM, medical=NO_SYSTEM)
    sink = MemorySink()
    asked = harness_zoo.study_of(
        given["base"], {"medical": given["medical"]}, tasks,
        domains={"medical": ["tiny_last_word"]}, chat_template=True,
        analyses={"ablation": {"selections": ["top-1%"], "controls": 2}},
    )  # fmt: skip
    runner.run(asked, sink, ["ablation"])
    words = "its chat template accepts no system prompt: items are asked without the task's "
    assert [about for about, message in sink.warnings if message.startswith(words)] == [
        "base",
        "medical",
    ]


def test_whose_template_is_used_is_said_and_who_has_another(
    family_folders: dict[str, Path], task_folder: Path, tmp_path: Path
) -> None:
    same = TEMPLATE.replace("{{m.role}}", "{{ m['role'] }}")
    other = TEMPLATE.replace("<{{m.role}}>", "[{{m.role}}]")
    given = _with_template(
        family_folders, tmp_path, base=TEMPLATE, medical=other, maths=same, copy=None
    )
    scores = {}
    for whose in ("base", "own"):
        names = ("medical", "maths") if whose == "own" else ("medical", "maths", "copy")
        asked = harness_zoo.study_of(
            given["base"], {n: given[n] for n in names}, task_folder,
            domains={"medical": ["tiny_last_word"]}, chat_template=True,
        )  # fmt: skip
        models = asked.models.model_copy(update={"template": whose})
        sink = MemorySink()
        runner.run(asked.model_copy(update={"models": models}), sink, ["evaluation"])
        notes = dict(sink.warnings)
        scores[whose] = {r.model: r.value for r in sink.rows("perplexity")}
        if whose == "base":
            assert notes.keys() == {"evaluation", "medical", "copy"}
            assert "chat" not in notes["copy"]
            assert str(given["base"]) in notes["evaluation"]
            assert 'models.template = "own"' in notes["medical"]
        else:
            assert notes["evaluation"].startswith("each model is asked as a chat in its own")
    assert scores["own"]["base"] == scores["base"]["base"]
    assert scores["own"]["maths"] == scores["base"]["maths"]
    assert scores["own"]["medical"] != scores["base"]["medical"]


@pytest.mark.parametrize(
    ("whose", "lacks", "words"),
    [
        ("base", "base", "the tokeniser of the base ("),
        ("own", "medical", "the tokeniser of medical"),
    ],
)
def test_a_model_without_a_template_is_named(
    family_folders: dict[str, Path], task_folder: Path, tmp_path: Path, whose: str, lacks: str,
    words: str,
) -> None:  # fmt: skip
    texts = {name: None if name == lacks else TEMPLATE for name in ("base", "medical")}
    given = _with_template(family_folders, tmp_path, **texts)
    asked = harness_zoo.study_of(
        given["base"], {"medical": given["medical"]}, task_folder,
        domains={"medical": ["tiny_last_word"]}, chat_template=True,
    )  # fmt: skip
    models = asked.models.model_copy(update={"template": whose})
    with pytest.raises(StudyError) as raised:
        runner.run(asked.model_copy(update={"models": models}), MemorySink(), ["evaluation"])
    assert words in raised.value.title
    assert "models.tokenizer" in raised.value.hint


def test_the_keys_of_studies_without_the_new_setting_stay() -> None:
    from core.engine.measurement import content_key
    from core.study.study import PLACING

    asked = harness_zoo.study_of(Path("/b"), {"m": Path("/m")}, Path("/t"))
    content = asked.model_dump(mode="json")
    del content["models"]["template"]
    del content["probes"]
    for name in PLACING:
        del content["run"][name]
    for model in (content["models"]["base"], *content["models"]["tuned"].values()):
        del model["checkpoints"], model["group"]
    del content["evaluation"]["trust_task_code"]
    assert asked.key(["evaluation"]) == content_key({"study": content, "only": ["evaluation"]})
    models = asked.models.model_copy(update={"template": "own"})
    assert asked.model_copy(update={"models": models}).key(["evaluation"]) != asked.key(
        ["evaluation"]
    )


def test_an_adapter_that_lacks_tensors_is_named_in_one_line(
    family_folders: dict[str, Path], tmp_path: Path
) -> None:
    import peft
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    from core.errors import CheckpointError
    from core.models import loading
    from core.models.family import open_family

    folder = tmp_path / "lora"
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        config = peft.LoraConfig(
            r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False
        )
        model = AutoModelForCausalLM.from_pretrained(str(family_folders["base"]))
        peft.get_peft_model(model, config).save_pretrained(str(folder))
    file = folder / "adapter_model.safetensors"
    tensors = {name: t for name, t in load_file(file).items() if ".layers.0." in name}
    save_file(tensors, file, metadata={"format": "pt"})
    asked = harness_zoo.study_of(family_folders["base"], {"lora": folder}, Path("/t"))
    member = open_family(asked.models).tuned["lora"]
    with (
        pytest.raises(CheckpointError) as raised,
        loading.loaded(member, asked.run),
    ):
        pass
    names = [f"model.layers.1.self_attn.q_proj.lora_{part}.default.weight" for part in "AB"]
    assert raised.value.title == (
        f"The adapter {folder} lacks tensors that its settings ask for: {', '.join(names)}."
    )


def test_a_task_that_is_named_with_other_settings_is_told(tmp_path: Path) -> None:
    folder = harness_zoo.write_tasks(tmp_path / "tasks")
    (folder / "strict.yaml").write_text(
        "group: strict\ntask:\n  - {task: tiny_choice, num_fewshot: 2}\n"
    )
    messages: list[str] = []
    with libraries.heard(messages.append):
        open_tasks(evaluation(folder, "tiny_choice", "strict"), seed=0)
    assert [words for words in messages if words.startswith("the task 'tiny_choice' is named")]
    with libraries.heard(messages.append):
        messages.clear()
        open_tasks(evaluation(folder, "tiny_choice", "tiny_group"), seed=0)
    assert not messages
