"""Scores against the harness called by itself, items against scores, and what goes wrong."""

from __future__ import annotations

import copy
import gc
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import RunError, TaskError
from core.evaluation import language_model
from core.evaluation.evaluator import Evaluator, Score
from core.evaluation.harness import seeded
from core.evaluation.tasks import Task, open_tasks
from core.statistics import comparison
from tests.core import harness_zoo
from tests.core.harness_zoo import ALL, ITEMS, evaluation
from tests.models import configs

Loaded = tuple[Any, Any]


def _open(folder: Path, *names: str, **settings: Any) -> tuple[Task, ...]:
    return open_tasks(evaluation(folder, *names, **settings), seed=7)


def _scores(evaluator: Evaluator, task: Task, items: Any = None) -> dict[str, Score]:
    return {score.metric: score for score in evaluator.evaluate(task, items)}


@pytest.fixture
def by_itself(
    model_folder: Path, task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The harness as its command line calls it: a model path, in the folder of the tasks."""
    monkeypatch.chdir(task_folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lm_eval
        from lm_eval.tasks import TaskManager

        manager = TaskManager(include_path=str(task_folder), include_defaults=False)

        def call(name: str, folder: Path = model_folder, **options: Any) -> dict[str, Any]:
            results = lm_eval.simple_evaluate(
                "hf", model_args={"pretrained": str(folder)}, tasks=[name], device="cpu",
                task_manager=manager, bootstrap_iters=10, random_seed=7, numpy_random_seed=7,
                torch_random_seed=7, fewshot_random_seed=7, batch_size=3, **options,
            )  # fmt: skip
            return dict(results["results"][name])

        yield call


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tiny_choice", {}),
        ("tiny_choice", {"limit": 7, "fewshot": 2}),
        ("tiny_text", {}),
        ("tiny_generation", {}),
        ("tiny_last_word", {"limit": 5}),
    ],
)
def test_scores_are_those_of_the_harness_by_itself(
    name: str, settings: dict[str, Any], loaded: Loaded, task_folder: Path, by_itself: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")
    options = {"limit": settings.get("limit"), "num_fewshot": settings.get("fewshot")}
    theirs = by_itself(name, **options)
    (task,) = _open(task_folder, name, **settings)
    ours = _scores(Evaluator(*loaded, batch_size=3), task)
    assert len(ours) == sum("," in key and "_stderr" not in key for key in theirs)
    for metric, score in ours.items():
        metric_name, _, chain = metric.partition(":")
        assert score.value == pytest.approx(theirs[f"{metric_name},{chain or 'none'}"], rel=1e-6)
        assert score.n == settings.get("limit", ITEMS)
        if score.stderr is not None:
            assert score.stderr == pytest.approx(theirs[f"{metric_name}_stderr,{chain or 'none'}"])
    assert task.metrics.keys() >= ours.keys()


def test_items_make_the_score_again(loaded: Loaded, task_folder: Path) -> None:
    evaluator = Evaluator(*loaded)
    with_items = set()
    for task in _open(task_folder, *ALL):
        for metric, score in _scores(evaluator, task).items():
            if score.items is None:
                assert metric.startswith("bleu")
                continue
            with_items.add(metric)
            assert score.items.index.tolist() == list(range(ITEMS))
            assert score.items.value() == pytest.approx(score.value, rel=1e-9)
            estimate = comparison.score(score.items, resamples=100, seed=0)
            assert estimate.low is not None
            assert estimate.low <= score.value <= estimate.high  # type: ignore[operator]
    assert with_items == {
        "acc", "acc_norm", "brier_score", "bits_per_byte", "word_perplexity", "perplexity",
        "exact_match:whole", "exact_match:first-word",
    }  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_chosen_items_are_asked_alone(name: str, loaded: Loaded, task_folder: Path) -> None:
    (task,) = _open(task_folder, name)
    evaluator = Evaluator(*loaded)
    whole, part = _scores(evaluator, task), _scores(evaluator, task, [9, 2, 2, 5])
    for metric, score in part.items():
        assert score.n == 3
        if score.items is not None:
            assert score.items.index.tolist() == [2, 5, 9]
            expected = whole[metric].items.total[[2, 5, 9]]  # type: ignore[union-attr]
            np.testing.assert_allclose(score.items.total, expected, rtol=1e-4)


BLANK = """\
task: tiny_blank
dataset_path: json
dataset_kwargs: {data_files: {test: blanks.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: answer
doc_to_choice: "{{['the red ' + noun, 'the blue ' + noun]}}"
doc_to_target: "{{rest}}"
target_delimiter: " "
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0}
"""


def test_one_of_several_prompts_is_right_as_it_is_scored(loaded: Loaded, tmp_path: Path) -> None:
    """As in Winogrande: the choices are prompts, and one text follows each."""
    folder = harness_zoo.write_tasks(tmp_path / "tasks")
    (folder / "blank.yaml").write_text(BLANK)
    nouns = harness_zoo.WORDS[4:12]
    rows = [
        {"noun": noun, "rest": "is near", "answer": number % 2} for number, noun in enumerate(nouns)
    ]
    harness_zoo.write_lines(folder / "blanks.jsonl", rows)
    (task,) = _open(folder, "tiny_blank")
    (score,), answers = Evaluator(*loaded).ask(task)
    assert score.items is not None
    assert [each.right for each in answers] == [(True, False), (False, True)] * 4
    shown = {"prompt": f"the red {nouns[0]}", "continuation": " is near"}
    assert answers[0].scored == shown
    for each, result in zip(answers, score.items.total, strict=True):
        likeliest = int(np.argmax(each.likelihoods))
        assert each.right[likeliest] == bool(result)
    assert 0 < score.items.total.sum() < len(nouns), "or nothing was tested"


def test_items_outside_of_the_task_are_refused(loaded: Loaded, task_folder: Path) -> None:
    (task,) = _open(task_folder, "tiny_choice", limit=4)
    evaluator = Evaluator(*loaded)
    for items, words in (([], "No items of the task"), ([4], "no item 4"), ([-1, 2], "no item -1")):
        with pytest.raises(TaskError, match=words):
            evaluator.evaluate(task, items)


def test_one_evaluator_gives_the_same_again(loaded: Loaded, task_folder: Path) -> None:
    tasks = _open(task_folder, "tiny_choice", "tiny_generation", fewshot=1)
    evaluator = Evaluator(*loaded)
    first = [_scores(evaluator, task) for task in tasks]
    for before, task in zip(first, tasks, strict=True):
        for metric, score in _scores(evaluator, task).items():
            assert score.value == before[metric].value


def test_nothing_is_said_and_nothing_is_left_behind(
    loaded: Loaded, task_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = loaded
    tokenizer.pad_token = None
    states = random.getstate(), _drawn_by_numpy(), torch.get_rng_state()
    evaluator = Evaluator(model, tokenizer)
    for task in _open(task_folder, *ALL):
        evaluator.evaluate(task)
    assert capfd.readouterr() == ("", "")
    assert tokenizer.pad_token is None
    assert random.getstate() == states[0]
    assert _drawn_by_numpy() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize("place", ["peft", "offload"])
def test_a_model_may_be_wrapped_or_offloaded(
    place: str, loaded: Loaded, task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = loaded
    tasks = _open(task_folder, "tiny_choice", "tiny_text", "tiny_generation")
    plain = [_scores(Evaluator(model, tokenizer), task) for task in tasks]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if place == "peft":
            import peft

            adapter = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
            other = peft.get_peft_model(copy.deepcopy(model), adapter)
        else:
            import accelerate

            other = accelerate.cpu_offload(copy.deepcopy(model), torch.device("cpu"))
    evaluator = Evaluator(other, tokenizer)
    for task, expected in zip(tasks, plain, strict=True):
        for metric, score in _scores(evaluator, task).items():
            assert score.value == pytest.approx(expected[metric].value, rel=1e-5)


def _drawn_by_numpy() -> list[int]:
    state: list[int] = np.random.get_state(legacy=False)["state"]["key"].tolist()
    return state


class _Narrow(torch.nn.Module):
    """Runs out of memory when more than `rows` go through at once."""

    def __init__(self, model: Any, rows: int) -> None:
        super().__init__()
        self.model, self.rows = model, rows
        self.seen: list[int] = []
        self.config, self.device = model.config, torch.device("cpu")

    def forward(self, tokens: torch.Tensor) -> Any:
        self.seen.append(len(tokens))
        if len(tokens) > self.rows:
            raise torch.OutOfMemoryError("out of memory")
        return self.model(tokens)

    def tie_weights(self) -> None:
        pass

    def get_input_embeddings(self) -> Any:
        return self.model.get_input_embeddings()


def test_scores_are_taken_in_float32(loaded: Loaded) -> None:
    model, tokenizer = loaded
    assert Evaluator(model, tokenizer)._model.softmax_dtype == torch.float32


def test_seeding_asks_no_card_for_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any) -> None:
        pytest.fail("a card was asked for its random state")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", ask)
    before = torch.get_rng_state()
    with seeded(3):
        assert not torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", ["auto", 8])
def test_a_batch_too_large_is_halved_until_it_fits(
    batch_size: Any, loaded: Loaded, task_folder: Path
) -> None:
    model, tokenizer = loaded
    for task in _open(task_folder, "tiny_choice", "tiny_text"):
        narrow = _Narrow(model, rows=3)
        scores = _scores(Evaluator(narrow, tokenizer, batch_size=batch_size), task)
        for metric, score in _scores(Evaluator(model, tokenizer), task).items():
            assert scores[metric].value == pytest.approx(score.value, rel=1e-5)
        tried = [rows for rows in narrow.seen if rows > 3]
        assert tried == sorted(tried, reverse=True)
        assert 1 <= len(tried) <= 3
    with pytest.raises(RunError, match="does not fit into the memory of cpu"):
        Evaluator(_Narrow(model, rows=0), tokenizer).evaluate(task)


def test_automatic_batches_depend_on_the_longest_row_and_the_vocabulary(
    loaded: Loaded, task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = loaded
    (task,) = _open(task_folder, "tiny_choice")
    longest = 10  # tokens, of the longest question with the longest choice
    bytes_of_a_token = 8 * model.config.vocab_size
    for rows, room in ((4, 4 * longest), (1, longest), (16, 10_000)):
        monkeypatch.setattr("core.evaluation.language_model._ON_CPU", (16, room * bytes_of_a_token))
        wide = _Narrow(model, rows=99)
        Evaluator(wide, tokenizer).evaluate(task)
        assert max(wide.seen) <= rows
        assert wide.seen[0] > rows // 2


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("llama", 1), ("deepseek_v4", 0.5), ("mistral", 32 / 48), ("deepseek_v3", 1),
        ("gemma4_text", 0.7), ("qwen3_next", 1), ("falcon_mamba", 1),
    ],
)  # fmt: skip
def test_the_cache_of_a_row_is_foreseen(name: str, share: float) -> None:
    """Against the tensors that a longer text leaves in the process. `share`: of a model with
    windows of 32 tokens, the least that it caches of 48."""
    config = configs.tiny(configs.entries()[name])
    module = configs.model_class(config)(config).float().eval()
    settings = {"max_new_tokens": 1, "return_dict_in_generate": True, "pad_token_id": 0}
    foreseen = language_model.cache_of(module, torch.device("cpu"))
    assert foreseen is not None
    module.generate(torch.full((3, 48), 3), **settings)  # some build tables in a first long pass
    before = _storages()
    output = module.generate(torch.full((3, 48), 3), **settings)
    other = {*before, output.sequences.untyped_storage().data_ptr()}
    held = sum(nbytes for place, nbytes in _storages().items() if place not in other)
    assert share * foreseen.nbytes(48) <= held / 3 <= foreseen.nbytes(48)


def _storages() -> dict[int, int]:
    """The bytes of the tensors in this process, by place."""
    gc.collect()
    tensors = (each for each in gc.get_objects() if type(each) is torch.Tensor)
    storages = (each.untyped_storage() for each in tensors)
    return {each.data_ptr(): each.nbytes() for each in storages}


@pytest.mark.parametrize("name", ["tiny_choice", "tiny_text", "tiny_generation"])
def test_token_ids_beyond_the_embedding_are_one_error(
    name: str, loaded: Loaded, task_folder: Path
) -> None:
    model = copy.deepcopy(loaded[0])
    model.resize_token_embeddings(4)
    (task,) = _open(task_folder, name)
    words = rf"embeds 4 tokens, but the task '{name}' has the token id \d+\."
    with pytest.raises(TaskError, match=words):
        Evaluator(model, loaded[1]).evaluate(task)


def test_a_padding_token_beyond_the_embedding_is_not_embedded(
    loaded: Loaded, task_folder: Path
) -> None:
    model, tokenizer = loaded
    (task,) = _open(task_folder, "tiny_generation")
    expected = _scores(Evaluator(model, tokenizer, batch_size=4), task)
    embedded = model.get_input_embeddings().num_embeddings
    tokenizer.add_tokens([f"<{number}>" for number in range(embedded)])
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id >= embedded
    for metric, score in _scores(Evaluator(model, tokenizer, batch_size=4), task).items():
        assert score.value == expected[metric].value


def test_generation_needs_an_end_token(loaded: Loaded, task_folder: Path) -> None:
    model, tokenizer = loaded
    generation, choice = _open(task_folder, "tiny_generation", "tiny_choice")
    tokenizer.eos_token = None
    evaluator = Evaluator(model, tokenizer)
    with pytest.raises(TaskError, match=r"'tiny_generation'.*no end token") as caught:
        evaluator.evaluate(generation)
    assert "eos_token" in caught.value.hint
    assert evaluator.evaluate(choice)
    tokenizer.bos_token = None
    with pytest.raises(TaskError, match="neither a beginning nor an end token"):
        Evaluator(model, tokenizer).evaluate(choice)


def test_a_prompt_needs_room_for_its_answer(
    loaded: Loaded, task_folder: Path, tmp_path: Path
) -> None:
    folder = harness_zoo.write_tasks(tmp_path / "long")
    text = harness_zoo.GENERATION.replace("max_gen_toks: 6", "max_gen_toks: 4800")
    (folder / "generation.yaml").write_text(text)
    (task,) = _open(folder, "tiny_generation")
    with pytest.raises(TaskError, match=r"'tiny_generation' generates up to 4800"):
        Evaluator(*loaded).evaluate(task)


def test_a_chat_needs_a_template(
    loaded: Loaded, task_folder: Path, model_folder: Path, tmp_path: Path, by_itself: Any
) -> None:
    model, tokenizer = loaded
    (task,) = _open(task_folder, "tiny_choice", chat_template=True, fewshot=1)
    with pytest.raises(TaskError, match="no chat template") as caught:
        Evaluator(model, tokenizer).evaluate(task)
    assert "chat_template" in caught.value.hint
    tokenizer.chat_template = "{% for m in messages %}{{m.role}} {{m.content}} {% endfor %}"
    seen = _scores(Evaluator(model, tokenizer), task)
    folder = shutil.copytree(model_folder, tmp_path / "chat")
    tokenizer.save_pretrained(str(folder))
    theirs = by_itself(
        "tiny_choice", folder, num_fewshot=1, apply_chat_template=True, fewshot_as_multiturn=True
    )
    plain = by_itself("tiny_choice", folder, num_fewshot=1)
    for metric, score in seen.items():
        assert score.value == pytest.approx(theirs[f"{metric},none"], rel=1e-6)
    assert theirs["brier_score,none"] != pytest.approx(plain["brier_score,none"])


def test_a_task_of_its_own_making(loaded: Loaded, task_folder: Path, tmp_path: Path) -> None:
    folder = harness_zoo.write_tasks(tmp_path / "own")
    (folder / "mine.py").write_text(
        "def score(doc, results):\n"
        "    n = 1 + doc['answer']\n"
        "    return {'parts': [True] * n + [False], 'worst': n, 'strange': n}\n"
        "def flat(values):\n"
        "    every = [part for value in values for part in value]\n"
        "    return sum(every) / len(every)\n"
    )
    (folder / "mine.yaml").write_text(
        harness_zoo.GENERATION.partition("filter_list")[0].replace("tiny_generation", "tiny_mine")
        + "process_results: !function mine.score\nmetric_list:\n"
        "  - {metric: parts, aggregation: !function mine.flat, higher_is_better: true}\n"
        "  - {metric: worst, aggregation: median, higher_is_better: false}\n"
    )
    (task,) = _open(folder, "tiny_mine", trust_task_code=True)
    scores = _scores(Evaluator(*loaded), task)
    assert scores["parts"].value == pytest.approx(6 / 9)
    assert scores["parts"].items.value() == pytest.approx(6 / 9)  # type: ignore[union-attr]
    assert (scores["worst"].value, scores["worst"].items) == (2, None)
    assert scores["worst"].higher_is_better is False
    assert (scores["strange"].value, scores["strange"].higher_is_better) == (2, None)
