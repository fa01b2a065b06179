"""Code of task files runs where somebody trusts it, and nowhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import TaskError
from core.evaluation.evaluator import Evaluator
from core.evaluation.examples import examples
from core.evaluation.tasks import Task, open_tasks
from core.study.study import Evaluation
from tests.core import harness_zoo
from tests.core.harness_zoo import CHOICE, GENERATION, ITEMS

ESCAPE = "{{ cycler.__init__.__globals__.os.popen('touch TRACE').read() }}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tasks, with a module beside them that leaves a trace where it is imported."""
    made = harness_zoo.write_tasks(tmp_path / "tasks")
    (made / "mine.py").write_text(
        f"open({str(tmp_path / 'trace')!r}, 'a').close()\n"
        "def write(doc):\n    return doc['question']\n"
        "def same(docs):\n    return docs\n"
        "def mean(values):\n    return sum(values) / len(values)\n"
    )
    return made


@pytest.fixture(autouse=True)
def no_trace(tmp_path: Path) -> Iterator[None]:
    """Nothing that a test didn't trust has run."""
    yield
    assert not (tmp_path / "trace").exists()


def _open(folder: Path, *names: str, trusted: bool = False) -> tuple[Task, ...]:
    asked = Evaluation(tasks={"a": names}, include=str(folder), trust_task_code=trusted)
    return open_tasks(asked, seed=0)


def _changed(text: str, key: str, line: str) -> str:
    """A task file with another line for a key, whose own may go on over further lines."""
    return re.sub(rf"^{key}:.*\n(?:[ -].*\n)*", "", text, flags=re.MULTILINE) + line + "\n"


def test_a_function_of_a_task_that_is_not_named_is_not_imported(folder: Path) -> None:
    other = CHOICE.replace("tiny_choice", "other").replace('"{{question}}"', "!function mine.write")
    (folder / "other.yaml").write_text(other)
    (task,) = _open(folder, "tiny_choice")
    assert task.items == ITEMS


FUNCTIONS = {
    "doc_to_text": "doc_to_text: !function mine.write",
    "doc_to_choice": "doc_to_choice: !function mine.write",
    "process_docs": "process_docs: !function mine.same",
    "process_results": "process_results: !function mine.same",
    "metric_list": "metric_list: [{metric: !function mine.mean, aggregation: mean}]",
    "metric_list ": "metric_list: [{metric: acc, aggregation: !function mine.mean}]",
    "filter_list": "filter_list: [{name: a, filter: [{function: custom, "
    "filter_fn: !function mine.same}]}]",
    "fewshot_config": "fewshot_config: {samples: !function mine.same}",
    "custom_dataset": "custom_dataset: !function mine.same",
    "class": "class: !function mine.same",
}


@pytest.mark.parametrize("key", FUNCTIONS)
def test_functions_are_refused_without_trust(key: str, folder: Path) -> None:
    (folder / "choice.yaml").write_text(_changed(CHOICE, key.strip(), FUNCTIONS[key]))
    with pytest.raises(
        TaskError, match=r"choice\.yaml would run code: .*function mine\."
    ) as caught:
        _open(folder, "tiny_choice")
    assert "evaluation.trust_task_code" in caught.value.hint
    assert "--trust-task-code" in caught.value.hint


def test_functions_run_with_trust(folder: Path, tmp_path: Path) -> None:
    line = FUNCTIONS["doc_to_text"]
    (folder / "choice.yaml").write_text(_changed(CHOICE, "doc_to_text", line))
    (task,) = _open(folder, "tiny_choice", trusted=True)
    assert task.handle.doc_to_text(task.document(0)) == task.document(0)["question"]
    (tmp_path / "trace").unlink()


def test_an_included_file_is_no_way_around(folder: Path) -> None:
    (folder / "part").mkdir()
    (folder / "part" / "common").write_text("doc_to_text: !function ..mine.write\n")
    text = _changed(CHOICE, "doc_to_text", "include: part/common")
    (folder / "choice.yaml").write_text(text)
    with pytest.raises(TaskError, match=r"choice\.yaml would run code: !function .*part/common"):
        _open(folder, "tiny_choice")


def test_a_group_and_a_tag_are_no_way_around(folder: Path) -> None:
    text = _changed(CHOICE, "doc_to_text", FUNCTIONS["doc_to_text"])
    (folder / "choice.yaml").write_text(text)
    for name in ("tiny_group", "tiny_tag"):
        with pytest.raises(TaskError, match=r"choice\.yaml would run code"):
            _open(folder, name)


@pytest.mark.usefixtures("no_standard_tasks")
@pytest.mark.parametrize(
    "member",
    [
        "{task: tiny_choice, process_docs: !function mine.same}",
        "{task: tiny_choice, dataset_path: ./script.py}",
        "{task: new, dataset_path: ./script.py, output_type: loglikelihood}",
        "{group: inner, task: [{task: new, dataset_path: ./script.py}]}",
        "{task: tiny_choice, metric_list: [{metric: ./script.py}]}",
    ],
)
def test_what_a_group_says_of_its_tasks_counts(member: str, folder: Path, tmp_path: Path) -> None:
    (folder / "script.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'a').close()\n")
    (folder / "group.yaml").write_text(f"group: tiny_group\ntask: [{member}]\n")
    with pytest.raises(TaskError, match=r"group\.yaml would run code"):
        _open(folder, "tiny_group")


def test_the_harness_s_code_gets_no_input_of_a_user_s_group(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness's own files are trusted: as they are, not as somebody else changed them."""
    shipped = folder.parent / "shipped"
    harness_zoo.write_tasks(shipped)
    (shipped / "mine.py").write_text("def write(doc):\n    return 'from the harness'\n")
    text = _changed(CHOICE, "doc_to_text", FUNCTIONS["doc_to_text"]).replace("tiny_", "its_")
    (shipped / "choice.yaml").write_text(text)
    monkeypatch.setattr("core.evaluation.taskfiles._SHIPPED", shipped.resolve())
    from lm_eval.tasks import TaskManager

    index = TaskManager(include_path=str(shipped), include_defaults=False).task_index
    monkeypatch.setattr("core.evaluation.tasks._standard", lambda: index)
    data = shipped / "items.jsonl"

    def grouped(more: str) -> tuple[Task, ...]:
        (folder / "group.yaml").write_text(f"group: mine\ntask: [{{task: its_choice{more}}}]\n")
        return _open(folder, "mine")

    monkeypatch.chdir(shipped)  # the harness looks for data where it was started
    for (task,) in (_open(folder, "its_choice"), grouped(", num_fewshot: 1")):
        assert task.handle.doc_to_text(task.document(0)) == "from the harness"
    with pytest.raises(TaskError, match=r"group\.yaml would run code: !function mine\.write of "):
        grouped(f", dataset_kwargs: {{data_files: {{test: {data}, train: {data}}}}}")


FETCHED = [
    ("dataset_path", "dataset_path: ./script.py", r"dataset_path: \./script\.py"),
    ("dataset_path", "dataset_path: pandas", "dataset_path: pandas"),
    ("dataset_path", "dataset_path: sql", "dataset_path: sql"),
    ("dataset_kwargs", "dataset_kwargs: {trust_remote_code: true}", "trust_remote_code"),
    ("dataset_kwargs", "dataset_kwargs: {data_files: 'reference://a'}", "reference://a"),
    ("dataset_kwargs", "dataset_kwargs: {storage_options: {fo: a}}", "storage_options"),
    ("metric_list", "metric_list: [{metric: ./script.py}]", r"metric: \./script\.py"),
    ("metric_list", "metric_list: [{metric: acc, hf_evaluate: true}]", "hf_evaluate"),
    ("use_prompt", "use_prompt: 'prompts.yaml:a'", r"use_prompt: prompts\.yaml:a"),
    ("use_prompt", "use_prompt: 'promptsource:a'", "use_prompt: promptsource:a"),
    (
        "generation_kwargs",
        "generation_kwargs: {custom_generate: ./here, trust_remote_code: true}",
        "generation_kwargs.custom_generate",
    ),
]


@pytest.mark.parametrize(("key", "line", "words"), FETCHED)
def test_what_loads_code_is_refused_without_trust(
    key: str, line: str, words: str, folder: Path, tmp_path: Path
) -> None:
    (folder / "script.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'a').close()\n")
    (folder / "generation.yaml").write_text(_changed(GENERATION, key, line))
    with pytest.raises(TaskError, match=f"would run code: .*{words}"):
        _open(folder, "tiny_generation")


@pytest.mark.parametrize(
    "line",
    [
        f'doc_to_text: "{ESCAPE}"',
        f'doc_to_choice: "{ESCAPE}"',
        f'doc_to_target: "{ESCAPE}"',
        f'gen_prefix: "{ESCAPE}"',
        f'description: "{ESCAPE}"',
        f'fewshot_config: {{doc_to_text: "{ESCAPE}"}}',
        "doc_to_text: \"{{ choices.append('x') }}\"",
        'doc_to_text: "{% for n in range(100001) %}{% endfor %}"',
        'description: "{{ range(10 ** 30) | length }}"',
    ],
)
def test_templates_run_in_a_sandbox(line: str, folder: Path, tmp_path: Path) -> None:
    line = line.replace("TRACE", str(tmp_path / "trace"))
    key = line.partition(":")[0]
    (folder / "choice.yaml").write_text(_changed(CHOICE, key, line))
    asked = harness_zoo.evaluation(folder, "tiny_choice", fewshot=1)

    def write_out() -> None:
        for task in open_tasks(asked, seed=0):
            examples(task, range(ITEMS))

    with pytest.raises(
        TaskError, match=r"^A template of the task 'tiny_choice' .*templates may not do"
    ):
        write_out()


def test_templates_see_plain_values_alone() -> None:
    from lm_eval import utils

    from core.evaluation import sandbox

    sandbox.enter()
    doc: dict[str, Any] = {"words": ["a", "b"], "where": Path("x")}
    plain = "{% for w in words %}{{ loop.index }}{{ w.upper() }}{% endfor %}{{ words|length }}"
    assert utils.apply_template(plain, doc) == "1A2B2"
    assert utils.apply_template("{{ 'ab'|regex_replace('a', 'c') }}\n", doc) == "cb\n"
    assert utils.apply_template("{{ range(3, 100003) | length }}", doc) == "100000"
    with pytest.raises(sandbox.TemplateFault, match="may not do: access to attribute 'touch'"):
        utils.apply_template("{{ where.touch() }}", doc)


@pytest.mark.usefixtures("no_standard_tasks")
def test_python_objects_are_no_yaml(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml
    from lm_eval.tasks import _yaml_loader

    monkeypatch.setattr(_yaml_loader, "_Base", yaml.UnsafeLoader)
    line = f"description: !!python/object/apply:os.mknod ['{tmp_path / 'trace'}']"
    (folder / "choice.yaml").write_text(_changed(CHOICE, "description", line))
    file = re.escape(str(folder / "choice.yaml"))
    line_number = (folder / "choice.yaml").read_text().count("\n")
    words = rf"no evaluation task 'tiny_choice', and the task file {file} can't be read: line "
    words += rf"{line_number} of {file} has the tag !!python/object/apply:os.mknod; "
    with pytest.raises(TaskError, match=words) as caught:
        _open(folder, "tiny_choice")
    assert caught.value.hint == "Correct choice.yaml."
    with pytest.raises(TaskError, match="no evaluation task 'tiny_tex'") as caught:
        _open(folder, "tiny_tex")
    assert "choice.yaml" not in caught.value.title
    assert "tiny_text" in caught.value.hint


def _bomb() -> str:
    """Ten values, ten times each, and so on: a few hundred bytes stand for ten billion."""
    lines = [f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(["metadata:", f"    a0: &a0 {list(range(10))}", *lines])


@pytest.mark.usefixtures("no_standard_tasks")
@pytest.mark.parametrize(
    ("line", "words"),
    [(f"metadata: {'[' * 100_000}{']' * 100_000}", "nested more than 1,000 levels deep"),
     (f"metadata:\n  {'- ' * 100_000}", "nested more than 1,000 levels deep"),
     (_bomb(), "more than 100,000 values"),
     ("include: /dev/zero", "it includes /dev/zero, which is a pipe or a device"),
     ("include: [items.jsonl, ../pipe]", r"pipe, which is a pipe or a device")],
    ids=["lists", "dashes", "references", "device", "pipe"],
)  # fmt: skip
def test_a_task_file_without_an_end_is_refused(folder: Path, line: str, words: str) -> None:
    os.mkfifo(folder.parent / "pipe")
    (folder / "choice.yaml").write_text(_changed(CHOICE, "metadata", line))
    with pytest.raises(TaskError, match=rf"choice\.yaml can't be read: .*{words}"):
        _open(folder, "tiny_choice")


def test_a_chat_s_template_runs_in_a_sandbox(loaded: tuple[Any, Any], tmp_path: Path) -> None:
    from jinja2.exceptions import SecurityError

    _, tokenizer = loaded
    tokenizer.chat_template = ESCAPE.replace("TRACE", str(tmp_path / "trace"))
    with pytest.raises(SecurityError):
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)


@pytest.mark.parametrize("template", [ESCAPE, "{{ range(100001) }}", "{{ raise_exception('') }}"])
def test_a_chat_s_template_that_fails_is_named(
    template: str, loaded: tuple[Any, Any], folder: Path
) -> None:
    _, tokenizer = loaded
    tokenizer.chat_template = template
    asked = harness_zoo.evaluation(folder, "tiny_choice", chat_template=True)
    (task,) = open_tasks(asked, seed=0)
    with pytest.raises(TaskError, match=r"task 'tiny_choice' can't be .*: the chat template fails"):
        examples(task, range(1), tokenizer=tokenizer)
    with pytest.raises(TaskError, match=r"task 'tiny_choice' can't be .*: the chat template fails"):
        Evaluator(*loaded).evaluate(task)
