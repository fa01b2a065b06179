"""The views of grafts: the shares of a tuned model's gain that parts of its weights regain.

Owns their titles, captions, axes and selectors. Lays nothing out.
"""

from __future__ import annotations

from core.figures import graft_findings
from core.figures.figure import BASE
from core.figures.kinds.curves import Curves
from core.figures.kinds.grids import Bars, Heatmap
from core.figures.views import View

GROUPS = ("blocks", "attention", "mlp")
"""The parts of a layer that are grafted alone, the whole layer first."""

_TESTED = {"regained": "q_value", "gain": "q_value"}


def _is_set(setting: str) -> bool:
    return setting.startswith("layers-")


def _is_rank(setting: str) -> bool:
    return setting.startswith("rank-")


def _is_part(module: str) -> bool:
    return module != "all"


VIEWS: tuple[View, ...] = (
    Curves(
        key="layers",
        title="Regained by single layers",
        short="Layers",
        caption="One line per model: the base with one layer of the tuned model; the whole "
        "layer, its attention or its MLP.",
        measures=("regained", "gain"),
        tested=_TESTED,
        panels=GROUPS,
        fixed={"reference": BASE},
        free=("probe",),
        finding=graft_findings.of_layers,
    ),
    Heatmap(
        key="parts",
        title="Regained by layer and part",
        short="By layer",
        caption="One model: the base with one part of one layer of the tuned model.",
        measures=("regained", "gain", "q_value"),
        tested=_TESTED,
        panels=GROUPS,
        selectors=("model",),
        fixed={"reference": BASE},
        free=("probe",),
        finding=graft_findings.of_parts,
    ),
    Bars(
        key="modules",
        title="Regained by module",
        short="Modules",
        caption="The base with one kind of module of the tuned model, in every layer.",
        measures=("regained", "gain"),
        tested=_TESTED,
        fixed={"reference": BASE, "layer": None, "setting": ""},
        only={"module": _is_part},
        free=("probe",),
        finding=graft_findings.of_modules,
    ),
    Curves(
        key="sets",
        title="Regained by a growing set of layers",
        short="Layer sets",
        caption="The greedy set of layers beside random sets of as many layers, on the documents "
        "that did not choose it.",
        measures=("regained",),
        x="setting",
        selectors=("model",),
        fixed={"reference": BASE, "layer": None, "module": "blocks"},
        only={"setting": _is_set},
        free=("probe",),
        names={"setting": "set"},
        with_chance=True,
        chance_name="random sets",
        optional=True,
        finding=graft_findings.of_sets,
    ),
    Heatmap(
        key="order",
        title="Layers in the order of the greedy search",
        short="Search order",
        caption="The step at which the search took a layer; empty where it did not need the layer.",
        measures=("place",),
        rows="model",
        columns="layer",
        fixed={"reference": BASE},
        free=("probe",),
        missing="not needed",
        optional=True,
        finding=graft_findings.of_order,
    ),
    Curves(
        key="ranks",
        title="Regained by changes cut to a rank",
        short="Ranks",
        caption="One line per model: the change of every matrix cut to its top directions, "
        "all other parameters the base's.",
        measures=("regained", "gain"),
        x="setting",
        fixed={"reference": BASE, "layer": None, "module": "all"},
        only={"setting": _is_rank},
        free=("probe",),
        names={"setting": "cut to"},
        optional=True,
        finding=graft_findings.of_ranks,
    ),
)
