"""Names of rows, columns and series in a figure: controls are set in brackets.

Brackets need no colour and no room for a word. Knows no layout.
"""

from __future__ import annotations

from core.figures.figure import Grid

CONTROL_WORDS = "(name) a control"
MODELS = ("model", "reference")
"""The coordinates whose values are models."""


def row_names(grid: Grid) -> tuple[str, ...]:
    """The names of a grid's rows as they are written."""
    return tuple(_written(name, is_control_row(grid, i)) for i, name in enumerate(grid.rows))


def column_names(grid: Grid) -> tuple[str, ...]:
    """The names of a grid's columns as they are written."""
    return tuple(_written(name, is_control_column(grid, j)) for j, name in enumerate(grid.columns))


def corner(grid: Grid) -> str:
    """What stands above the names of the rows: what they are, and what the columns are too where
    those are bare numbers."""
    if grid.columns and all(_is_number(name) for name in grid.columns):
        return f"{grid.row_name} ↓ {grid.column_name} →"
    return grid.row_name


def is_control_row(grid: Grid, i: int) -> bool:
    """Is the row that of a control model? Modules and layers never are, whatever their names."""
    return (grid.row_of or grid.row_name) in MODELS and grid.rows[i] in grid.controls


def is_control_column(grid: Grid, j: int) -> bool:
    """Is the column that of a control model?"""
    return (grid.column_of or grid.column_name) in MODELS and grid.columns[j] in grid.controls


def has_controls(grid: Grid) -> bool:
    """Is any row or column a control model's?"""
    rows = any(is_control_row(grid, i) for i in range(len(grid.rows)))
    return rows or any(is_control_column(grid, j) for j in range(len(grid.columns)))


def _is_number(name: str) -> bool:
    return name.lstrip("-").replace(".", "", 1).isdecimal()


def _written(name: str, control: bool) -> str:
    return f"({name})" if control else name
