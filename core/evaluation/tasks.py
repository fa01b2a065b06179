"""Evaluation tasks by name: the harness's own, and task files in a study's folder.

Owns finding, reading and identifying tasks, and the errors for them. Knows no model: evaluator.py
runs tasks.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from core import libraries
from core.engine.measurement import content_key
from core.errors import TaskError, reason
from core.evaluation import datafiles, harness, items, sandbox
from core.files import regular
from core.study.study import Evaluation

_NOT_ITS_MEANING = (
    "custom_dataset", "dataset_kwargs", "dataset_path", "metadata", "tag", "task_alias",
)  # fmt: skip
"""Keys of a task's location and display. The fingerprint uses its documents instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task as a study runs it. A group of the harness has one Task per leaf.

    `domains`: the domains that name it, in the study's order. `metrics`: is higher better, for each
    score (`metric`, or `metric:filter` unless the filter is `none`); None if unstated. `items`: the
    number of documents after `limit`. `fingerprint` identifies configuration, code, documents,
    few-shot examples and settings, but not the location of files. `handle`: the harness's own
    object.
    """

    name: str
    domains: tuple[str, ...]
    output_type: str
    metrics: Mapping[str, bool | None]
    items: int
    fewshot: int
    limit: int | None
    chat_template: bool
    seed: int
    fingerprint: str
    handle: Any = field(repr=False, compare=False)

    def document(self, index: int) -> Mapping[str, Any]:
        """The document with this index. Raises TaskError if the index is out of range."""
        if not 0 <= index < self.items:
            raise TaskError(f"The task '{self.name}' has no item {index}, only {self.items}.")
        document: Mapping[str, Any] = _documents(self.handle)[index]
        return document


def open_tasks(evaluation: Evaluation, *, seed: int) -> tuple[Task, ...]:
    """Every task of a study once, in its order; groups and tags are replaced by their tasks.

    Raises TaskError for an unknown task (with the nearest names), unreadable task files or data,
    unsupported tasks (images, running code that a model wrote), untrusted code of a task file, and
    unusable items.
    """
    _refuse_pipes(evaluation.include)
    names = list(dict.fromkeys(name for named in evaluation.tasks.values() for name in named))
    leaves: dict[str, Any] = {}
    domains: dict[str, list[str]] = {}
    # Seeded, because tasks may shuffle or draw their documents on reading.
    with harness.quiet(), harness.seeded(seed):
        opened = _open(names, evaluation.include, trusted=evaluation.trust_task_code)
        for domain, named in evaluation.tasks.items():
            for leaf, handle in (pair for name in named for pair in opened[name].items()):
                if _meaning(leaves.setdefault(leaf, handle)) != _meaning(handle):
                    libraries.tell(
                        f"the task '{leaf}' is named more than once, with different settings: "
                        "the first settings are used."
                    )
                domains.setdefault(leaf, [])
                if domain not in domains[leaf]:
                    domains[leaf].append(domain)
        tasks = tuple(
            _task(handle, tuple(domains[leaf]), evaluation, seed) for leaf, handle in leaves.items()
        )
        # Last, because writing out items may draw random numbers.
        for task in tasks:
            items.refuse_unfit(task, _documents(task.handle))
        return tasks


def _task(handle: Any, domains: tuple[str, ...], evaluation: Evaluation, seed: int) -> Task:
    name = handle.task_name
    _refuse_what_cannot_run(name, handle)
    _set_fewshot(handle, evaluation.fewshot)
    fewshot = int(handle.config.num_fewshot)
    count = len(_documents(handle))
    number = count if evaluation.limit is None else min(count, evaluation.limit)
    settings = {
        "harness": harness.version(),
        "fewshot": fewshot,
        "chat_template": evaluation.chat_template,
        "seed": seed,
    }
    return Task(
        name=name,
        domains=domains,
        output_type=str(handle.OUTPUT_TYPE),
        metrics=_metrics(handle),
        items=number,
        fewshot=fewshot,
        limit=evaluation.limit,
        chat_template=evaluation.chat_template,
        seed=seed,
        fingerprint=_fingerprint(handle, number, settings),
        handle=handle,
    )


def metric_name(metric: str, filter_name: str) -> str:
    """The name of a score: `metric`, or `metric:filter` unless the filter is `none`."""
    return metric if filter_name == "none" else f"{metric}:{filter_name}"


def _metrics(handle: Any) -> dict[str, bool | None]:
    directions = handle.higher_is_better()
    return {
        metric_name(metric, chain.name): directions[metric]
        for chain in handle._filters
        for metric in directions
    }


def _refuse_what_cannot_run(name: str, handle: Any) -> None:
    if getattr(handle, "MULTIMODAL", False):
        raise TaskError(f"The task '{name}' contains images or sound; only text can be evaluated.")
    if getattr(handle, "UNSAFE_CODE", False):
        raise TaskError(
            f"The task '{name}' runs code that a model wrote, which tauscope does not do.",
            hint="Leave it out of the study.",
        )


def _set_fewshot(handle: Any, asked: int | None) -> None:
    """Set few-shot examples as the harness does: a task with 0 keeps 0."""
    configured = handle.config.num_fewshot
    if configured is None or (asked is not None and configured != 0):
        handle.set_config(key="num_fewshot", value=asked or 0)


def _documents(handle: Any) -> Sequence[Mapping[str, Any]]:
    # Each access to `eval_docs` runs the task's processing of documents.
    documents: Sequence[Mapping[str, Any]] = getattr(handle, "task_docs", None) or handle.eval_docs
    return documents


# --- identity ---------------------------------------------------------------------------------


def _fingerprint(handle: Any, number: int, settings: Mapping[str, Any]) -> str:
    examples = getattr(getattr(handle, "sampler", None), "df", ()) if settings["fewshot"] else ()
    documents = _documents(handle)
    return content_key(
        {
            "task": _meaning(handle),
            "version": str(handle.VERSION),
            "settings": dict(settings),
            "documents": _hash(documents[i] for i in range(number)),
            "examples": _hash(examples),
        }
    )


def _meaning(handle: Any) -> dict[str, Any]:
    """The part of a task's configuration that determines its questions, as JSON."""
    config = handle.config.to_dict(keep_callable=True)
    return {k: _plain(v) for k, v in config.items() if k not in _NOT_ITS_MEANING}


def _hash(documents: Iterable[Mapping[str, Any]]) -> str:
    digest = hashlib.sha256()
    for document in documents:
        digest.update(json.dumps(document, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """A configuration as JSON; a function is replaced by the source of its file."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if callable(value):
        try:
            return inspect.getsource(inspect.getmodule(value) or value)
        except (OSError, TypeError):
            return getattr(value, "__qualname__", type(value).__qualname__)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


# --- finding ----------------------------------------------------------------------------------


def _open(names: Sequence[str], include: str | None, *, trusted: bool) -> dict[str, dict[str, Any]]:
    """The harness's task objects by name: one, or all of a group or tag."""
    from lm_eval.tasks import TaskManager

    from core.evaluation.taskfiles import Factory

    sandbox.enter()
    if include is not None and not Path(include).is_dir():
        raise TaskError(f"There is no folder of task files {include} (evaluation.include).")
    manager = TaskManager(include_path=include, include_defaults=False)
    manager._factory = Factory(trusted=trusted, anchor=datafiles.anchor)
    index = manager.task_index
    leaves = {leaf for name in names for leaf in _leaves(index, name)}
    local = all(leaf in index and datafiles.is_local(index[leaf].cfg or {}) for leaf in leaves)
    if not leaves <= set(index):
        for name, entry in _standard().items():
            index.setdefault(name, entry)
    unknown = [name for name in names if name not in index]
    if unknown:
        raise _no_such_task(unknown[0], index, include)
    with harness.reading(local=local) as unasked:
        return {name: _load(manager, name, unasked) for name in names}


def _refuse_pipes(include: str | None) -> None:
    """Raise TaskError for a pipe or a device, which the harness would read forever."""
    for path in regular.pipes(Path(include).rglob("*") if include else iter(())):
        raise TaskError(f"{path} is a pipe or a device, not a file (evaluation.include).")


def _leaves(index: Mapping[str, Any], name: str, above: frozenset[str] = frozenset()) -> set[str]:
    """The tasks of a name, by the index."""
    entry = index.get(name)
    if entry is None or entry.kind.name not in ("GROUP", "TAG") or name in above:
        return {name}
    members = entry.tags if entry.kind.name == "TAG" else entry.cfg.get("task") or ()
    named = (m if isinstance(m, str) else str(m.get("task", m.get("group"))) for m in members)
    return {leaf for member in named for leaf in _leaves(index, member, above | {name})}


@cache
def _standard() -> dict[str, Any]:
    """The harness's own tasks; reading its 14,000 task files takes seconds."""
    from lm_eval.tasks import TaskManager

    index: dict[str, Any] = TaskManager().task_index
    return index


def _load(manager: Any, name: str, unasked: str) -> dict[str, Any]:
    """The harness's task objects of a name. `unasked`: the reason for not asking the hub, or ""."""
    try:
        with sandbox.templates_of(name):
            loaded: dict[str, Any] = manager.load([name])["tasks"]
    except TaskError:
        raise
    except ImportError as error:
        raise TaskError(
            f"The task '{name}' needs a package that is not installed: {reason(error)}.",
            hint="Some tasks of lm-eval need an extra, such as lm-eval[ifeval].",
        ) from error
    except (OSError, EOFError) as error:
        raise TaskError(
            f"The data of the task '{name}' can't be read: {reason(error)}",
            hint=f"Only the hub's cache was searched: {unasked}. Open the task once on a machine "
            "that reaches the hub."
            if unasked
            else "",
        ) from error
    # Task files hold code and templates, which fail in any way.
    except Exception as error:
        raise TaskError(
            f"The task '{name}' can't be read: {type(error).__name__}: {reason(error)}"
        ) from error
    return loaded


def _no_such_task(name: str, index: Mapping[str, Any], include: str | None) -> TaskError:
    """The error for an unknown task, perhaps because a file with its name can't be read."""
    for file in sorted(Path(include).glob("**/*.yaml")) if include else ():
        fault = _fault(file)
        if fault and _may_hold(file, name):
            return TaskError(
                f"There is no evaluation task '{name}', and the task file {file} can't be read: "
                f"{fault}",
                hint=f"Correct {file.name}.",
            )
    near = difflib.get_close_matches(name, index, n=3, cutoff=0.5)
    places = f"in {include} or " if include else ""
    return TaskError(
        f"There is no evaluation task '{name}', {places}in lm-eval.",
        hint="The nearest names: " + ", ".join(near) + "." if near else "",
    )


def _may_hold(file: Path, name: str) -> bool:
    try:
        return name in file.read_text(errors="replace")
    except OSError:
        return True


def _fault(file: Path) -> str:
    """The reason that a task file can't be read, in one line; empty if it can be read."""
    from lm_eval.tasks._yaml_loader import load_yaml
    from yaml.constructor import ConstructorError

    try:
        load_yaml(file, resolve_func=False)
    except ConstructorError as error:
        tag = re.search(r"the tag '(.+)'", error.problem or "")
        if not tag or not error.problem_mark:
            return " ".join(str(error).split())
        return (
            f"line {error.problem_mark.line + 1} of {error.problem_mark.name} has the tag "
            f"{tag[1].replace('tag:yaml.org,2002:', '!!')}; the only supported tag is !function."
        )
    except Exception as error:
        return " ".join(str(error).split())
    return ""
