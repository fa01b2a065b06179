"""Templates and files of tasks, read without running code: Jinja's sandbox and a safe YAML loader.

Owns the harness's rendering of templates and reading of task files in this process, and the error
for a failing template. taskfiles.py checks a task file for other code.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment

from core.errors import TaskError, reason

_PLAIN = ("builtins", "datetime", "decimal", "jinja2", "markupsafe")
"""Packages of objects with attributes that a template may use. Other objects, such as an image of a
data set, have methods that write files."""


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


def enter() -> None:
    """Make the harness render templates and read task files safely in this process from now on.

    It is permanent: an opened task renders its templates again whenever it runs.
    """
    import yaml
    from lm_eval import utils
    from lm_eval.tasks import _yaml_loader

    if not isinstance(utils.env, Sandbox):
        sandbox = Sandbox(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=utils.env.keep_trailing_newline
        )
        sandbox.filters.update(utils.env.filters)
        utils.env = sandbox
    # Without libyaml, the harness uses a loader that builds Python objects.
    safe = (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if _yaml_loader._Base not in safe:
        _yaml_loader._Base = yaml.SafeLoader
