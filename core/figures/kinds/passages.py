"""Views of text, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.figures.views import Kind, View


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageView(View):
    """The text that `tabulate` makes of measurements and arrays. With `item` among its selectors
    the user steps through the items that the figure names; `Choice.item` is the one asked for."""

    kind: ClassVar[Kind] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeText(PassageView):
    """A text of all measures at once."""

    together: ClassVar[bool] = True
