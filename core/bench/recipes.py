"""What a column is computed from: weights, a change of the forward pass, and a mix of outputs.

Owns the reduction of columns to a few kinds of work, so that columns with the same weights share
them. Imports no torch and knows no loaded model.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.bench.columns import Ablated, Amplified, Column, Grafted, Mixed, Plain, Steered
from core.vectors import arithmetic
from core.vectors.arithmetic import EVERYTHING, ArithmeticPoint, Restriction


@dataclass(frozen=True, slots=True)
class Weights:
    """A point of task arithmetic in a part of the model. With a `rank`, the point is one whole
    vector whose matrices are cut to this rank."""

    point: ArithmeticPoint
    restriction: Restriction = EVERYTHING
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model that one forward pass computes: weights, and what is changed in the pass."""

    weights: Weights
    change: Ablated | Steered | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """A column's predictions: of one recipe, or ℓ + amount · (ℓ − ℓ') of two. `vectors`: the tuned
    models that limit its vocabulary."""

    recipes: tuple[Recipe, ...]
    amount: float
    vectors: tuple[str, ...]


BASE = Weights(arithmetic.BASE)


def weights_of(model: str) -> Weights:
    """The weights of the base or of a tuned model."""
    return BASE if model == "base" else Weights(arithmetic.make({model: 1.0}, (model,)))


def formula_of(column: Column) -> Formula:
    """What a column is computed from."""
    if isinstance(column, Amplified):
        recipes = Recipe(weights_of(column.model)), Recipe(BASE)
        return Formula(recipes, column.amount, (column.model,))
    if isinstance(column, Plain):
        recipe = Recipe(weights_of(column.model))
    elif isinstance(column, Mixed):
        recipe = Recipe(_bare(Weights(column.point, column.restriction)))
    elif isinstance(column, Grafted):
        point = weights_of(column.model).point
        recipe = Recipe(Weights(point, column.restriction, column.rank))
    elif isinstance(column, Ablated):
        recipe = Recipe(weights_of(column.model), column)
    else:
        recipe = Recipe(BASE, column if column.amount else None)
    return Formula((recipe,), 0.0, recipe.weights.point.vectors)


def _bare(weights: Weights) -> Weights:
    """A point without vectors is the base, in whatever part of the model."""
    return weights if weights.point.coefficients else BASE
