"""Templates and files of tasks, read without running code: Jinja's sandbox and a safe YAML loader.

Owns how the harness renders a template and reads a task file in this process. Knows no task; what
else of a task file may be code is taskfiles.py's.
"""

from __future__ import annotations

from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

_PLAIN = ("builtins", "datetime", "decimal", "jinja2", "markupsafe")
"""Packages whose objects a template may ask for attributes. Others, such as an image of a data set,
have methods that write files."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without a way out: plain values alone have attributes, and nothing can be changed."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """May a template look at this attribute of an object?"""
        package = type(obj).__module__.partition(".")[0]
        return package in _PLAIN and super().is_safe_attribute(obj, attr, value)


def enter() -> None:
    """From now on the harness renders templates and reads task files in this process safely.

    For good: a task that was opened renders its templates again whenever it is asked.
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
    # The harness takes a loader that knows Python's objects where libyaml is missing.
    safe = (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if _yaml_loader._Base not in safe:
        _yaml_loader._Base = yaml.SafeLoader
