"""The knobs of a column: numbers that are turned, parts that are chosen, changes that are switched.

A column has all its knobs even if one is zero or off, which the column's name omits. Knows no
screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.bench.columns import (
    Ablated,
    Amplified,
    Column,
    Grafted,
    Mixed,
    Plain,
    Steered,
    parse,
)
from core.errors import StudyError
from core.vectors import arithmetic
from core.vectors.arithmetic import EVERYTHING, ArithmeticPoint, Restriction, restrict, shortest

FINE, COARSE = 0.05, 0.25
"""Steps of a number."""
PARTS = ("", "attention", "mlp")
"""The parts that a knob steps through, besides a typed one."""
AMOUNT, PART, CHANGE = "λ", "in", "without"


@dataclass(frozen=True, slots=True)
class Knob:
    """`number`: its value if that is a number; `words`: its value otherwise."""

    name: str
    number: float | None = None
    words: str = ""
    on: bool = True

    @property
    def text(self) -> str:
        """Its value as it is typed."""
        return self.words if self.number is None else shortest(self.number)


@dataclass(frozen=True, slots=True)
class Setup:
    """A column as it was typed, the current values of its knobs, and the knobs that are off."""

    template: Column
    numbers: tuple[tuple[str, float], ...] = ()
    part: Restriction = EVERYTHING
    off: frozenset[str] = field(default_factory=frozenset)


def setup(column: Column) -> Setup:
    """A column, with its own values on its knobs."""
    match column:
        case Plain(model):
            return Setup(column, () if model == "base" else ((model, 1.0),))
        case Mixed(point, part):
            return Setup(column, point.coefficients, part)
        case Grafted(_, part):
            return Setup(column, (), part)
        case Steered() | Amplified():
            return Setup(column, ((AMOUNT, column.amount),))
    return Setup(column)


def knobs(held: Setup) -> tuple[Knob, ...]:
    """The knobs of a column, in the order of its name."""
    listed = [Knob(name, number, on=name not in held.off) for name, number in held.numbers]
    match held.template:
        case Mixed() | Grafted():
            words = held.part.text or "the whole model"
            listed.append(Knob(PART, None, words, PART not in held.off))
        case Ablated(choice=choice):
            listed.append(Knob(CHANGE, None, choice, CHANGE not in held.off))
    return tuple(listed)


def column(held: Setup, tuned: Sequence[str]) -> Column:
    """The column that the knobs make; a knob that is off does nothing."""
    numbers = {name: 0.0 if name in held.off else number for name, number in held.numbers}
    match held.template:
        case Plain(model) if model != "base" and numbers[model] != 1:
            return Mixed(arithmetic.make(numbers, tuned))
        case Mixed(point):
            part = EVERYTHING if PART in held.off else held.part
            return Mixed(_point(point, numbers, tuned), part)
        case Ablated(model) if CHANGE in held.off:
            return Plain(model)
        case Grafted() as graft:
            return Plain("base") if PART in held.off else replace(graft, restriction=held.part)
        case Steered() | Amplified() as moved:
            if AMOUNT in held.off:
                return Plain("base" if isinstance(moved, Steered) else moved.model)
            return replace(moved, amount=numbers[AMOUNT])
    return held.template


def turned(held: Setup, name: str, by: float) -> Setup:
    """The setup with a number moved, or the next or previous part; the knob is then on."""
    held = replace(held, off=held.off - {name})
    if name == PART:
        typed = getattr(held.template, "restriction", EVERYTHING).text
        parts = list(dict.fromkeys((*PARTS, typed, held.part.text)))
        index = parts.index(held.part.text) + (1 if by > 0 else -1)
        return replace(held, part=restrict(parts[index % len(parts)]))
    moved = {n: round(v + by, 6) if n == name else v for n, v in held.numbers}
    return replace(held, numbers=tuple(moved.items()))


def typed(held: Setup, name: str, words: str) -> Setup:
    """The setup with a typed number or part; the knob is then on. Raises StudyError."""
    held = replace(held, off=held.off - {name})
    if name == PART:
        return replace(held, part=restrict(words))
    try:
        number = float(words.replace(",", "."))
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise StudyError(f"'{words}' is not a number.")
    return replace(held, numbers=tuple((n, number if n == name else v) for n, v in held.numbers))


def switched(held: Setup, name: str) -> Setup:
    """The setup with a knob switched off, or on again."""
    return replace(held, off=held.off ^ {name})


def typed_name(held: Setup, tuned: Sequence[str]) -> str:
    """The column's name with every knob on."""
    return column(replace(held, off=frozenset()), tuned).text


def templates(tuned: Sequence[str], layers: int | None = None) -> list[tuple[str, str]]:
    """Examples of columns: names with descriptions. `layers`: the models' number, if known."""
    half = (layers or 1) // 2
    first, part = (f"0-{half - 1}", "layers") if half > 1 else ("0", "layer")
    examples = [("base", "the base, unchanged")]
    examples += [(name, "a tuned model, unchanged") for name in tuned]
    if len(tuned) > 1:
        terms = ",".join(f"{name}=0.5" for name in tuned)
        examples += [(terms, "a mix"), (f"ties:{terms}", "a mix of elected signs")]
        examples += [(f"dare:{terms}", "a mix of random parts")]
    for name in tuned:
        examples += [
            (f"{name}=0.5", "half of its tuning vector"),
            (f"{name}=1 @ mlp", "its tuning vector in the MLPs only"),
            (f"ablate({name}):top-1%", "without its highest-scoring neurons"),
            (f"graft({name}):{first}", f"its first {part} in the base"),
            (f"steer({name},layer={half}):1", "the base, steered by a mean difference"),
            (f"amplify({name}):0.5", "its difference from the base, enlarged"),
        ]
    return [(parse(text, tuned).text, about) for text, about in examples]


def _point(
    point: ArithmeticPoint, numbers: Mapping[str, float], tuned: Sequence[str]
) -> ArithmeticPoint:
    options = {name: getattr(point, name) for name in arithmetic.DEFAULTS}
    start = point.start if point.method == "transfer" else None
    return arithmetic.make(numbers, tuned, point.method, start=start, **options)
