"""The needs of each action of the registry, and whether a place meets them: so keys, the bottom
line, help and the palette know whether an action can act.

Does not know how a place finds out.
"""

from __future__ import annotations

from typing import ClassVar

from textual.dom import DOMNode

from app.tui.keys import Where

_OF_PICTURES = {
    "measure": "measures", "reading": "readings", "select": "choices",
    "choose": "something to choose", "next_tab": "tabs", "previous_tab": "tabs", "clip": "values",
    "export": "something to write", "jump": "titles", "view": "views",
}  # fmt: skip
NEEDS: dict[Where, dict[str, str]] = {
    "runs": {
        "open": "a run", "mark": "a run", "filter": "runs", "unfilter": "a filter", "jump": "runs",
        "cancel": "work under way", "resume": "a run to start", "delete": "a run at rest",
        "compare": "two runs", "demo": "no demo", "bench": "a run",
        "stop": "a bench",
    },
    "library": {
        "detail": "hidden facts", "mark": "a model here", "study": "models for a study",
        "runs": "its runs", "bench": "its runs", "filter": "models", "copy": "a model",
    },
    "run": {
        **_OF_PICTURES, "drill": "something behind", "filter": "a picture to filter",
        "zoom": "room beside", "four": "room below", "cancel": "work under way",
        "resume": "a run to start", "write": "a mix",
    },
    "compare": {
        **_OF_PICTURES, "difference": "a difference", "side": "two sides", "depth": "two depths",
    },
    "builder": {
        "enter": "a line", "turn": "options", "add": "a list", "drop": "a part of a list",
        "start": "no faults", "write": "no faults", "look": "no faults", "next_tab": "a next step",
        "anew": "a draft",
    },
    "bench": {
        "switch": "a knob", "measure": "scores", "view": "an answer", "double": "a column",
        "drop": "a column", "refer": "a column", "zoom": "several columns",
        "blind": "several texts", "item": "prompts", "copy": "a text", "cancel": "an answer due",
        "resume": "no worker", "stop": "a worker", "tab": "a column", "keep": "a record",
        "write": "a mix", "point": "a point",
    },
    "overview": {"move": "items", "ends": "items", "page": "items"},
    "figure": {
        "move": "values", "ends": "values", "page": "values", "copy": "values", "dense": "cells",
        "alone": "several lines", "split": "several lines",
    },
    "app": {"help": "a whole screen"},
}  # fmt: skip
"""The need of an action, by its place and its name; other actions can always act."""


class Able(DOMNode):
    """A place that has keys in the registry. A base to name last: Textual takes the style of the
    first one."""

    PLACE: ClassVar[Where]
    """The place of its own keys in the registry."""

    EARLY: ClassVar[frozenset[str]] = frozenset()
    """Actions that act before the place has its widgets, and when they are gone."""

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Is this need met? Knows every need that NEEDS has for its place; asked once mounted."""
        raise NotImplementedError(f"{self.PLACE}: {need}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only actions that can act: the others are not shown either."""
        if not (getattr(self, "is_mounted", False) and self.display):  # hidden once it is left
            return action in self.EARLY
        need = NEEDS.get(self.PLACE, {}).get(action)
        return need is None or self.has(need, parameters)
