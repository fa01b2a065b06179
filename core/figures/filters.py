"""Filters of a run by coordinates, such as models, layers and modules, written in one line.

    model:medical,code layer:10-20 module:q,k

Owns that language and its errors. Knows no catalogue: `core.figures.choices.narrowed` applies a
filter to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.engine.measurement import FILTERS, OVERALL, ordered
from core.errors import StudyError, did_you_mean

FIELDS = ordered(FILTERS.values())
"""The coordinates that a filter knows, by the words of its line."""
_NAMED = tuple(field for field in FIELDS if field not in OVERALL)
"""The fields whose values are names; all others have numbers."""

Names = Mapping[str, tuple[Any, ...]]
"""What there is in a run to filter by: the names, or the numbers, of each field."""

Span = tuple[int, int]
"""Numbers from one to another, both included."""
LAST = 10**8
"""The end of a span that has none."""


@dataclass(frozen=True, slots=True, init=False)
class Filter:
    """Chosen values by field, in the order of FIELDS: names, or spans of numbers. A field without
    values takes all.

    Rows without a model, layer or module, such as sums over all layers, always pass.
    """

    taken: tuple[tuple[str, tuple[Any, ...]], ...]

    def __init__(self, **values: tuple[Any, ...]) -> None:
        taken = tuple((field, values[field]) for field in FIELDS if values.get(field))
        object.__setattr__(self, "taken", taken)

    def __bool__(self) -> bool:
        return bool(self.taken)

    def __str__(self) -> str:
        """The line that it is read from, in its shortest form."""
        return " ".join(f"{field}:{','.join(map(_spelt, values))}" for field, values in self.taken)

    def of(self, field: str) -> tuple[Any, ...]:
        """The values that it takes of a field; none where it takes all."""
        return next((values for name, values in self.taken if name == field), ())

    def narrows(self, field: str) -> bool:
        """Does it leave anything of this field out?"""
        return bool(self.of(field))

    def takes(self, field: str, value: str | int | None) -> bool:
        """Is this value of a field seen? The absence of one ("" or None) is."""
        taken = self.of(field)
        if value is None or value == "" or not taken:
            return True
        if isinstance(value, int):
            return any(low <= value <= high for low, high in taken)
        return value in taken

    def hidden(self, names: Names) -> dict[str, int]:
        """The number of names that it leaves out, by field; fields without any are absent."""
        counts = {f: sum(not self.takes(f, v) for v in names.get(f, ())) for f in FIELDS}
        return {field: count for field, count in counts.items() if count}


ALL = Filter()
"""Leaves nothing out."""


def read(line: str, names: Names) -> Filter:
    """The filter of a line.

    Terms stand apart by spaces: a field, a colon, and values with commas between them. Terms of
    one field add to one another. A bare word is a model's name or a part of it, else a module's.
    Raises StudyError that names the fault of the line and the remedy.
    """
    terms: list[tuple[str, str]] = []
    for term in line.split():
        field, colon, values = term.partition(":")
        if colon:
            terms.append((_field(field), values))
        else:
            terms += [(_meant(word, names), word) for word in filter(None, term.split(","))]
    return of_terms(terms, names)


def of_terms(terms: Iterable[tuple[str, str]], names: Names) -> Filter:
    """The filter of fields and their values, several values apart by commas. Raises StudyError."""
    by_field: dict[str, list[Any]] = {field: [] for field in FIELDS}
    for field, values in terms:
        for value in filter(None, (v.strip() for v in values.split(","))):
            meant = _named if field in _NAMED else _span
            by_field[field] += meant(field, value, names.get(field, ()))
    known = {field: names.get(field, ()) for field in _NAMED}
    return Filter(
        **{f: ordered(values) for f, values in by_field.items() if f not in _NAMED},
        **{f: tuple(name for name in known[f] if name in by_field[f]) for f in _NAMED},
    )


def merged(*given: Names) -> Names:
    """All names of several, each once: numbers by size, others in the order in which they come."""
    by_field = {f: ordered(value for names in given for value in names.get(f, ())) for f in FIELDS}
    return {f: values if f in _NAMED else tuple(sorted(values)) for f, values in by_field.items()}


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
    """The possible next words, or completions of the last word of the line."""
    word = re.split(r"\s", line)[-1]
    field, colon, values = word.partition(":")
    *given, fragment = (values if colon else word).split(",")
    if not colon:
        fields = [] if given else [f"{each}:" for each in FIELDS]
        known = [*fields, *(name for each in _NAMED for name in names.get(each, ()))]
    elif field in _NAMED:
        known = [name for name in names.get(field, ()) if name not in given]
    else:
        known = []
    folded = fragment.casefold()
    return tuple(offer for offer in known if offer.casefold().startswith(folded))


def _field(word: str) -> str:
    if word in FIELDS:
        return word
    raise StudyError(f"'{word}:' is not a filter.", hint=did_you_mean(word, FIELDS))


def _meant(word: str, names: Names) -> str:
    """The field that a bare word is of: whole names before parts of them, models before modules."""
    known = {field: names[field] for field in _NAMED if names.get(field)}
    for fits in (str.__eq__, _same, _part):
        for field, known_names in known.items():
            if any(fits(word, name) for name in known_names):
                return field
    raise StudyError(
        f"No {' and no '.join(known or _NAMED)} is called '{word}'.",
        hint=did_you_mean(word, [name for known_names in known.values() for name in known_names]),
    )


def _named(field: str, value: str, known: Sequence[str]) -> list[str]:
    """The names that a value selects: an equal one, else all that contain it."""
    for fits in (str.__eq__, _same, _part):
        matches = [name for name in known if fits(value, name)]
        if matches:
            return matches
    if not known:
        raise StudyError(f"There are no {field}s to filter by.")
    raise StudyError(f"No {field} is called '{value}'.", hint=did_you_mean(value, known))


def _span(field: str, value: str, known: Sequence[int]) -> list[Span]:
    """A number, or two with a dash between them; one of the two may be absent."""
    match = re.fullmatch(r"(\d{0,8})(-?)(\d{0,8})", value, re.ASCII)
    if match is None or not (match[1] or match[3]):
        raise StudyError(f"'{value}' is no {field}.", hint="Write a number, or a range like 10-20.")
    low = int(match[1] or 0)
    high = int(match[3] or LAST) if match[2] else low
    if high < low:
        raise StudyError(f"'{value}' runs backwards.", hint=f"Did you mean {high}-{low}?")
    if known and not any(low <= number <= high for number in known):
        there = f"There are {field}s {min(known)} to {max(known)}."
        raise StudyError(f"There is no {field} '{value}'.", hint=there)
    return [(low, high)]


def _spelt(value: str | Span) -> str:
    if isinstance(value, str):
        return value
    low, high = value
    if low == high:
        return str(low)
    return f"{low}-" if high == LAST else f"{low}-{high}"


def _same(word: str, name: str) -> bool:
    return word.casefold() == name.casefold()


def _part(word: str, name: str) -> bool:
    return word.casefold() in name.casefold()
