"""The analyses of a run, and the reasons for skipped ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.engine import registry
from core.errors import StudyError, did_you_mean
from core.study.study import Study

_MISSING = {
    "series": "the study has no series of checkpoints",
    "probe": "the study has no [probe]",
    "tasks": "the study has no [evaluation]",
}


@dataclass(frozen=True, slots=True)
class AnalysisSelection:
    """The analyses to run, in their order, and the reason for each skipped one."""

    analyses: tuple[str, ...]
    skipped: dict[str, str]


def select(study: Study, only: Iterable[str] = ()) -> AnalysisSelection:
    """The analyses in `only`, or all, that the study has inputs for.

    Raises StudyError for an unknown name, and if no analysis is left.
    """
    wanted = tuple(only)
    known = registry.names()
    for name in wanted:
        if name not in known:
            raise StudyError(f"There is no analysis '{name}'.", hint=did_you_mean(name, known))
    skipped: dict[str, str] = {}
    chosen = []
    for name in known:
        if wanted and name not in wanted:
            continue
        reason = _obstacle(study, name)
        if reason:
            skipped[name] = reason
        else:
            chosen.append(name)
    if not chosen:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise StudyError("There is nothing to run.", hint=reasons)
    return AnalysisSelection(tuple(chosen), skipped)


def _obstacle(study: Study, name: str) -> str:
    needs = registry.get(name).needs
    given = {
        "weights": True, "series": study.models.has_series, "probe": study.probe_sets(),
        "texts": True, "tasks": study.evaluation,
    }  # fmt: skip
    return "" if given[needs] else _MISSING[needs]
