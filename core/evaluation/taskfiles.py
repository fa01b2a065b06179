"""Tasks built from their files. Code of a file runs only if the user trusts it.

Owns the recognition of code in a task file, the file's origin, and the refusal. The harness's own
files are trusted as a part of the library. Knows no study; tasks.py chooses the tasks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval.api.metrics  # fills the registry
import lm_eval.tasks
from lm_eval.api.registry import metric_registry
from lm_eval.prompts import PROMPT_REGISTRY
from lm_eval.tasks import _yaml_loader
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry, Kind

from core.errors import TaskError

_SHIPPED = Path(lm_eval.tasks.__file__).resolve().parent
_HARMLESS = frozenset({"task", "task_alias", "tag", "num_fewshot", "description"})
"""Keys that a group may set on a task of the harness without changing its code's input."""

_RUNNERS = frozenset({"cache", "generator", "pandas", "spark", "sql"})
"""Readers of `datasets` that unpickle, call or query."""
_OPTIONS: Mapping[str, frozenset[str]] = {
    "dataset_kwargs": frozenset({"download_config", "storage_options", "trust_remote_code"}),
    "generation_kwargs": frozenset({"assistant_model", "custom_generate", "trust_remote_code"}),
}
"""Keys that make `datasets` and `transformers` load code, or open file systems that do."""
_SCHEMES = frozenset({"hf", "http", "https"})

Anchor = Callable[[dict[str, Any], Path], None]


def refusal(file: Path, code: str) -> TaskError:
    """The error for untrusted code in a task file, with the setting that allows it."""
    return TaskError(
        f"The task file {file} would run code: {code}.",
        hint="If you trust its author, set evaluation.trust_task_code = true in the study file, "
        "or use --trust-task-code.",
    )


class Factory(TaskFactory):  # type: ignore[misc]
    """The harness's factory. `trusted`: code of task files runs. `anchor` is called with the whole
    configuration of each of the user's task files, or a group file's settings for its members, and
    with the file; it may change the configuration."""

    def __init__(self, *, trusted: bool, anchor: Anchor) -> None:
        super().__init__()
        self._trusted, self._anchor = trusted, anchor
        self._group: Path | None = None
        """The file of the user's that says something of the tasks which are being built."""

    def build(self, entry: Entry, **given: Any) -> Any:
        """As in the harness. Raises TaskError for untrusted code."""
        if entry.kind is not Kind.GROUP:
            return super().build(entry, **given)
        before = self._group
        if not _is_shipped(entry.yaml_path):
            self._group = entry.yaml_path
        elif _is_harmless(given.get("overrides")):
            self._group = None
        try:
            return super().build(entry, **given)
        finally:
            self._group = before

    def _build_group(self, group_name: str, raw_cfg: dict[str, Any], *more: Any) -> Any:
        members = raw_cfg.get("task")
        listed = members if isinstance(members, list) else []
        for part in (raw_cfg, *(member for member in listed if isinstance(member, dict))):
            if self._group is not None:
                if not self._trusted:
                    _check(part, self._group)
                self._anchor(part, self._group)
        return super()._build_group(group_name, raw_cfg, *more)

    def _load_full_config(
        self, entry: Entry, overrides: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        is_user_file = not _is_shipped(entry.yaml_path)
        author = (
            entry.yaml_path if is_user_file else None if _is_harmless(overrides) else self._group
        )
        if author is None or self._trusted:
            config: dict[str, Any] = super()._load_full_config(entry, overrides)
        else:
            with _without_functions(author):
                config = super()._load_full_config(entry, overrides)
            _check(config, author)
        if is_user_file and entry.yaml_path is not None:
            self._anchor(config, entry.yaml_path)
        return config


def _is_shipped(file: Path | None) -> bool:
    return file is not None and file.resolve().is_relative_to(_SHIPPED)


def _is_harmless(overrides: Mapping[str, Any] | None) -> bool:
    return set(overrides or {}) <= _HARMLESS


@contextlib.contextmanager
def _without_functions(author: Path) -> Iterator[None]:
    """Make a `!function` in a file or an included file an error instead of an import."""
    before = _yaml_loader._mk_function_ctor

    def refuse(loader: Any, node: Any) -> Any:
        where = Path(node.start_mark.name)
        of = "" if where == author.resolve() else f" of {where}"
        raise refusal(author, f"!function {node.value}{of}")

    _yaml_loader._mk_function_ctor = lambda _folder, _resolve: refuse
    try:
        yield
    finally:
        _yaml_loader._mk_function_ctor = before


def _check(config: Mapping[str, Any], author: Path) -> None:
    """Raise TaskError for the first entry of a configuration that is code or loads code."""
    for code in _code(config):
        raise refusal(author, code)


def _code(config: Mapping[str, Any]) -> Iterator[str]:
    for key in ("class", "custom_dataset"):
        if config.get(key) and not isinstance(config[key], partial):  # set by the anchor itself
            yield f"{key}: {config[key]}"
    data = str(config.get("dataset_path") or "")
    if data.endswith(".py") or data in _RUNNERS:
        yield f"dataset_path: {data}"
    for part, keys in _OPTIONS.items():
        options = config.get(part)
        given = options if isinstance(options, dict) else {}
        for key in sorted(keys & set(given)):
            if given[key]:
                yield f"{part}.{key}: {given[key]}"
    for address in _texts(config.get("dataset_kwargs")):
        scheme, sign, _ = address.partition("://")
        if "::" in address or (sign and scheme not in _SCHEMES):
            yield f"dataset_kwargs: {address}"
    prompt = str(config.get("use_prompt") or "")
    if prompt and prompt.partition(":")[0] not in PROMPT_REGISTRY:
        yield f"use_prompt: {prompt}"
    yield from _metrics(config.get("metric_list"))


def _metrics(listed: Any) -> Iterator[str]:
    """Metrics outside of the harness: it would load them as programs."""
    for metric in listed if isinstance(listed, list) else ():
        if isinstance(metric, dict) and "metric" in metric:
            if metric.get("hf_evaluate"):
                yield f"hf_evaluate of metric {metric['metric']}"
            elif metric["metric"] not in metric_registry:
                yield f"metric: {metric['metric']}, which is not one of lm-eval's"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value
