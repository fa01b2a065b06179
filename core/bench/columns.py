"""Columns of the bench: models, mixes and changed models, each written as a name.

Owns the notation. Imports no torch: the bench builds the model of a column.

    base                                    the base
    medical                                 a tuned model
    medical=0.7,maths=0.4                   a mix: any point of task arithmetic
    ties(density=0.2):medical=1,maths=1
    medical=0.7 @ mlp,0-3                   a mix of some layers or groups; the rest is the base's
    ablate(medical):top-1%                  a model without these neurons, chosen by its own scores
    ablate(medical,by=base):top-1%-active
    ablate(medical):layers=3-5              … without all neurons of these layers
    ablate(medical):neurons=3.120,4.17      … without single neurons, as layer.neuron
    ablate(medical):heads=3.5               … without attention heads, as layer.head
    graft(medical):mlp,0-3                  the base with these parts of a tuned model
    graft(medical,rank=8):0-3               … each change cut to a rank
    steer(medical,layer=3):1.5              the base, with λ times the mean difference of states
    steer(medical,layer=3,module=down):0.5  … with λ of the states' length along the direction that
                                            this update writes or reads most; `direction=2`: next
    amplify(medical):0.5                    ℓ_t + α (ℓ_t − ℓ_b) in place of the logits ℓ_t
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import StudyError, did_you_mean
from core.neurons import ranking
from core.vectors import arithmetic
from core.vectors.arithmetic import (
    BASE,
    EVERYTHING,
    ArithmeticPoint,
    Restriction,
    restrict,
    shortest,
)

_FORM = re.compile(
    r"(?P<kind>ablate|graft|steer|amplify)\s*\((?P<given>[^()]*)\)\s*:(?P<value>[^:]*)"
)
_OPTIONS = {
    "ablate": ("by",),
    "graft": ("rank",),
    "steer": ("layer", "module", "direction"),
    "amplify": (),
}
_EXAMPLES = {
    "ablate": "ablate(medical):top-1%, layers=3-5, neurons=3.120 or heads=3.5",
    "graft": "graft(medical):mlp,0-3",
    "steer": "steer(medical,layer=3):1.5 or steer(medical,layer=3,module=down):0.5",
    "amplify": "amplify(medical):0.5",
}

STEERING = ("q", "k", "v", "o", "gate", "up", "down", "fc_in", "fc_out")
"""The modules whose updates have directions in the residual stream."""


@dataclass(frozen=True, slots=True)
class Plain:
    """The base or a tuned model as it is."""

    model: str

    @property
    def text(self) -> str:
        """The column's name; `parse` is its inverse, here and below."""
        return self.model


@dataclass(frozen=True, slots=True)
class Mixed:
    """A point of task arithmetic, in a part of the model."""

    point: ArithmeticPoint
    restriction: Restriction = EVERYTHING

    @property
    def text(self) -> str:
        """The point's name, and after `@` its restriction."""
        part = self.restriction.text
        return f"{self.point.setting} @ {part}" if part else self.point.setting


@dataclass(frozen=True, slots=True)
class Ablated:
    """A model without some of its neurons or heads.

    `choice`: a selection of neurons by the scores of the model `by`, or `layers=`, `neurons=` or
    `heads=` with their numbers. `places`: (layer, neuron or head), empty for a selection;
    `layers`: whole layers.
    """

    model: str
    choice: str
    by: str
    layers: Restriction = EVERYTHING
    places: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        """`ablate(model):choice`, with `by` where other scores choose."""
        by = "" if self.by == self.model else f",by={self.by}"
        return f"ablate({self.model}{by}):{self.choice}"


@dataclass(frozen=True, slots=True)
class Grafted:
    """The base with parts of a tuned model. `rank`: each changed matrix is cut to this rank."""

    model: str
    restriction: Restriction = EVERYTHING
    rank: int | None = None

    @property
    def text(self) -> str:
        """`graft(model):part`; without a part the graft is of the whole model."""
        rank = "" if self.rank is None else f",rank={self.rank}"
        return f"graft({self.model}{rank}):{self.restriction.text}"


@dataclass(frozen=True, slots=True)
class Steered:
    """The base with other states at a layer.

    Without a `module`, `amount` times the mean difference of a tuned model's states is added after
    the layer. With one, `amount` times the state's length along a singular direction of the
    module's update, the `direction`-th from 1. It is added after the layer for a
    module that writes, before the layer for one that reads.
    """

    model: str
    layer: int
    amount: float
    module: str = ""
    direction: int = 1

    @property
    def text(self) -> str:
        """`steer(model,layer=n):amount`, with the module and a direction other than the first."""
        module = f",module={self.module}" if self.module else ""
        direction = f",direction={self.direction}" if self.direction > 1 else ""
        place = f"{self.model},layer={self.layer}{module}{direction}"
        return f"steer({place}):{shortest(self.amount)}"


@dataclass(frozen=True, slots=True)
class Amplified:
    """A tuned model whose logits are moved further away from the base's: ℓ_t + α (ℓ_t − ℓ_b)."""

    model: str
    amount: float

    @property
    def text(self) -> str:
        """`amplify(model):α`."""
        return f"amplify({self.model}):{shortest(self.amount)}"


Column = Plain | Mixed | Ablated | Grafted | Steered | Amplified


def parse(text: str, tuned: Sequence[str]) -> Column:
    """The column of a name.

    `tuned`: the study's tuned models in its order. Raises StudyError, naming the fault.
    """
    text = text.strip()
    if text == "base" or text in tuned:
        return Plain(text)
    form = _FORM.fullmatch(text)
    if form is None:
        if "=" not in text:
            raise StudyError(
                f"'{text}' is not a model or a mix of this study.",
                hint=did_you_mean(text, ("base", *tuned)),
            )
        point, restriction = arithmetic.placed(text)
        return Mixed(arithmetic.parse(point, tuned), restriction)
    kind, value = form["kind"], form["value"].strip()
    model, options = _given(text, kind, form["given"], tuned)
    if kind == "ablate":
        by = options.get("by", model)
        _refuse_unknown(by, ("base", *tuned))
        return _ablated(text, model, by, value)
    if kind == "graft":
        rank = _whole(text, "rank", options["rank"], 1) if "rank" in options else None
        return Grafted(model, restrict(value), rank)
    if kind == "steer":
        if "layer" not in options:
            raise StudyError(f"'{text}' names no layer.", hint=_example(kind))
        module = options.get("module", "")
        if module and module not in STEERING:
            known = ", ".join(STEERING)
            raise StudyError(f"'{text}': '{module}' has no directions.", hint=f"Name {known}.")
        if "direction" in options and not module:
            raise StudyError(f"'{text}' names a direction and no module.", hint=_example(kind))
        direction = _whole(text, "direction", options.get("direction", "1"), 1)
        layer = _whole(text, "layer", options["layer"], 0)
        return Steered(model, layer, _number(text, value), module, direction)
    return Amplified(model, _number(text, value))


def vectors(column: Column) -> tuple[str, ...]:
    """The tuned models whose weights or states a column takes."""
    if isinstance(column, Mixed):
        return column.point.vectors
    return () if column.model == "base" else (column.model,)


def mixed(column: Column, tuned: Sequence[str]) -> Mixed | None:
    """A column as a point of task arithmetic: a mix, or a tuned model; None for others."""
    if isinstance(column, Plain) and column.model != "base":
        return Mixed(arithmetic.make({column.model: 1.0}, tuned))
    return column if isinstance(column, Mixed) else None


def is_base(column: Column) -> bool:
    """Is this the base, without a change?"""
    return column in (Plain("base"), Mixed(BASE, EVERYTHING))


def _given(text: str, kind: str, given: str, tuned: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The model and the options in the brackets."""
    model, *rest = (word.strip() for word in given.split(","))
    _refuse_unknown(model, ("base", *tuned) if kind == "ablate" else tuned)
    options: dict[str, str] = {}
    for word in rest:
        name, sign, value = (side.strip() for side in word.partition("="))
        if not sign or name not in _OPTIONS[kind] or name in options:
            raise StudyError(f"'{text}': '{word}' is not an option of {kind}.", hint=_example(kind))
        options[name] = value
    return model, options


def _ablated(text: str, model: str, by: str, choice: str) -> Ablated:
    name, sign, numbers = (side.strip() for side in choice.partition("="))
    if not sign:
        return Ablated(model, ranking.parse(choice).name, by)
    if name == "layers":
        layers = restrict(numbers)
        if layers.groups or not layers.layers:
            raise StudyError(f"'{text}' names no layers.", hint=_example("ablate"))
        return Ablated(model, f"layers={layers.text}", by, layers)
    places = sorted({_place(text, word) for word in numbers.split(",")})
    if name not in ("neurons", "heads"):
        raise StudyError(f"'{text}': '{name}' can't be ablated.", hint=_example("ablate"))
    listed = ",".join(f"{layer}.{number}" for layer, number in places)
    return Ablated(model, f"{name}={listed}", by, EVERYTHING, tuple(places))


def _place(text: str, word: str) -> tuple[int, int]:
    form = re.fullmatch(r"\s*(\d{1,6})\.(\d{1,9})\s*", word)
    if form is None:
        raise StudyError(f"'{text}': '{word}' is not written as layer.number.")
    return int(form[1]), int(form[2])


def _refuse_unknown(model: str, known: Sequence[str]) -> None:
    if model not in known:
        raise StudyError(
            f"'{model}' is not a model of this study.", hint=did_you_mean(model, known)
        )


def _whole(text: str, name: str, value: str, least: int) -> int:
    if not re.fullmatch(r"\d{1,9}", value) or int(value) < least:
        raise StudyError(
            f"'{text}': {name} must be a whole number of at least {least}, not '{value}'."
        )
    return int(value)


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise StudyError(f"'{text}': '{value}' is not a number.") from None
    if not math.isfinite(number):
        raise StudyError(f"'{text}': {value} is not finite.")
    return number


def _example(kind: str) -> str:
    return f"Write it like {_EXAMPLES[kind]}."
