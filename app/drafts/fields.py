"""The fields of a study, derived from the declarations of core.study.study and of the analyses'
parameters. A form, a prompt and a comment in a file all say the same of a field.

A field has the key that it has in a study file: `probe.documents`, `analyses.alignment.energy`.
What it holds is a text, as typed; `typed` makes of it what the declaration asks for. What can't be
made sense of stays a text, for the declaration itself to refuse.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from core.engine import registry
from core.study import study

SECTIONS: dict[str, type[BaseModel]] = {
    "": study.Study,
    "models": study.Models,
    "models.base": study.Model,
    "models.tuned": study.Model,
    "probe": study.Probe,
    "evaluation": study.Evaluation,
    "run": study.Run,
}
"""The declarations, by where they stand in a study; those of analyses' parameters come on top."""

YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Something to fill in. `options`: the texts it may have, if they are few; `otherwise`: what
    holds while it is empty; `example`: what it might be, where nothing holds."""

    key: str
    label: str
    help: str = ""
    options: tuple[str, ...] = ()
    otherwise: str = ""
    example: str = ""


@cache
def field(key: str) -> Field:
    """The field of this key."""
    section, _, name = key.rpartition(".")
    info = _declared(section, name)
    return Field(
        key=key,
        label=name.replace("_", " "),
        help=info.description or "",
        options=_options(info.annotation),
        otherwise=text(default(section, name)),
        example=text(info.examples[0]) if info.examples else "",
    )


def names(section: str) -> tuple[str, ...]:
    """The names of all that a section declares, in that order."""
    return tuple(_model(section).model_fields)


def settable() -> tuple[str, ...]:
    """The keys of all that can be filled in by itself: not of what a study has any number of."""
    parts = ["", "models", "models.base", "probe", "evaluation", "run"]
    parts += [f"analyses.{name}" for name in registry.names()]
    found = [f"{part}.{name}".lstrip(".") for part in parts for name in names(part)]
    whole = {*SECTIONS, "analyses", "evaluation.tasks"}
    return tuple(key for key in found if key not in whole)


def given(section: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Those of these texts that say something other than the default, as a TOML file's values."""
    found = {name: typed(section, name, texts[name]) for name in names(section) if name in texts}
    return {
        name: value
        for name, value in found.items()
        if value is not None and value != default(section, name)
    }


def typed(section: str, name: str, words: str) -> Any:
    """What a text stands for; None where it says nothing, the text itself where it is unfit."""
    if not words.strip():
        return None
    parted = parts(words, _kinds(_declared(section, name).annotation))
    adapter = _adapter(section, name)
    try:
        return adapter.dump_python(adapter.validate_python(parted), mode="json")
    except ValidationError:
        return parted


def parts(words: str, kinds: frozenset[Any] = frozenset({tuple})) -> Any:
    """A text with its parts apart, where it is to be a list or a mapping.

    Parts of a list are divided by commas or spaces; where they are of the form `a=1,b=2`, by
    spaces or semicolons alone. A mapping is `a=1, b=2`. Both may also be written as in TOML.
    """
    if words.lstrip()[:1] in ("[", "{") and kinds & {tuple, dict}:
        try:
            return tomllib.loads(f"it = {words}")["it"]
        except (tomllib.TOMLDecodeError, UnicodeEncodeError):
            return words
    if tuple in kinds:
        return [part for part in re.split(r"[\s;]+" if "=" in words else r"[\s,;]+", words) if part]
    if dict in kinds:
        pairs = [pair.partition("=") for pair in re.split(r"[,;]", words) if pair.strip()]
        if all(sign for _, sign, _ in pairs):
            return {name.strip(): value.strip() for name, _, value in pairs}
    return words


def text(value: Any) -> str:
    """A value as one would type it; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        words = [text(each) for each in value]
        return ("; " if any("=" in each for each in words) else ", ").join(words)
    return str(value)


@cache
def default(section: str, name: str) -> Any:
    """What holds where nothing is given, as a TOML file's value; None for what has no default."""
    info = _declared(section, name)
    if info.is_required():
        return None
    return _adapter(section, name).dump_python(info.get_default(), mode="json")


def example(section: str, name: str) -> Any:
    """What a field might hold: its default, or an example where that is nothing."""
    found = default(section, name)
    examples = _declared(section, name).examples
    return examples[0] if examples and found in (None, {}) else found


def _model(section: str) -> type[BaseModel]:
    if section.startswith("analyses."):
        return registry.get(section.removeprefix("analyses.")).parameters
    return SECTIONS[section]


def _declared(section: str, name: str) -> FieldInfo:
    return _model(section).model_fields[name]


@cache
def _adapter(section: str, name: str) -> TypeAdapter[Any]:
    annotation: Any = _declared(section, name).annotation
    return TypeAdapter(annotation)


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that are joined in one, without None."""
    union = get_origin(annotation) in (Union, UnionType)
    return tuple(
        a for a in (get_args(annotation) if union else (annotation,)) if a is not type(None)
    )


def _kinds(annotation: Any) -> frozenset[Any]:
    return frozenset(get_origin(member) or member for member in _members(annotation))


def _options(annotation: Any) -> tuple[str, ...]:
    kinds = _kinds(annotation)
    if kinds == {bool}:
        return (NO, YES)
    if kinds == {Literal}:
        return tuple(str(each) for member in _members(annotation) for each in get_args(member))
    return ()
