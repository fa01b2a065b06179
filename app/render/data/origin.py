"""The origin of a run's numbers, as names and words: the end of both reports."""

from __future__ import annotations

from app.results.wording import span
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

FINGERPRINT = 16
"""Digits of a fingerprint that a reader needs to compare; run.json has all of them."""


def facts(db: Database, run: RunSummary) -> list[tuple[str, str]]:
    """Time, host, versions, settings and models of a run; no value is empty."""
    known = runs.provenance(db, run.id)
    entries = [("created", run.created.isoformat(timespec="seconds")), ("host", run.host)]
    entries += [(name, str(known[name])) for name in ("device", "seed") if name in known]
    versions = known.get("environment", {}).get("versions", {})
    entries.append(
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))
    )
    entries += [
        (f"{analysis} took", f"{seconds:.1f} s" if seconds < 100 else span(seconds))
        for analysis, seconds in runs.durations(db, run.id).items()
    ]
    for name, model in known.get("models", {}).items():
        words = f"{model.get('path', '')}, fingerprint "
        words += str(model.get("fingerprint", ""))[:FINGERPRINT]
        entries.append((f"model {name}", words))
    return [(name, words) for name, words in entries if words]
