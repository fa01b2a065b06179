"""The fields of a study, derived from the declarations of core.study.study and of the analyses'
parameters. Forms, prompts and comments in files share a field's description.

A field has the key that it has in a study file: `probe.documents`, `analyses.alignment.energy`. Its
content is a text, as typed; `typed` converts it to the declared type. An invalid text stays a text,
which the declaration refuses.
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
from core.study.models import Model, Models

SECTIONS: dict[str, type[BaseModel]] = {
    "": study.Study,
    "models": Models,
    "models.base": Model,
    "models.tuned": Model,
    "probe": study.Probe,
    "probes": study.Probe,
    "evaluation": study.Evaluation,
    "run": study.Run,
}
"""The declarations by section of a study; analyses' parameters are added."""

YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. `options`: its possible texts, if they are few; `otherwise`: the default while it
    is empty; `example`: a possible value if there is no default."""

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
    """The names of a section's fields, in the order of declaration."""
    return tuple(_model(section).model_fields)


def settable() -> tuple[str, ...]:
    """The keys of all single fields: without lists of models and domains."""
    parts = ["", "models", "models.base", "probe", "evaluation", "run"]
    parts += [f"analyses.{name}" for name in registry.names()]
    keys = [f"{part}.{name}".lstrip(".") for part in parts for name in names(part)]
    whole = {*SECTIONS, "analyses", "evaluation.tasks"}
    return tuple(key for key in keys if key not in whole)


def overrides(section: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """The texts that differ from the default, as a TOML file's values."""
    values = {name: typed(section, name, texts[name]) for name in names(section) if name in texts}
    return {
        name: value
        for name, value in values.items()
        if value is not None and value != default(section, name)
    }


def typed(section: str, name: str, words: str) -> Any:
    """The value of a text; None if it is empty, the text itself if it is invalid."""
    if not words.strip():
        return None
    parted = parts(words, _kinds(_declared(section, name).annotation))
    adapter = _adapter(section, name)
    try:
        return adapter.dump_python(adapter.validate_python(parted), mode="json")
    except ValidationError:
        return parted


def parts(words: str, kinds: frozenset[Any] = frozenset({tuple})) -> Any:
    """A text split into a list or a mapping.

    Items of a list are separated by commas or spaces; items of the form `a=1,b=2` only by spaces or
    semicolons. A mapping is `a=1, b=2`. Both may also be in TOML's notation.
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
    """A value as typed text; empty for None."""
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
    """The default as a TOML file's value; None if there is none."""
    info = _declared(section, name)
    if info.is_required():
        return None
    return _adapter(section, name).dump_python(info.get_default(), mode="json")


def example(section: str, name: str) -> Any:
    """A possible value of a field: its default, else an example."""
    value = default(section, name)
    examples = _declared(section, name).examples
    return examples[0] if examples and value in (None, {}) else value


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
    """The members of a union type, without None."""
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
