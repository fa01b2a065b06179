"""A study with one more point of arithmetic. Knows no run."""

from __future__ import annotations

from core.errors import StudyError
from core.study.study import Study


def with_point(study: Study, point: str) -> Study:
    """The study with this point added to `arithmetic`. Raises StudyError if the study has no
    tasks to score it by."""
    if study.evaluation is None:
        raise StudyError(
            f"The study '{study.name}' has no tasks that could score {point}.",
            hint="Name some under [evaluation.tasks], and start the study again.",
        )
    data = study.model_dump(exclude_unset=True)
    given = data.setdefault("analyses", {}).setdefault("arithmetic", {})
    points = [*given.get("points", ())]
    given["points"] = points if point in points else [*points, point]
    return Study.model_validate(data)
