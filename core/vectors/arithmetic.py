"""Points of task arithmetic as data: vectors, coefficients and method.

Owns the names of points (`setting` in exports) and their parsing, grids of points, and restrictions
to parts of a model. Imports no torch: `core.vectors.combination` computes a point's weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, cast

from core.errors import StudyError, did_you_mean, item_of
from core.models.naming import GROUP_OF
from core.models.pieces import Piece

Method = Literal[
    "plain", "removal", "transfer", "ties", "dare", "dare_ties", "della", "della_linear",
    "breadcrumbs", "sce", "iso_c", "tsv_m",
]  # fmt: skip

DEFAULTS: Mapping[str, float] = {"density": 0.2, "epsilon": 0.15, "gamma": 0.01, "seed": 0}
"""The default options. The density is from TIES (Yadav et al. 2023), epsilon and gamma are from
mergekit."""

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "plain": (), "removal": (), "transfer": (), "ties": ("density",),
    "dare": ("density", "seed"), "dare_ties": ("density", "seed"),
    "della": ("density", "epsilon", "seed"), "della_linear": ("density", "epsilon", "seed"),
    "breadcrumbs": ("density", "gamma"), "sce": ("density",), "iso_c": (), "tsv_m": (),
}  # fmt: skip
_FORM = re.compile(r"(?:(?P<method>[^:(]*?)\s*(?:\((?P<options>[^)]*)\))?\s*:)?(?P<rest>[^:()]*)")


@dataclass(frozen=True, slots=True)
class ArithmeticPoint:
    """A model from a base and vectors τ = θ_tuned − θ_base. Created by `make`, `parse` or `grid`.

    `coefficients` are pairs (vector, λ) in the study's order without zeros. `start` is the tuned
    model from which a removal or a transfer starts (None: the base).

    plain       θ_base + Σ λτ
    removal     θ_tuned − λτ of one vector, which is its own start
    transfer    θ_start + Σ λτ
    ties        θ_base + the disjoint mean of the λτ, each trimmed to its largest `density`
    dare        θ_base + Σ λτ, of each only a random `density` kept and scaled up
    dare_ties   θ_base + the disjoint mean of the values DARE keeps
    della       θ_base + the disjoint mean of the values DELLA keeps: the larger, the likelier
    della_linear  θ_base + the sum of the values DELLA keeps
    breadcrumbs θ_base + Σ λτ, of each tensor only a `density` below its largest `gamma`
    sce         θ_base + the weighted disjoint mean of the λτ where they differ most
    iso_c       θ_base + Σ λτ, every matrix with equal singular values
    tsv_m       θ_base + the λτ, every matrix with its singular directions made orthogonal
    """

    coefficients: tuple[tuple[str, float], ...] = ()
    method: Method = "plain"
    start: str | None = None
    density: float | None = None
    seed: int | None = None
    epsilon: float | None = None
    gamma: float | None = None

    @property
    def setting(self) -> str:
        """The point's name; `parse` is its inverse."""
        if not self.coefficients:
            return "base"
        terms = ",".join(f"{vector}={shortest(value)}" for vector, value in self.coefficients)
        if self.method == "plain":
            return terms
        if self.method == "transfer":
            return f"transfer:{self.start}+{terms}"
        given = [f"{o}={shortest(getattr(self, o))}" for o in _OPTIONS[self.method]]
        return f"{self.method}({','.join(given)}):{terms}" if given else f"{self.method}:{terms}"

    @property
    def vectors(self) -> tuple[str, ...]:
        """Every tuned model that the point names."""
        return tuple(dict.fromkeys([*([self.start] if self.start else []), *self._named]))

    @property
    def terms(self) -> tuple[tuple[str, float], ...]:
        """Vectors and their coefficients relative to the *base*, for any start.

        θ_tuned − λτ is θ_base + (1 − λ)τ, and θ_other + λτ is θ_base + τ_other + λτ. So a whole
        removal equals the base exactly.
        """
        if self.method == "removal":
            ((vector, value),) = self.coefficients
            by_vector = {vector: 1 - value}
        elif self.method == "transfer":
            by_vector = dict.fromkeys(self.vectors, 0.0) | dict(self.coefficients)
            by_vector[str(self.start)] += 1
        else:
            by_vector = dict(self.coefficients)
        return tuple((vector, value) for vector, value in by_vector.items() if value)

    @property
    def trims(self) -> bool:
        """Does it keep only elements of each vector of a certain size?"""
        return self.method == "breadcrumbs" or (self.method == "ties" and self.density != 1)

    @property
    def ranks(self) -> bool:
        """Does it rank elements of whole tensors?"""
        return self.trims or (self.method == "sce" and len(self.coefficients) > 1)

    @property
    def drops(self) -> bool:
        """Does it drop elements of each vector at random?"""
        return "seed" in _OPTIONS[self.method] and self.density != 1

    @property
    def elects(self) -> bool:
        """Do the vectors elect a sign for each element? One vector alone always wins."""
        electing = self.method in ("ties", "dare_ties", "della", "sce")
        return electing and len(self.coefficients) > 1

    @property
    def decomposes(self) -> bool:
        """Does it merge whole matrices by their singular directions?"""
        return self.method in ("iso_c", "tsv_m")

    @property
    def _named(self) -> tuple[str, ...]:
        return tuple(vector for vector, _ in self.coefficients)


BASE = ArithmeticPoint()


def make(
    coefficients: Mapping[str, float],
    vectors: Sequence[str],
    method: Method = "plain",
    *,
    start: str | None = None,
    **options: float | None,
) -> ArithmeticPoint:
    """The point in its canonical form: vectors in the order of `vectors`, zeros left out.

    A point without coefficients is the base, or the tuned model in `start`. `options`: see
    `DEFAULTS`; a method takes its own and ignores the others. Raises StudyError for an unknown
    vector, a number that is not finite, a removal of several vectors, or an option out of range.
    """
    assert options.keys() <= DEFAULTS.keys()
    for vector in (*coefficients, *([start] if start else [])):
        if vector not in vectors:
            raise StudyError(
                f"'{vector}' is not a tuned model of this study.",
                hint=did_you_mean(vector, vectors),
            )
    for vector, value in coefficients.items():
        if not math.isfinite(value):
            raise StudyError(f"The coefficient of '{vector}' is {value}: it must be finite.")
    if method == "removal":
        if len(coefficients) != 1:
            raise StudyError(
                "A removal takes one vector, the vector of its starting model.",
                hint="From another model: transfer:other+vector=-1.",
            )
        start = next(iter(coefficients))
    nonzero = tuple((v, float(coefficients[v])) for v in vectors if coefficients.get(v))
    if not nonzero:
        return BASE if start is None else ArithmeticPoint(((start, 1.0),))
    if method == "transfer" and start is None:
        raise StudyError(
            "A transfer must name its starting model.",
            hint="For example: transfer:maths+medical=1.",
        )
    return ArithmeticPoint(
        nonzero,
        method,
        start if method in ("removal", "transfer") else None,
        **_checked({name: _given(options, name) for name in _OPTIONS[method]}),
    )


def parse(text: str, vectors: Sequence[str]) -> ArithmeticPoint:
    """The point of a name in the forms of `Point.setting`; options may be left out.

    `vectors` are the study's tuned models in its order. Raises StudyError naming the fault.
    """
    if text.strip() == "base":
        return BASE
    form = _FORM.fullmatch(text.strip())
    if form is None or not form["rest"].strip():
        raise StudyError(
            f"'{text}' is not a point of task arithmetic.",
            hint="Write it like medical=0.5,maths=1 or ties(density=0.2):medical=1,maths=1.",
        )
    method = (form["method"] or "plain").strip()
    if method not in _OPTIONS:
        raise StudyError(
            f"'{text}': there is no method '{method}'.", hint=did_you_mean(method, _OPTIONS)
        )
    rest, start = form["rest"], None
    if method == "transfer" and "+" in rest.split("=")[0]:
        start, rest = (part.strip() for part in rest.split("+", 1))
    options = _assignments(text, form["options"] or "")
    for name in options:
        if name not in _OPTIONS[method]:
            raise StudyError(
                f"'{text}': {method} has no option '{name}'.",
                hint=did_you_mean(name, _OPTIONS[method]) or f"{method} has no options.",
            )
    return make(_assignments(text, rest), vectors, cast(Method, method), start=start, **options)


def lines(
    vectors: Iterable[str], coefficients: Iterable[float], known: Sequence[str]
) -> tuple[ArithmeticPoint, ...]:
    """Every vector alone with every coefficient, each point once."""
    values = list(coefficients)
    return distinct(make({vector: value}, known) for vector in vectors for value in values)


def grid(
    vectors: Sequence[str],
    coefficients: Sequence[float],
    points: Iterable[str] = (),
    *,
    known: Sequence[str],
    negation: Iterable[float] = (),
    removal: Iterable[float] = (),
) -> tuple[ArithmeticPoint, ...]:
    """The points of a sweep, each once: lines, the full grid of a pair, and further named points.

    `known` are all tuned models of the study in its order: `points` may name any of them.
    `negation` and `removal` are the λ of θ_base − λτ and θ_tuned − λτ, for each vector. Raises
    StudyError for more than two vectors, since their full grid would be too large.
    """
    if len(vectors) > 2:
        raise StudyError(
            f"A full grid takes at most two vectors, not {len(vectors)}: {', '.join(vectors)}.",
            hint="Name two in 'vectors', and single points of the others in 'points': "
            f'points = ["{",".join(f"{vector}=0.5" for vector in vectors)}"].',
        )
    result = list(lines(vectors, coefficients, known))
    for values in product(coefficients, repeat=len(vectors)):
        result.append(make(dict(zip(vectors, values, strict=True)), known))
    result += lines(vectors, (-value for value in negation), known)
    whole = list(removal)
    result += [make({v: value}, known, "removal") for v in vectors for value in whole]
    for place, text in enumerate(points):
        with item_of("points", place):
            result.append(parse(text, known))
    return distinct(result)


def distinct(points: Iterable[ArithmeticPoint]) -> tuple[ArithmeticPoint, ...]:
    """The points in their order, without repetition."""
    return tuple(dict.fromkeys(points))


def shortest(value: float) -> str:
    """The shortest text that parses to the same number: 1, 0.5, -0.25, 1e-5."""
    text = repr(float(value)).removesuffix(".0")
    return re.sub(r"e([+-])0*", lambda match: f"e{match[1].strip('+')}", text)


@dataclass(frozen=True, slots=True)
class Restriction:
    """A choice of a model's pieces: of these groups (none: all), in these layers (none: all).

    `layers` are inclusive ranges in order, with gaps between them.
    """

    groups: tuple[str, ...] = ()
    layers: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        """Its canonical form, empty for no restriction: `attention`, `0-3,7`, `mlp,0-3`."""
        ranges = [f"{a}-{b}" if a != b else str(a) for a, b in self.layers]
        return ",".join([*self.groups, *ranges])

    def admits(self, piece: Piece) -> bool:
        """Does this piece take part?"""
        if self.groups and GROUP_OF.get(piece.module) not in self.groups:
            return False
        layer = piece.layer
        return not self.layers or (
            layer is not None and any(a <= layer <= b for a, b in self.layers)
        )

    def tensors(self, pieces: Iterable[Piece]) -> frozenset[str]:
        """The chosen stored tensors; no tensor has pieces of several groups or layers.

        Raises StudyError for layers that the model lacks.
        """
        known = list(pieces)
        last = max((p.layer for p in known if p.layer is not None), default=-1)
        if self.layers and self.layers[-1][1] > last:
            raise StudyError(
                f"The restriction '{self.text}' names layer {self.layers[-1][1]}.",
                hint=f"The model has layers 0 to {last}.",
            )
        return frozenset(p.tensor for p in known if self.admits(p))


EVERYTHING = Restriction()
GROUPS = ("attention", "mlp")


def restrict(text: str) -> Restriction:
    """The restriction in a text: groups and layers, separated by commas. Raises StudyError."""
    groups: set[str] = set()
    layers: set[int] = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        span = re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", word)
        if span and int(span[1]) <= int(span[2] or span[1]):
            layers.update(range(int(span[1]), int(span[2] or span[1]) + 1))
        elif word in GROUPS:
            groups.add(word)
        else:
            raise StudyError(
                f"'{word}' is not a group or a layer.",
                hint=f"Choose from {', '.join(GROUPS)}, and layers like 0-3,7.",
            )
    starts = sorted(n for n in layers if n - 1 not in layers)
    stops = sorted(n for n in layers if n + 1 not in layers)
    return Restriction(
        tuple(g for g in GROUPS if g in groups), tuple(zip(starts, stops, strict=True))
    )


def placed(text: str) -> tuple[str, Restriction]:
    """The point and the restriction in a text such as `medical=0.7 @ mlp,0-3`; the names of
    checkpoints have an @ too. Raises StudyError."""
    head, sign, tail = text.rpartition("=")
    number, mark, part = tail.partition("@")
    if sign and mark and not part.strip():
        raise StudyError(f"'{text}' names no layers or groups after @.")
    return (f"{head}={number}".strip(), restrict(part)) if sign and mark else (text, EVERYTHING)


def _assignments(text: str, part: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for word in filter(None, (w.strip() for w in part.split(","))):
        name, sign, value = (side.strip() for side in word.partition("="))
        if not sign or not name:
            raise StudyError(f"'{text}': '{word}' is not written as name=number.")
        if name in values:
            raise StudyError(f"'{text}' names '{name}' twice.")
        try:
            values[name] = float(value)
        except ValueError:
            raise StudyError(f"'{text}': '{value}' is not a number.") from None
    return values


def _given(options: Mapping[str, float | None], name: str) -> float:
    value = options.get(name)
    return DEFAULTS[name] if value is None else value


def _checked(options: dict[str, float]) -> dict[str, Any]:
    """The options of a method; raises StudyError for one out of range."""
    checked: dict[str, Any] = {name: float(value) for name, value in options.items()}
    density, epsilon, gamma = (checked.get(name) for name in ("density", "epsilon", "gamma"))
    if density is not None and not 0 < density <= 1:
        raise StudyError(f"A density must be above 0 and at most 1, not {density:g}.")
    if epsilon is not None and not (0 <= epsilon < density and density + epsilon <= 1):
        raise StudyError(
            f"An epsilon of {epsilon:g} does not fit a density of {density:g}.",
            hint="density − epsilon must be above 0, and density + epsilon at most 1.",
        )
    if gamma is not None and not (gamma >= 0 and density + gamma <= 1):
        raise StudyError(
            f"A gamma of {gamma:g} does not fit a density of {density:g}.",
            hint="The two shares must sum to at most 1.",
        )
    if "seed" in checked:
        seed = checked["seed"]
        if not seed.is_integer():
            raise StudyError(f"A seed must be a whole number, not {seed:g}.")
        if not 0 <= seed < 2**53:
            raise StudyError(f"A seed must be a whole number from 0 to 2^53, not {seed:g}.")
        checked["seed"] = int(seed)
    return checked
