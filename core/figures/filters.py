"""Filters of a run by models, layers and modules, written in one line.

    model:medical,code layer:10-20 module:q,k

Owns that language, and what is said of a line that makes no sense. Refuses to know what is
filtered: `core.figures.choices.narrowed` takes what a filter leaves out of a catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from core.engine.measurement import ordered
from core.errors import StudyError, did_you_mean

Filtered = Literal["model", "layer", "module"]
FIELDS: tuple[Filtered, ...] = get_args(Filtered)

Span = tuple[int, int]
"""Layers from one to another, both included."""
LAST = 10**8
"""The end of a span that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What there is in a run to filter by."""

    models: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()

    def of(self, field: str) -> tuple[Any, ...]:
        """The names, or the numbers, of one field."""
        found: tuple[Any, ...] = getattr(self, f"{field}s")
        return found

    def __or__(self, other: Names) -> Names:
        """What there is in either, what the other adds at the end; layers by number."""
        return Names(
            models=ordered((*self.models, *other.models)),
            layers=tuple(sorted({*self.layers, *other.layers})),
            modules=ordered((*self.modules, *other.modules)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Some models, layers and modules. Where none is named, all are meant.

    What has no model, layer or module, such as a sum over all layers, is never left out.
    """

    models: tuple[str, ...] = ()
    layers: tuple[Span, ...] = ()
    modules: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.models or self.layers or self.modules)

    def __str__(self) -> str:
        """The line that it is read from, in its shortest form."""
        named = zip(FIELDS, (self.models, map(_spelt, self.layers), self.modules), strict=True)
        found = ((field, ",".join(values)) for field, values in named)
        return " ".join(f"{field}:{values}" for field, values in found if values)

    def narrows(self, field: Filtered) -> bool:
        """Does it leave anything of this field out?"""
        return bool(getattr(self, f"{field}s"))

    def takes(self, field: Filtered, value: str | int | None) -> bool:
        """Is this value of a field seen? The absence of one ("" or None) is."""
        if value is None or value == "" or not self.narrows(field):
            return True
        if isinstance(value, int):
            return any(low <= value <= high for low, high in self.layers)
        return value in (self.models if field == "model" else self.modules)

    def hidden(self, names: Names) -> dict[Filtered, int]:
        """How many of the names it leaves out, by field; fields of which it leaves out none are
        not there."""
        counts = {f: sum(not self.takes(f, value) for value in names.of(f)) for f in FIELDS}
        return {field: count for field, count in counts.items() if count}


ALL = Filter()
"""Leaves nothing out."""


def read(line: str, names: Names) -> Filter:
    """The filter that a line asks for.

    Terms stand apart by spaces: a field, a colon, and values with commas between them. Terms of
    one field add to one another. A bare word is a model's name or a part of it, else a module's.
    Raises StudyError that says what is wrong with the line, and what would be right.
    """
    terms: list[tuple[Filtered, str]] = []
    for term in line.split():
        field, colon, values = term.partition(":")
        if colon:
            terms.append((_field(field), values))
        else:
            terms += [(_meant(word, names), word) for word in filter(None, term.split(","))]
    return of_terms(terms, names)


def of_terms(terms: Iterable[tuple[Filtered, str]], names: Names) -> Filter:
    """The filter of fields and their values, several values apart by commas. Raises StudyError."""
    found: dict[Filtered, list[str]] = {}
    spans: list[Span] = []
    for field, values in terms:
        for value in filter(None, (v.strip() for v in values.split(","))):
            if field == "layer":
                spans.append(_span(value, names.layers))
            else:
                found.setdefault(field, []).extend(_named(field, value, names))
    return Filter(
        models=_in_order(found.get("model", ()), names.models),
        layers=tuple(dict.fromkeys(spans)),
        modules=_in_order(found.get("module", ()), names.modules),
    )


def ended(line: str) -> str:
    """The line without a last word that may yet become a field's name."""
    word = re.split(r"\s", line)[-1]
    begun = word and any(field.startswith(word) for field in FIELDS)
    return line.removesuffix(word) if begun else line


def completed(line: str, names: Names) -> str | None:
    """The line with its last word completed: a field or a name; None where nothing fits."""
    fragment = re.split(r"[\s:,]", line)[-1]
    offers = offered(line, names) if fragment else ()
    return line.removesuffix(fragment) + offers[0] if offers else None


def offered(line: str, names: Names) -> tuple[str, ...]:
    """What may be written next, or may be what the last word of the line begins."""
    word = re.split(r"\s", line)[-1]
    field, colon, values = word.partition(":")
    *given, fragment = (values if colon else word).split(",")
    if not colon:
        fields = [] if given else [f"{each}:" for each in FIELDS]
        known = [*fields, *names.models, *names.modules]
    elif field in ("model", "module"):
        known = [name for name in names.of(field) if name not in given]
    else:
        known = []
    folded = fragment.casefold()
    return tuple(offer for offer in known if offer.casefold().startswith(folded))


def _field(word: str) -> Filtered:
    for field in FIELDS:
        if word == field:
            return field
    raise StudyError(f"There is no '{word}:' to filter by.", hint=did_you_mean(word, FIELDS))


def _meant(word: str, names: Names) -> Filtered:
    """The field that a bare word is of: whole names before parts of them, models before modules."""
    known: Mapping[Filtered, tuple[str, ...]] = {"model": names.models, "module": names.modules}
    for fits in (str.__eq__, _same, _part):
        for field, own in known.items():
            if any(fits(word, name) for name in own):
                return field
    raise StudyError(
        f"No model and no module is called '{word}'.",
        hint=did_you_mean(word, (*names.models, *names.modules)),
    )


def _named(field: Filtered, value: str, names: Names) -> list[str]:
    """The names that a value stands for: the one that it is, else all that it is a part of."""
    known = [str(name) for name in names.of(field)]
    for fits in (str.__eq__, _same, _part):
        found = [name for name in known if fits(value, name)]
        if found:
            return found
    if not known:
        raise StudyError(f"There are no {field}s to filter by.")
    raise StudyError(f"No {field} is called '{value}'.", hint=did_you_mean(value, known))


def _span(value: str, layers: tuple[int, ...]) -> Span:
    """A layer, or two with a dash between them, of which one may be left out."""
    match = re.fullmatch(r"(\d{0,8})(-?)(\d{0,8})", value, re.ASCII)
    if match is None or not (match[1] or match[3]):
        raise StudyError(f"'{value}' is no layer.", hint="Write a number, or a range like 10-20.")
    low = int(match[1] or 0)
    high = int(match[3] or LAST) if match[2] else low
    if high < low:
        raise StudyError(f"'{value}' runs backwards.", hint=f"Did you mean {high}-{low}?")
    if layers and not any(low <= layer <= high for layer in layers):
        there = f"There are layers {min(layers)} to {max(layers)}."
        raise StudyError(f"There is no layer '{value}'.", hint=there)
    return low, high


def _spelt(span: Span) -> str:
    low, high = span
    if low == high:
        return str(low)
    return f"{low}-" if high == LAST else f"{low}-{high}"


def _same(word: str, name: str) -> bool:
    return word.casefold() == name.casefold()


def _part(word: str, name: str) -> bool:
    return word.casefold() in name.casefold()


def _in_order(found: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    wanted = set(found)
    return tuple(name for name in known if name in wanted)
