"""Permission to run code of models and tasks: given at each start, never stored.

Owns the rule that trust is never stored: a study from a database has none. Reads nothing and runs
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.study.study import Study


@dataclass(frozen=True, slots=True)
class Trust:
    """Permission to run the models' code, and the code of the user's task files."""

    models: bool = False
    tasks: bool = False


NOBODY = Trust()


def of(study: Study) -> Trust:
    """The trust in a study's settings. Meant for a study passed by the user, not one from a
    database."""
    tasks = study.evaluation is not None and study.evaluation.trust_task_code
    return Trust(models=study.models.trust_remote_code, tasks=tasks)


def granted(study: Study, trust: Trust) -> Study:
    """The study with this trust in place of its own settings."""
    update = {"models": study.models.model_copy(update={"trust_remote_code": trust.models})}
    if study.evaluation is None:
        return study.model_copy(update=update)
    evaluation = study.evaluation.model_copy(update={"trust_task_code": trust.tasks})
    return study.model_copy(update={**update, "evaluation": evaluation})


def with_task_code(study: Study) -> Study:
    """The study, with code of its task files trusted."""
    return granted(study, Trust(models=study.models.trust_remote_code, tasks=True))
