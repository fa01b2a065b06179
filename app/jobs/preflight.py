"""The cost of a run before it starts, as JSON and in words. core.engine.preflight counts.

Owns the sentences, written from the JSON: screens and commands only lay them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from app.console.narration import Narrator
from app.results.wording import count, size, span
from core.sizes import counted

if TYPE_CHECKING:
    from core.engine.preflight import Preflight
    from core.study.study import Study
    from storage.database import Database

SHARES = ("analysis", "units", "finished", "time", "asks")
MODELS = ("model", "parameters", "read", "loaded", "lies on")
CARDS = ("slices", "busy", "units by model")
"""The headers of the tables. Before CARDS stands the word for a card or a worker."""


def look_ahead(db: Database, study: Study, analyses: Sequence[str]) -> Preflight:
    """The cost of a run of the study, given the finished units in the database."""
    from core.engine.preflight import look_ahead as foresee
    from core.models.identity import Identities
    from storage import history
    from storage.identities import Remembered

    with Narrator() as narrator:
        return foresee(
            study,
            analyses,
            finished=partial(history.finished, db),
            pace=partial(history.pace, db),
            identities=Identities(
                memory=Remembered(db), say=lambda words: narrator.progress(0, 0, words)
            ),
        )


def data(cost: Preflight, skipped: dict[str, str]) -> dict[str, Any]:
    """A preflight as JSON, with its totals and the skipped analyses."""
    return {**asdict(cost), "seconds": cost.seconds, "rough": cost.rough, "skipped": skipped}


def shares(cost: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each analysis, under SHARES. A time estimated by rough rates has a `~`."""
    return [
        (
            share["analysis"], str(share["units"]), str(share["finished"] or ""),
            f"{'' if share['measured'] else '~'}{span(share['seconds'])}", _asks(share),
        )
        for share in cost["shares"]
    ]  # fmt: skip


def models(cost: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each model, under MODELS."""
    return [
        (
            model["model"], count(model["parameters"]),
            size(model["read"]) if model["read"] else "", _loaded(model), _places(model),
        )
        for model in cost["models"]
    ]  # fmt: skip


def cards(cost: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The header, and a row for each card of this host, or each worker that the study asks for;
    without rows where there is only one."""
    thing = _device_word(cost)
    spread = next((s for s in cost["spread"] if s["cards"] == cost["here"]), None)
    several = spread is not None and cost["here"] > 1
    rows: list[tuple[str, ...]] = [
        (
            str(number), str(share["slices"] or ""), span(share["busy"]),
            ", ".join(f"{model} {units}" for model, units in share["units"]),
        )
        for number, share in enumerate(spread["shares"])
    ] if spread is not None and several else []  # fmt: skip
    return (thing, *CARDS), rows


def questions(shares: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each task: its name, its number of scorings, and its total items."""
    times: dict[str, int] = {}
    items: dict[str, int] = {}
    for share in shares:
        for task, often, many in share["asked"]:
            times[task] = times.get(task, 0) + often
            items[task] = items.get(task, 0) + often * many
    return [(task, f"{times[task]} ×", count(items[task])) for task in times]


def totals(cost: Mapping[str, Any]) -> list[str]:
    """The totals in sentences, the time first; or one sentence if nothing is left."""
    left = sum(share["units"] - share["finished"] for share in cost["shares"])
    if not left:
        return ["Nothing is left to compute: every unit is in the database."]
    basis = (
        "a rough estimate (~) that may be several times too high or too low." if cost["rough"]
        else "measured on finished units of this size on this kind of device; loading is estimated."
    )  # fmt: skip
    read = sum(model["read"] for model in cost["models"])
    loaded = sum(m["stored"] * (m["loads"] + m["as_vector"]) for m in cost["models"])
    stored = sum(share["stored"] for share in cost["shares"])
    held = ", ".join(f"{device} {size(nbytes)}" for device, nbytes in cost["needed"].items())
    lines = [
        f"About {span(cost['seconds'])} for {left} units, {basis}",
        f"From disk: {size(read)} in the pass over the weights, {size(loaded)} for loading.",
        f"Peak memory, beside the program's own: {held} for weights, plus activations."
        if held
        else "",
        f"To disk: {size(stored)} of the base's states, beside the database." if stored else "",
        _spread(cost),
    ]
    return [line for line in lines if line]


def _spread(cost: Mapping[str, Any]) -> str:
    """The time on several cards, in a sentence."""
    times = [
        f"{span(each['seconds'])} on {each['cards']}"
        for each in cost["spread"]
        if each["seconds"] is not None and each["cards"] > 1
    ]
    if not times:
        return ""
    thing = _device_word(cost)
    alike = ", each with its own cores" if thing == "worker" else " like this one"
    few = max((each["cards"] for each in cost["spread"] if each["seconds"] is None), default=0)
    lacking = f" {counted(few, thing)} can't hold every model." if few else ""
    return (
        f"With --engine ray: about {', '.join(times)} {thing}s{alike}, estimated by a schedule "
        f"with the longest task first.{lacking}"
    )


def _device_word(cost: Mapping[str, Any]) -> str:
    """The word for the computing device: a card, or on the CPU a worker."""
    return "worker" if cost["device"] == "cpu" else "card"


def code(trust: Mapping[str, bool]) -> str:
    """The third-party code that will run, in a sentence."""
    owners = [
        "models (models.trust_remote_code)" if trust["models"] else "",
        "task files (evaluation.trust_task_code)" if trust["tasks"] else "",
    ]
    whose = " and of ".join(filter(None, owners))
    return f"Code of {whose} will run." if whose else "No code of models or task files will run."


def _asks(share: Mapping[str, Any]) -> str:
    items = sum(times * items for _, times, items in share["asked"])
    asks = [
        f"{count(items)} items" if items else "",
        f"{count(share['ranked'])} items ranked" if share["ranked"] else "",
        f"{count(share['forward'])} tokens" if share["forward"] else "",
        f"{count(share['backward'])} tokens with gradients" if share["backward"] else "",
    ]
    return ", ".join(filter(None, asks))


def _loaded(model: Mapping[str, Any]) -> str:
    loaded = [
        f"{model['loads']} ×" if model["loads"] else "",
        "as a vector" if model["as_vector"] else "",
    ]
    return ", ".join(filter(None, loaded))


def _places(model: Mapping[str, Any]) -> str:
    places = []
    for device, modules, nbytes in model["places"]:
        parts = f" in {len(modules)} modules" if len(modules) > 1 else ""
        places.append(f"{device}: {size(nbytes)}{parts}")
    return "; ".join(places)
