"""The views of drops in scores when neurons are ablated, beside their random controls.

Owns their titles, captions, axes and selectors. Lays nothing out.
"""

from __future__ import annotations

from typing import Any

from core.figures import drop_details, drop_tables, item_findings, items, score_findings
from core.figures.kinds.boxes import ControlBoxes
from core.figures.kinds.grids import Heatmap, Plane
from core.figures.kinds.passages import PassageView
from core.figures.kinds.tables import SortedTable
from core.figures.spread_findings import of_controls
from core.figures.views import View
from core.neurons import ranking

FIRST = "top-1%"
"""The selection that the views show first."""

_OWN_NEURONS = 'own neurons only: set sources = "all"'

_ONE_DROP: dict[str, Any] = {
    "measures": ("drop_percent",),
    "selectors": ("model", "reference", "task", "metric_of", "setting"),
    "only": {"setting": ranking.is_selection},
    "names": {"reference": "neuron source", "model": "ablated model", "setting": "selection"},
}
"""The same of all pictures of one drop."""

VIEWS: tuple[View, ...] = (
    Plane(
        key="selections",
        title="Selections side by side",
        short="Selections",
        caption="Down: the ablated model; across: each selection of neurons, by the model on "
        "which they were chosen.",
        measures=("drop_percent", "ablated_score", "score", "q_value"),
        tested={"drop_percent": "q_value"},
        place=drop_tables.side_by_side,
        selectors=("task", "metric_of"),
        free=("model", "reference"),
        only={"setting": ranking.is_selection},
        missing='own neurons stand under "own"; others need sources = "all"',
        drill="behind",
        finding=score_findings.of_selections,
    ),
    Heatmap(
        key="sources",
        title="Drop by neuron source and ablated model",
        short="Drops by source",
        caption="Down: the model on which neurons were chosen; across: the ablated model.",
        measures=("drop_percent", "ablated_score", "score", "q_value"),
        tested={"drop_percent": "q_value"},
        rows="reference",
        columns="model",
        selectors=("task", "metric_of", "setting"),
        opens={"setting": FIRST},
        only={"setting": ranking.is_selection},
        names={"reference": "neuron source", "model": "ablated model", "setting": "selection"},
        missing=_OWN_NEURONS,
        drill="behind",
        finding=score_findings.of_drops,
    ),
    Heatmap(
        key="tasks",
        title="Drop by model and task",
        short="Drops by task",
        caption="Down: the ablated model; across: the task. Neurons of one model.",
        measures=("drop_percent", "ablated_score", "score", "q_value"),
        tested={"drop_percent": "q_value"},
        rows="model",
        columns="task",
        selectors=("reference", "metric_of", "setting"),
        opens={"setting": FIRST},
        only={"setting": ranking.is_selection},
        names={"reference": "neuron source", "setting": "selection"},
        missing='own tasks and neurons only: set tasks or sources = "all"',
        drill="behind",
        finding=score_findings.of_drops,
    ),
    ControlBoxes(
        key="controls",
        title="Drops beside their random controls",
        short="Controls",
        caption="One box per selection: the random controls, and the chosen neurons.",
        measures=("drop_percent", "ablated_score"),
        tested={"drop_percent": "q_value"},
        place=drop_tables.side_by_side,
        control_of=ranking.selection_of,
        selectors=("task", "metric_of"),
        free=("model", "reference", "setting"),
        drill="behind",
        finding=of_controls,
    ),
    SortedTable(
        key="table",
        title="Every drop and its controls",
        short="Every drop",
        caption="One row per selection, with its random controls.",
        measures=("drop_percent", "ablated_score", "score", "p_value", "q_value", "neurons"),
        free=("model", "reference", "task", "setting", "metric_of"),
        tabulate=drop_tables.drops,
        orders=drop_tables.DROP_ORDERS,
        names={"reference": "neuron source", "model": "ablated model", "setting": "selection"},
        drill="behind",
        finding=score_findings.of_drop_table,
    ),
    PassageView(
        key="behind",
        title="Behind a drop",
        caption="The drop beside the drops of its random controls, and the ablated neurons by "
        "layer, the highest scores first.",
        tabulate=drop_details.summary,
        drill="broken",
        finding=item_findings.of_nothing,
        **_ONE_DROP,
    ),
    SortedTable(
        key="broken",
        title="Items that broke",
        short="Items",
        caption="One row per scored item: the whole model's result, the ablated one's, and "
        "the change.",
        tabulate=drop_details.broken,
        orders=items.ORDERS,
        drill="item",
        finding=drop_details.of_broken,
        **_ONE_DROP,
    ),
    PassageView(
        key="item",
        title="One item under ablation",
        short="Item",
        caption="The item's result with and without the ablated neurons, its prompt, and the "
        "whole model's answer.",
        tabulate=drop_details.item,
        finding=item_findings.of_nothing,
        **{**_ONE_DROP, "selectors": (*_ONE_DROP["selectors"], "item")},
    ),
)
