"""Templates and files of tasks, read without running code: Jinja's sandbox and a safe YAML loader.

Owns the harness's rendering of templates and reading of task files in this process, and the error
for a failing template. taskfiles.py checks a task file for other code.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import jinja2
import yaml
from jinja2.exceptions import SecurityError
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment

from core.errors import TaskError, reason
from core.files import regular

_PLAIN = ("builtins", "datetime", "decimal", "jinja2", "markupsafe")
"""Packages of objects with attributes that a template may use. Other objects, such as an image of a
data set, have methods that write files."""

_DEEPEST = 1000
"""Levels of a task file; libyaml ends the process at some ten thousand."""

_MOST = 100_000
"""Values of a task file, with those that it refers to counted at each reference."""

_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TemplateFault(Exception):  # noqa: N818 - becomes a TaskError once the task is known
    """A template of a task fails. The message completes "the template …"."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, further restricted: only plain values have attributes, and nothing can be
    changed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.globals["range"] = _range

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """May a template read this attribute of an object?"""
        package = type(obj).__module__.partition(".")[0]
        return package in _PLAIN and super().is_safe_attribute(obj, attr, value)

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """Called by Jinja inside an `except`: turns the raised error into TemplateFault."""
        error = sys.exception()
        assert error is not None
        refused = isinstance(error, SecurityError)
        forbidden = "does something that templates may not do"
        kind = forbidden if refused else f"fails: {type(error).__name__}"
        raise TemplateFault(f"{kind}: {reason(error)}") from error


@contextlib.contextmanager
def templates_of(task: str) -> Iterator[None]:
    """Attribute a failing template to this task. Raises TaskError."""
    try:
        yield
    except TemplateFault as error:
        raise TaskError(f"A template of the task '{task}' {error}") from error


def _range(*bounds: int) -> range:
    """Python's range, up to the sandbox's limit."""
    counted = range(*bounds)
    if counted[MAX_RANGE:]:
        raise SecurityError(f"it counts over a range of more than {MAX_RANGE:,} numbers.")
    return counted


class Loader(_Safe):  # type: ignore[misc]
    """YAML without objects of Python's, and of a size that can be worked on.

    Raises YAMLError for a file that is nested too deep, or whose few bytes refer to one another
    until they stand for billions of values; and for an `include` of a pipe or a device.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        _refuse_endless(yaml.parse(stream, Loader=_Safe))
        stream.seek(0)
        super().__init__(stream)
        self._folder = Path(stream.name).parent

    def get_single_data(self) -> Any:
        """The file's value."""
        data = super().get_single_data()
        named = data.get("include", ()) if isinstance(data, dict) else ()
        listed = named if isinstance(named, list) else [named]
        paths = (self._folder / each for each in listed if isinstance(each, str))
        for path in regular.pipes(paths):
            raise yaml.YAMLError(f"it includes {path}, which is a pipe or a device")
        return data


def _refuse_endless(events: Iterator[Any]) -> None:
    sizes, names, known = [0], [""], {}
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            names.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            known[names.pop()] = size = sizes.pop()
            sizes[-1] += size
        elif isinstance(event, yaml.AliasEvent):
            sizes[-1] += known.get(event.anchor, 1)
        else:
            sizes[-1] += 1
        if len(sizes) > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST:,} levels deep")
        if sizes[-1] > _MOST:
            raise yaml.YAMLError(f"it holds more than {_MOST:,} values, references counted in full")


def enter() -> None:
    """Make the harness render templates and read task files safely in this process from now on.

    It is permanent: an opened task renders its templates again whenever it runs.
    """
    from lm_eval import utils
    from lm_eval.tasks import _yaml_loader

    if not isinstance(utils.env, Sandbox):
        sandbox = Sandbox(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=utils.env.keep_trailing_newline
        )
        sandbox.filters.update(utils.env.filters)
        utils.env = sandbox
    _yaml_loader._Base = Loader  # the harness's own knows Python's objects where libyaml is missing
