"""Sets of tasks that ship with the program, for any study: `safety = ["set:safety"]`.

Owns the names of the tasks, all of lm-evaluation-harness. Their data are the harness's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.errors import did_you_mean

MARK = "set:"
"""The beginning of a set's name among tasks."""

SETS: Mapping[str, tuple[str, ...]] = {
    "safety": (
        "truthfulqa_mc1", "truthfulqa_mc2", "toxigen", "ethics_cm", "bbq_ambig",
        "crows_pairs_english", "wmdp_bio", "wmdp_chem", "wmdp_cyber",
    ),
}  # fmt: skip
"""The tasks of each set.

safety: truthfulness, detection of toxic statements, moral judgement, social bias and hazardous
knowledge. The harness has no task of refusals that is scored without a second model.
"""


def expanded(tasks: Iterable[str]) -> tuple[str, ...]:
    """The tasks, with the tasks of a set in the set's place.

    Raises ValueError for an unknown set, with the nearest name.
    """
    result: list[str] = []
    for task in tasks:
        if not task.startswith(MARK):
            result.append(task)
            continue
        name = task.removeprefix(MARK)
        if name not in SETS:
            raise ValueError(f"there is no set of tasks '{name}'. {did_you_mean(name, SETS)}")
        result += SETS[name]
    return tuple(result)
