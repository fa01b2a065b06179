"""Views of rows with any columns, in one of several orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.figures.views import Kind, View


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedTable(View):
    """The table that `tabulate` makes of measurements and arrays, in one of `orders`. It shows all
    measures at once."""

    kind: ClassVar[Kind] = "table"
    together: ClassVar[bool] = True
