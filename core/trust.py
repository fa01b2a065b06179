"""Permission to run code of models and tasks: given at each start, never stored.

Owns that trust is never stored: a study that comes out of a database has none, whoever made it.
Reads nothing and runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.study.study import Study


@dataclass(frozen=True, slots=True)
class Trust:
    """May code that the models bring run, and code of the user's task files?"""

    models: bool = False
    tasks: bool = False


NOBODY = Trust()


def of(study: Study) -> Trust:
    """What a study says. Meant for one that its user passed, not for one out of a database."""
    tasks = study.evaluation is not None and study.evaluation.trust_task_code
    return Trust(models=study.models.trust_remote_code, tasks=tasks)


def granted(study: Study, trust: Trust) -> Study:
    """The study with this trust, whatever it said itself."""
    update = {"models": study.models.model_copy(update={"trust_remote_code": trust.models})}
    if study.evaluation is None:
        return study.model_copy(update=update)
    evaluation = study.evaluation.model_copy(update={"trust_task_code": trust.tasks})
    return study.model_copy(update={**update, "evaluation": evaluation})


def with_task_code(study: Study) -> Study:
    """The study, with code of its task files trusted."""
    return granted(study, Trust(models=study.models.trust_remote_code, tasks=True))
