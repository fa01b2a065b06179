"""A column's computation: weights, a change in the forward pass, and a mix of outputs.

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
    """A model that one forward pass computes: its weights, and a change in the pass."""

    weights: Weights
    change: Ablated | Steered | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """A column's predictions: one recipe's, or ℓ + amount · (ℓ − ℓ') of two recipes. `vectors`: the
    tuned models that limit its vocabulary."""

    recipes: tuple[Recipe, ...]
    amount: float
    vectors: tuple[str, ...]


BASE = Weights(arithmetic.BASE)


def weights_of(model: str) -> Weights:
    """The weights of the base or of a tuned model."""
    return BASE if model == "base" else Weights(arithmetic.make({model: 1.0}, (model,)))


def formula_of(column: Column) -> Formula:
    """The formula of a column."""
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
    """The base for a point without vectors, whatever its restriction."""
    return weights if weights.point.coefficients else BASE
