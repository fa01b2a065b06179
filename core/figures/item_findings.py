"""Tables of items in one plain sentence. Reads figures alone: no measurement, no database."""

from __future__ import annotations

from core.figures.figure import Table
from core.figures.items import LOST, WON, Item
from core.figures.passages import Passages
from core.sizes import counted


def of_items(figure: Table) -> str:
    """The number of items that flipped or changed, and the ones that changed most."""
    records: tuple[Item, ...] = figure.records
    if not records:
        return ""
    where = f"{figure.chosen['model']} on {figure.chosen['task']} ({figure.chosen['metric']})"
    lost, won = (sum(item.flip == kind for item in records) for kind in (LOST, WON))
    if any(column.name == "flip" for column in figure.columns):
        same = [item.before for item in records if not item.flip]
        return (
            f"{where}: of {counted(len(records), 'item')} {won} went from wrong to right and "
            f"{lost} from right to wrong; {sum(v == 1 for v in same)} stayed right, "
            f"{sum(v == 0 for v in same)} stayed wrong."
        )
    known = [(item.change, item) for item in records if item.change is not None]
    if not known:
        return ""
    lower = any(item.gain and item.gain == -change for change, item in known)
    up, down = (sum(way * change > 0 for change, _ in known) for way in (1, -1))
    ways = f"{down} got better and {up} worse" if lower else f"{up} went up and {down} down"
    most = max(known, key=lambda pair: abs(pair[0]))
    return (
        f"{where}: of {counted(len(known), 'item')} {ways}; item {most[1].number} changed most "
        f"({most[0]:+.3g})."
    )


def of_nothing(figure: Passages) -> str:
    """Empty: a text needs no finding."""
    return ""
