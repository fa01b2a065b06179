"""`tauscope merge`: from the options to a folder, with progress. Computes nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from app.console.narration import Narrator
from app.results.wording import size
from core.errors import StudyError, did_you_mean
from core.study.models import Models
from core.study.study import Study

if TYPE_CHECKING:
    from core.models.identity import IdentityMemory

_MUCH = 0.5  # of the combined vector: the share lost in rounding that gives a warning


def name_point(
    coefficients: str, method: str | None, options: Mapping[str, float | int | None]
) -> str:
    """The name of a point (see `core.vectors.arithmetic.parse`) from a command's options."""
    given = ",".join(f"{name}={value}" for name, value in options.items() if value is not None)
    if given and method is None:
        named = ", ".join(f"--{name}" for name, value in options.items() if value is not None)
        raise StudyError(
            f"Options without --method: {named}.", hint="Add a method, such as --method ties."
        )
    return coefficients if method is None else f"{method}({given}):{coefficients}"


def merge(
    study: Study,
    point: str,
    folder: Path,
    *,
    restrict: str,
    dtype: str | None,
    memory: IdentityMemory | None = None,
) -> Path:
    """Write a point of a study's models into a folder; returns the folder. Prints doubts on stderr.

    Opens only the needed models. `memory` caches the hashes of their files.
    """
    from core.models.family import open_family
    from core.models.identity import Identities
    from core.vectors import arithmetic
    from core.vectors.folder import refuse_occupied
    from core.vectors.merging import DTYPES
    from core.vectors.merging import merge as write

    wanted = arithmetic.parse(point, tuple(study.models.tuned))
    chosen = arithmetic.restrict(restrict)
    if dtype is not None and dtype not in DTYPES:
        raise StudyError(f"The dtype '{dtype}' is not supported.", hint=did_you_mean(dtype, DTYPES))
    refuse_occupied(folder)
    with Narrator() as narrator:
        narrator.say(f"{study.name}: {wanted.setting}{f' in {chosen.text}' * bool(chosen.text)}")
        identities = Identities(say=lambda words: narrator.progress(0, 0, words))
        identities.memory = memory or identities.memory
        family = open_family(_taking_part(study.models, wanted.vectors), identities)
        for subject, message in family.warnings:
            narrator.warn(subject, message)
        merged = write(
            family, wanted, folder,
            restriction=chosen,
            dtype=DTYPES[dtype] if dtype else None,
            progress=lambda done, total, tensor: narrator.progress(
                -(-done >> 20), -(-total >> 20), tensor
            ),
        )  # fmt: skip
    if merged.rounding_loss is not None:
        lost = f"{merged.rounding_loss:.2%} of the combined vector was lost in rounding the weights"
        if merged.rounding_loss > _MUCH:
            narrator.warn("merge", f"{lost}: write it with --dtype float32")
        else:
            narrator.say(lost)
    narrator.say(f"{size(merged.nbytes)} written, with the base's configuration and tokeniser")
    return merged.folder


def _taking_part(models: Models, vectors: tuple[str, ...]) -> Models:
    """The base with the models of a point and their parents."""
    wanted = set(vectors) or set(list(models.tuned)[:1])
    for name in list(wanted):
        parent = models.tuned[name].parent
        while parent not in (None, "base"):
            wanted.add(str(parent))
            parent = models.tuned[str(parent)].parent
    members = {name: model for name, model in models.tuned.items() if name in wanted}
    return models.model_copy(update={"tuned": members})
