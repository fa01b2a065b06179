"""What a run will take, for people and as JSON. Owns the words; core.preflight counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from app.printing import print_table, print_words
from app.wording import count, size, span

if TYPE_CHECKING:
    from core.preflight import ModelCost, Preflight, Share
    from core.study import Study
    from storage.database import Database


def look_ahead(db: Database, study: Study, analyses: Sequence[str]) -> Preflight:
    """What a run of the study will take, given what is in the database."""
    from core.preflight import look_ahead as foresee
    from storage import history

    return foresee(
        study, analyses, finished=partial(history.finished, db), pace=partial(history.pace, db)
    )


def data(found: Preflight, skipped: dict[str, str]) -> dict[str, Any]:
    """A preflight as JSON, with its totals and the analyses that are left out."""
    return {**asdict(found), "seconds": found.seconds, "rough": found.rough, "skipped": skipped}


def print_preflight(found: Preflight) -> None:
    """The tables for people."""
    print_words(f"{found.study}, on {found.device}")
    print()
    print_table(("analysis", "units", "finished", "asks", "time"), map(_analysis, found.shares))
    print()
    print_table(("model", "parameters", "read", "loaded", "lies on"), map(_model, found.models))
    questions = _questions(found.shares)
    if questions:
        print()
        print_table(("task", "asked", "items in all"), questions)
    print()
    for line in _totals(found):
        print_words(line)
    for about, note in found.notes:
        print_words(f"warning: {about}: {note}")


def _analysis(share: Share) -> tuple[str, ...]:
    asks = [
        f"{count(share.items)} items" if share.asked else "",
        f"{count(share.ranked)} items ranked" if share.ranked else "",
        f"{count(share.forward)} tokens" if share.forward else "",
        f"{count(share.backward)} tokens with gradients" if share.backward else "",
    ]
    return (
        share.analysis, str(share.units), str(share.finished), ", ".join(filter(None, asks)),
        f"{'' if share.measured else '~'}{span(share.seconds)}",
    )  # fmt: skip


def _model(model: ModelCost) -> tuple[str, ...]:
    loaded = [
        f"{model.loads} ×" if model.loads else "",
        "as a vector" if model.as_vector else "",
    ]
    places = [
        f"{device}: {size(nbytes)}{_modules(modules)}" for device, modules, nbytes in model.places
    ]
    return (
        model.model, count(model.parameters), size(model.read) if model.read else "",
        ", ".join(filter(None, loaded)), "; ".join(places),
    )  # fmt: skip


def _modules(modules: Sequence[str]) -> str:
    return "" if len(modules) == 1 else f" in {len(modules)} modules"


def _questions(shares: Sequence[Share]) -> list[tuple[str, ...]]:
    times: dict[str, int] = {}
    items: dict[str, int] = {}
    for share in shares:
        for task, often, many in share.asked:
            times[task] = times.get(task, 0) + often
            items[task] = items.get(task, 0) + often * many
    return [(task, f"{times[task]} ×", count(items[task])) for task in times]


def _totals(found: Preflight) -> list[str]:
    left = sum(share.units - share.finished for share in found.shares)
    if not left:
        return ["Nothing is left to compute: every unit is in the database."]
    read = sum(model.read for model in found.models)
    loaded = sum(model.stored * (model.loads + model.as_vector) for model in found.models)
    lines = [f"From disk: {size(read)} in the pass over the weights, {size(loaded)} for loading."]
    held = [f"{device} {size(nbytes)}" for device, nbytes in found.needed.items()]
    if held:
        lines.append(f"At most at once: {', '.join(held)} of weights; activations come on top.")
    basis = (
        "guessed by rough rates (~); it may be several times off." if found.rough
        else "by finished units of this size on such a device; loading is guessed."
    )  # fmt: skip
    return [*lines, f"About {span(found.seconds)} for {left} units, {basis}"]
