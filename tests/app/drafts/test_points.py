"""A point that is added to a study."""

from __future__ import annotations

import pytest

from app.drafts.points import with_point
from core.errors import StudyError
from core.study.study import Study

MODELS = {"base": "/m/base", "tuned": {"medical": "/m/medical", "maths": "/m/maths"}}


def test_a_point_is_added_once() -> None:
    given = {"coefficients": [0.0, 1.0], "points": ["maths=2"]}
    asked = {"name": "s", "models": MODELS, "analyses": {"arithmetic": given}}
    asked["evaluation"] = {"tasks": {"medical": ["medqa"]}}
    study = Study.model_validate(asked)
    extended = with_point(with_point(study, "medical=0.7"), "medical=0.7")
    assert extended.analyses["arithmetic"] == {
        "coefficients": [0.0, 1.0], "points": ["maths=2", "medical=0.7"]
    }  # fmt: skip
    assert extended.models == study.models


def test_a_study_without_tasks_takes_no_point() -> None:
    with pytest.raises(StudyError, match="has no tasks"):
        with_point(Study.model_validate({"name": "s", "models": MODELS}), "medical=0.7")
