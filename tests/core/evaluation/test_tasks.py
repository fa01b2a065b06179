"""Finding, reading and identifying tasks: from local files, whatever the folder and the network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import TaskError
from core.evaluation import tasks as harness_tasks
from core.evaluation.tasks import Task, open_tasks
from core.study import task_sets
from core.study.study import Evaluation
from tests.core import harness_zoo
from tests.core.harness_zoo import ALL, ITEMS, evaluation, write_lines

ROOT = Path(__file__).resolve().parents[3]


def _one(folder: Path, name: str = "tiny_choice", **settings: Any) -> Task:
    (task,) = open_tasks(evaluation(folder, name, **settings), seed=0)
    return task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tasks that a test may change."""
    return harness_zoo.write_tasks(tmp_path / "tasks")


def test_tasks_say_what_they_are(task_folder: Path) -> None:
    by_name = {task.name: task for task in open_tasks(evaluation(task_folder, *ALL), seed=0)}
    assert list(by_name) == list(ALL)
    assert {name: task.output_type for name, task in by_name.items()} == {
        "tiny_choice": "multiple_choice",
        "tiny_text": "loglikelihood_rolling",
        "tiny_generation": "generate_until",
        "tiny_last_word": "loglikelihood",
    }
    assert by_name["tiny_choice"].metrics == {"acc": True, "acc_norm": True, "brier_score": False}
    assert by_name["tiny_generation"].metrics == {
        f"{metric}:{chain}": True
        for metric in ("exact_match", "bleu")
        for chain in ("whole", "first-word")
    }
    assert all(task.items == ITEMS and task.fewshot == 0 for task in by_name.values())
    assert len({task.fingerprint for task in by_name.values()}) == len(ALL)


def test_a_task_of_two_domains_is_one_task(task_folder: Path) -> None:
    asked = Evaluation(
        tasks={"a": ("tiny_text",), "b": ("tiny_tag", "tiny_text"), "c": ("tiny_group",)},
        include=str(task_folder),
    )
    tasks = open_tasks(asked, seed=0)
    assert [(task.name, task.domains) for task in tasks] == [
        ("tiny_text", ("a", "b", "c")),
        ("tiny_choice", ("b", "c")),
    ]


@pytest.mark.parametrize(
    "data_files",
    [
        "items.jsonl",
        "[items.jsonl]",
        "{test: [items.jsonl], train: ./items.jsonl}",
        "'it*.jsonl'",
        "'**/it*.jsonl'",
    ],
)
def test_data_files_are_relative_to_the_task_file(
    data_files: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = harness_zoo.CHOICE.replace("{test: items.jsonl, train: items.jsonl}", data_files)
    if "test" not in data_files:
        text = text.replace("_split: test", "_split: train")
    deeper = folder / "deeper"
    deeper.mkdir()
    (folder / "choice.yaml").unlink()
    (folder / "items.jsonl").rename(deeper / "items.jsonl")
    (deeper / "choice.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    task = _one(folder)
    assert task.items == ITEMS
    assert task.document(1)["answer"] == 1
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("data_files", ["items.jsonl", "'it*.jsonl'", "[items.jsonl]"])
@pytest.mark.parametrize("name", ["a [x] b", "[ab]*?", "{a}"])
def test_a_folder_may_be_called_like_a_pattern(
    data_files: str, name: str, folder: Path, tmp_path: Path
) -> None:
    text = harness_zoo.CHOICE.replace("{test: items.jsonl, train: items.jsonl}", data_files)
    (folder / "choice.yaml").write_text(text.replace("_split: test", "_split: train"))
    called = tmp_path / name / "tasks"
    called.parent.mkdir()
    folder.rename(called)
    assert _one(called).items == ITEMS


GROUP = """\
group: tiny_group
task:
  - task: tiny_choice
    dataset_kwargs: {data_files: {test: fewer.jsonl, train: fewer.jsonl}}
  - group: tiny_inner
    task:
      - task: tiny_inline
        dataset_path: json
        dataset_kwargs: {data_files: {test: fewer.jsonl}}
        test_split: test
        output_type: loglikelihood_rolling
        doc_to_text: ""
        doc_to_target: "{{question}}"
        metric_list: [{metric: bits_per_byte}]
        metadata: {version: 1.0}
"""


def test_the_data_that_a_group_names_are_relative_to_its_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deeper = folder / "deeper [1]"
    deeper.mkdir()
    (deeper / "group.yaml").write_text(GROUP)
    lines = (folder / "items.jsonl").read_text().splitlines(keepends=True)
    (deeper / "fewer.jsonl").write_text("".join(lines[:5]))
    monkeypatch.chdir(tmp_path)
    evaluation = Evaluation(tasks={"a": ("tiny_group",)}, include=str(folder))
    tasks = open_tasks(evaluation, seed=0)
    assert [task.items for task in tasks] == [5, 5]
    assert tasks[1].document(4) == json.loads(lines[4])
    assert _one(folder).items == ITEMS


def test_a_limit_and_few_shots(task_folder: Path) -> None:
    task = _one(task_folder, limit=5, fewshot=3)
    assert (task.items, task.fewshot) == (5, 3)
    assert _one(task_folder, limit=500).items == ITEMS
    with pytest.raises(TaskError, match="no item 5, only 5"):
        task.document(5)


def test_zero_shots_of_a_task_stay(folder: Path) -> None:
    (folder / "choice.yaml").write_text(harness_zoo.CHOICE + "num_fewshot: 0\n")
    assert _one(folder, fewshot=4).fewshot == 0
    (folder / "choice.yaml").write_text(harness_zoo.CHOICE + "num_fewshot: 2\n")
    assert (_one(folder).fewshot, _one(folder, fewshot=4).fewshot) == (2, 4)


# --- identity ---------------------------------------------------------------------------------


def test_where_a_task_lies_does_not_matter(tmp_path: Path) -> None:
    here, there = (harness_zoo.write_tasks(tmp_path / name) for name in "ab")
    for name in ALL:
        assert _one(here, name).fingerprint == _one(there, name).fingerprint


def test_whatever_changes_a_score_is_another_task(folder: Path) -> None:
    before = _one(folder).fingerprint
    rows = [{"question": f"q {i}", "choices": ["a", "b"], "answer": 0} for i in range(ITEMS)]
    text = harness_zoo.CHOICE
    changed = {before}
    for settings in ({"fewshot": 1}, {"fewshot": 2}, {"limit": 4}, {"chat_template": True}):
        changed.add(_one(folder, **settings).fingerprint)
    for new in (
        text.replace("version: 1.0", "version: 2.0"),
        text.replace("{{question}}", "{{question}}?"),
        text.replace("acc_norm, ", "acc_bytes, "),
    ):
        (folder / "choice.yaml").write_text(new)
        changed.add(_one(folder).fingerprint)
    (folder / "choice.yaml").write_text(text)
    write_lines(folder / "items.jsonl", rows)
    changed.add(_one(folder).fingerprint)
    assert len(changed) == 9


def test_what_is_not_asked_does_not_matter(folder: Path) -> None:
    before = _one(folder, limit=3).fingerprint
    lines = (folder / "items.jsonl").read_text().splitlines(keepends=True)
    (folder / "items.jsonl").write_text("".join(lines[:3]))
    assert _one(folder, limit=3).fingerprint == before
    few = _one(folder, limit=3, fewshot=1).fingerprint
    (folder / "items.jsonl").write_text("".join(lines[:4]))
    assert _one(folder, limit=3, fewshot=1).fingerprint != few


def test_the_code_of_a_task_counts(folder: Path) -> None:
    code = "SUFFIX = '?'\ndef write(doc):\n    return doc['question'] + SUFFIX\n"
    text = harness_zoo.CHOICE.replace('"{{question}}"', "!function mine.write")
    (folder / "choice.yaml").write_text(text)
    (folder / "mine.py").write_text(code)
    before = _one(folder, trust_task_code=True).fingerprint
    assert _one(folder, trust_task_code=True).fingerprint == before
    (folder / "mine.py").write_text(code.replace("'?'", "'!!'"))
    assert _one(folder, trust_task_code=True).fingerprint != before


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_standard_tasks")
def test_an_unknown_task_gets_the_nearest_names(task_folder: Path) -> None:
    with pytest.raises(TaskError, match="no evaluation task 'tiny_choise'") as caught:
        _one(task_folder, "tiny_choise")
    assert "tiny_choice" in caught.value.hint
    with pytest.raises(TaskError, match="no evaluation task 'zzzz'"):
        _one(task_folder, "zzzz")


@pytest.mark.usefixtures("no_standard_tasks")
def test_a_broken_task_file_is_named(folder: Path) -> None:
    (folder / "choice.yaml").write_text("task: [tiny_choice\n")
    with pytest.raises(TaskError, match=r"'tiny_choice', and the task file .*choice\.yaml"):
        _one(folder)
    assert _one(folder, "tiny_text").items == ITEMS


def test_missing_data_are_named_with_their_task_file(folder: Path) -> None:
    (folder / "items.jsonl").unlink()
    with pytest.raises(TaskError, match=r"'tiny_choice' has no data: .*items\.jsonl") as caught:
        _one(folder)
    assert str(folder / "choice.yaml") in caught.value.hint


def test_an_empty_file_of_data_is_named(folder: Path) -> None:
    (folder / "items.jsonl").write_text("")
    with pytest.raises(TaskError, match=r"'tiny_choice' has no data: .*items\.jsonl is empty"):
        _one(folder)


def test_damaged_data_are_named(folder: Path) -> None:
    (folder / "items.jsonl").write_text('{"question": "what", \n')
    with pytest.raises(TaskError, match=r"'tiny_choice' can't be read as json: .*choice\.yaml"):
        _one(folder)


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no folder of task files .*nowhere"):
        _one(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("unsafe_code: true", "runs code that a model wrote"),
        ("doc_to_image: [question]", "only text"),
        ("output_type: guessing", "'tiny_choice' can't be read: .*guessing"),
        ("process_docs: !function absent_package.f", "'tiny_choice'.*absent_package"),
        ("doc_to_text: '{{1 / 0}}'", "A template of the task 'tiny_choice' fails: Zero"),
        ("test_split: nowhere", "'tiny_choice' can't be read: KeyError"),
    ],
)
def test_what_cannot_be_run_is_refused(line: str, words: str, folder: Path) -> None:
    key = line.partition(":")[0]
    remaining = [one for one in harness_zoo.CHOICE.splitlines() if not one.startswith(f"{key}:")]
    (folder / "choice.yaml").write_text("\n".join([*remaining, line, ""]))
    with pytest.raises(TaskError, match=words):
        _one(folder, trust_task_code=True)
    assert _one(folder, "tiny_text").items == ITEMS


# --- the network and the home folder ----------------------------------------------------------


def _no_network(*_: Any, **__: Any) -> None:
    raise AssertionError("the network was asked")


def test_local_tasks_ask_nothing_of_the_network(
    task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", _no_network)
    monkeypatch.setattr("socket.getaddrinfo", _no_network)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("core.evaluation.tasks._standard", _no_network)
    for names in (ALL, ("tiny_group", "tiny_tag")):
        assert open_tasks(evaluation(task_folder, *names), seed=0)


def test_a_local_task_over_a_data_set_of_the_hub_may_ask(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = harness_zoo.TEXT.replace("dataset_path: json", "dataset_path: some/where")
    (folder / "text.yaml").write_text(text)
    asked: list[Any] = []
    monkeypatch.setattr("core.evaluation.harness._hub_answers", asked.append)
    assert _one(folder).items == ITEMS
    assert asked == []
    with pytest.raises(TaskError, match=r"'tiny_text' can't be read.*some/where"):
        _one(folder, "tiny_text")
    assert len(asked) == 1


def test_the_harness_own_tasks_offline(
    task_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket.connect", _no_network)
    with pytest.raises(TaskError, match="'arc_esay'") as caught:
        _one(task_folder, "arc_esay")
    assert "arc_easy" in caught.value.hint
    with pytest.raises(TaskError, match="data of the task 'arc_easy' can't be read") as caught:
        _one(task_folder, "arc_easy")
    assert caught.value.hint.startswith("Only the hub's cache was searched: HF_HUB_OFFLINE is set")
    assert capfd.readouterr() == ("", "")


def test_a_hub_out_of_reach_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def refuse(address: tuple[str, int], **_: Any) -> None:
        asked.append(address)
        raise OSError("no route to host")

    for module in ("datasets.config", "huggingface_hub.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.socket.connect", _no_network)
    with pytest.raises(TaskError, match="'arc_easy' can't be read") as caught:
        open_tasks(Evaluation(tasks={"x": ("arc_easy", "arc_challenge")}), seed=0)
    assert "https://huggingface.co gives no answer" in caught.value.hint
    assert asked == [("huggingface.co", 443)]
    assert capfd.readouterr() == ("", "")


def test_no_home_folder_is_needed(task_folder: Path) -> None:
    script = (
        "from core.study.study import Evaluation; from core.evaluation.tasks import open_tasks\n"
        f"asked = Evaluation(tasks={{'x': ('tiny_text',)}}, include={str(task_folder)!r})\n"
        "print(open_tasks(asked, seed=0)[0].items)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True,
        timeout=120, check=False, env={"HOME": "/proc/nowhere", "HF_HOME": "/proc/nowhere/hf"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{ITEMS}\n", "")


def test_every_task_of_a_set_is_a_task_of_the_harness() -> None:
    for name, named in task_sets.SETS.items():
        missing = set(named) - harness_tasks._standard().keys()
        assert not missing, name
