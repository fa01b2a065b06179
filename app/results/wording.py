"""States, times, sizes and progress in words. Functions over a run's summary: no widget."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.commands import completed
from core.sizes import counted
from core.sizes import size as size
from storage.standing import Standing

if TYPE_CHECKING:
    from app.jobs.gauge import Usage
    from app.library.appraisal import Entry
    from core.engine.registry import Analysis
    from storage.runs import RunSummary

SIGNS = {
    "queued": "○",
    "running": "►",
    "done": "✓",
    "failed": "✗",
    "cancelled": "■",
    "interrupted": "!",
}
TONES = {
    "queued": "muted",
    "running": "accent",
    "done": "success",
    "failed": "error",
    "cancelled": "muted",
    "interrupted": "warning",
}
_LATE = 2.0  # seconds over the time expected that say nothing yet
UNDER_WAY = frozenset({"queued", "running"})


def share(run: RunSummary, now: datetime) -> float:
    """The share of finished work: of the expected time if that is known, since units are very
    uneven, else of the units."""
    passed, left = run.lasted(now), run.eta(now)
    if run.done < run.total and passed is not None and left is not None:
        passed = max(passed, 1e-3)  # clocks may be set back
        return passed / (passed + max(0.0, left))
    return run.done / run.total if run.total else 0.0


def percent(run: RunSummary) -> str:
    """The share of finished work as a whole percentage, 100 only at the end."""
    if not run.total:
        return ""
    return f"{min(99, int(share(run, now()) * 100)) if run.done < run.total else 100} %"


def remaining(run: RunSummary, now: datetime) -> str:
    """The remaining time of a running run, or nothing."""
    return left(run.eta(now), rough=run.rough)


def left(seconds: float | None, *, rough: bool = False) -> str:
    """The remaining time: `ETA 4 min`, or `ETA ~4 min` by rough rates; or nothing."""
    if seconds is None:
        return ""
    if seconds < -_LATE:
        return "ETA passed"
    return f"ETA {'~' if rough else ''}{span(seconds)}"


def pace(run: RunSummary, now: datetime) -> str:
    """The pace of a running run: `12 units/min`, or `41 s/unit`; or nothing."""
    throughput = run.throughput(now)
    if throughput is None:
        return ""
    return _pace(throughput)


def _pace(throughput: float) -> str:
    a_minute = throughput * 60
    if a_minute < 1.5:
        return f"{span(1 / throughput)}/unit"
    return f"{a_minute:.0f} units/min"


def in_hand(run: RunSummary) -> str:
    """The current step of a run, or the reason of its wait."""
    if run.status == "queued":
        return run.label or "waiting for a worker"
    if run.status != "running":
        return ""
    return "stopping" if run.cancel_requested else run.label


def absence(run: RunSummary, start: str, analysis: Analysis | None = None) -> str:
    """The reason that a run has no values yet, or none of one analysis; empty if there is no such
    reason. `start`: the key that starts a queued run and resumes one that ended early."""
    if run.status == "queued":
        return f"No values yet: the run is {in_hand(run)}. {start} starts it."
    if run.status == "running":
        return _awaited(run, analysis)
    ended = {"failed": "failed", "cancelled": "was cancelled", "interrupted": "was interrupted"}
    if run.status in ended:
        return f"No values yet: the run {ended[run.status]} before it had any. {start} resumes it."
    return ""


def _awaited(run: RunSummary, analysis: Analysis | None) -> str:
    """The reason that an analysis of a running run has no values yet, and the expected end."""
    from core.engine import registry  # not needed by the first screen

    words = ["No values yet."]
    if analysis is not None:
        before = [registry.get(name).title for name in analysis.after if name in run.analyses]
        where = (
            "in the pass over the weights"
            if analysis.needs in registry.OF_WEIGHTS
            else "model by model"
        )
        words.append(
            f"{analysis.title} is computed {where}{', after ' * bool(before)}{_listed(before)}."
        )
    if run.label:
        words.append(f"The run is at {run.label}.")
    expected = remaining(run, now())
    return " ".join([*words, f"The whole run: {expected}."] if expected else words)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)


def standing(run: RunSummary, standings: Mapping[str, Standing]) -> Iterator[tuple[str, str]]:
    """Each analysis of a run with its state: done, running or waiting, its units and their time;
    with open units also the pace and the remaining time at that pace."""
    from core.engine import registry

    for name in run.analyses:
        progress = standings.get(name, Standing())
        of_all = f"{progress.done} of " if progress.total else ""
        words = [f"{of_all}{counted(progress.total or progress.done, 'unit')}"]
        is_open = progress.done < progress.total
        state = "done"
        if is_open or (not progress.total and run.status != "done"):
            begun = run.status == "running" and progress.done
            state = "running" if begun else "queued"
        if progress.done and progress.seconds is not None:
            words.append(
                f"{span(progress.seconds)} so far" if is_open else f"took {span(progress.seconds)}"
            )
        if is_open and progress.done and progress.seconds and run.status in UNDER_WAY:
            each = progress.seconds / progress.done
            words += [_pace(1 / each), f"~{span(each * (progress.total - progress.done))} left"]
        if not progress.done and run.status in UNDER_WAY:
            words.append("waits")
        yield registry.get(name).title, f"{SIGNS[state]} {', '.join(words)}"


def outcome(run: RunSummary) -> str:
    """The result of a finished run."""
    return f"{counted(run.total, 'unit')}, {run.reused} of them reused"


def trouble(run: RunSummary) -> tuple[str, str]:
    """The error of a run that failed, and its remedy."""
    if run.status == "interrupted":
        where = f"process {run.pid} on {run.host}" if run.host else "unknown process"
        return f"Its worker ({where}) ended without an error message.", ""
    return completed(run.error_title), completed(run.error_hint)


def span(seconds: float) -> str:
    """A length of time to two units at most: `41 s`, `12 min`, `3 h 05`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d}" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def count(number: int) -> str:
    """A number of things in the largest unit that leaves one above 1: `512`, `7.6 B`."""
    left = float(number)
    for unit in ("", " K", " M"):
        written = f"{left:.1f}" if unit else f"{left:.0f}"
        if float(written) < 1000:
            return f"{written}{unit}"
        left /= 1000
    return f"{left:.1f} B"


def model_name(name: str) -> str:
    """A model's name, with `~` for the home that a path begins with."""
    home = os.path.expanduser("~")  # noqa: PTH111 - a path that no home is known for stays whole
    return f"~{name[len(home) :]}" if name.startswith(home + os.sep) else name


def model_facts(entry: Entry) -> tuple[str, str, str, str, str]:
    """Kind, size, parameters, dtype and architecture of a model; empty where unknown."""
    return (
        entry.kind,
        size(entry.size) if entry.size is not None else "",
        count(entry.parameters) if entry.parameters is not None else "",
        entry.dtype,
        entry.architecture,
    )


def load(reading: Usage | None) -> str:
    """The load of the host, in short; several GPUs together."""
    if reading is None:
        return ""
    words = [f"mem {_of(reading.used, reading.total)}"]
    cards = reading.cards
    if cards:
        words.append("GPU" if len(cards) == 1 else f"{len(cards)} GPUs")
        known = [card.busy for card in cards if card.busy is not None]
        if known:
            words[-1] += f" {sum(known) / len(known):.0f} %"
        words[-1] += f" {_of(sum(c.used for c in cards), sum(c.total for c in cards))}"
    return "  ".join(words)


def loads(reading: Usage) -> list[tuple[str, str]]:
    """The load of the host, each part by its name."""
    parts = [("memory", _of(reading.used, reading.total))]
    for place, card in enumerate(reading.cards):
        busy = "" if card.busy is None else f"{card.busy} % busy, "
        parts.append((f"GPU {place}", f"{busy}{_of(card.used, card.total)}, {card.name}"))
    return parts


def lasted(run: RunSummary, now: datetime) -> str:
    """The duration of a run so far."""
    seconds = run.lasted(now)
    return "" if seconds is None else span(seconds)


def moment(when: datetime | None, now: datetime) -> str:
    """Local time of today, or the day."""
    if when is None:
        return ""
    local, today = when.astimezone(), now.astimezone()
    if local.date() == today.date():
        return local.strftime("%H:%M")
    return local.strftime("%d %b" if local.year == today.year else "%Y-%m-%d")


def now() -> datetime:
    """The time now, with its zone."""
    return datetime.now(UTC)


def bar(run: RunSummary, width: int) -> tuple[str, str]:
    """The done and the open part of a progress bar."""
    done = min(width, round(width * share(run, now())))
    return "━" * done, "─" * (width - done)


def _of(used: int, total: int) -> str:
    """A share of memory, in GiB if both numbers reach one."""
    if used < 2**30 / 10 or total < 2**30:
        return f"{size(used)}/{size(total)}"
    return f"{used / 2**30:.1f}/{total / 2**30:.0f} GiB"
