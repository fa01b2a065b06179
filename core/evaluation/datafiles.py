"""Local data files of a task, read without the harness.

Owns the paths of a task file's `data_files`, which are relative to that file, and the errors for
them. Knows no task beyond its configuration.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import TaskError, reason
from core.files.partial import scratch
from core.study.places import below

_FORMATS = ("arrow", "csv", "json", "pandas", "parquet", "text", "xml")
"""Values of `dataset_path` in a task file with local data files."""

_PATHS = ("data_files", "data_dir")
"""Options of a data set that are paths."""


def is_local(config: Mapping[str, Any]) -> bool:
    """Are a task's data in local files?"""
    is_files = config.get("dataset_path") in _FORMATS and "class" not in config
    return is_files and "://" not in str(config.get("dataset_kwargs"))


def anchor(config: dict[str, Any], file: Path) -> None:
    """Make tauscope read a task's data: the harness resolves paths against the current folder.

    `config`: a task's configuration, or a group file's settings for its members.
    """
    if is_local(config) or "dataset_path" not in config:
        named = config.get("task")
        _set_reader(config, named if isinstance(named, str) else file.stem, file)


def _set_reader(config: dict[str, Any], name: str, file: Path) -> None:
    if isinstance(config.get("custom_dataset"), partial):  # a group's, which replaces the task's
        config.pop("dataset_kwargs", None)
        return
    options = dict(config.get("dataset_kwargs") or {})
    if config.get("dataset_path") in _FORMATS and "://" not in str(options):
        config.pop("dataset_kwargs", None)
        read = partial(_read_files, name, file, config["dataset_path"], options)
        config["custom_dataset"] = read
    elif options:  # for a task in another file, which receives it
        paths = {key: options[key] for key in _PATHS if key in options}
        anchored = {
            k: _resolved(v, lambda path: str(below(file.parent, path))) for k, v in paths.items()
        }
        config["dataset_kwargs"] = options | anchored


def _read_files(
    name: str, file: Path, file_format: str, settings: Mapping[str, Any], **given: Any
) -> Any:
    """The data set of a local task, in memory, so that no writable cache is needed.

    A group's files replace the task's own.
    """
    import datasets

    options = {**settings, **{key: given[key] for key in _PATHS if key in given}}
    for key in _PATHS:
        if key in options:
            options[key] = _resolved(options[key], partial(_find, name, file))
    with scratch("task") as cache_folder:
        try:
            return datasets.load_dataset(
                file_format, cache_dir=str(cache_folder), keep_in_memory=True, **options
            )
        except Exception as error:
            raise TaskError(
                f"The data of the task '{name}' can't be read as {file_format}: "
                f"{reason(error.__cause__ or error)} (data_files of {file})."
            ) from error


def _resolved(paths: Any, find: Callable[[str], str]) -> Any:
    """`data_files` in any of its forms: a path, several paths, or either by split."""
    if isinstance(paths, Mapping):
        return {split: _resolved(part, find) for split, part in paths.items()}
    if isinstance(paths, list | tuple):
        return [_resolved(part, find) for part in paths]
    return find(str(paths))


def _find(name: str, file: Path, path: str) -> str:
    """A file or pattern of a task as an absolute pattern, which the data reader requires; special
    characters in the names of files and folders are escaped."""
    where = below(file.parent, path)
    if where.is_file() and not where.stat().st_size:
        raise TaskError(
            f"The task '{name}' has no data: {where} is empty.", hint=f"{file} names it."
        )
    if where.exists():
        return glob.escape(str(where))
    pattern = str(below(Path(glob.escape(str(file.parent))), path))
    if not glob.glob(pattern, recursive=True):  # noqa: PTH207 - the pattern is absolute
        raise TaskError(
            f"The task '{name}' has no data: {where} does not exist.",
            hint=f"{file} names it; data_files are relative to the task file.",
        )
    return pattern
