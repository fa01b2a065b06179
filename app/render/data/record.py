"""Everything about a run except its numbers, as JSON: study, origin, state, files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import app
from app.results.figures import analyses_of
from core.engine import forms
from core.engine.registry import Analysis
from core.files.partial import placed, written
from core.study.study import Study
from storage import artifacts, runs
from storage.database import Database
from storage.runs import RunSummary, StoredArtifact
from storage.trials import trials
from storage.workers import failed_units


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """Write run.json and the artifacts that it names; return the files."""
    study = runs.study_of(db, run.id)
    stored = [
        a for a in runs.artifacts(db, run.id) if a.name.partition(".")[0] not in forms.WORKING
    ]
    path = folder / "run.json"
    data = {
        "exported_by": f"tauscope {app.__version__}",
        "run": summary_data(run),
        "study": study.model_dump(mode="json"),
        "seed": study.run.seed,
        "engine": study.run.engine,
        "provenance": runs.provenance(db, run.id),
        "analyses": [_analysis(analysis, study) for analysis in analyses_of(run)],
        "durations": runs.durations(db, run.id),
        "warnings": [asdict(warning) for warning in runs.warnings(db, run.id)],
        "artifacts": [_artifact(artifact) for artifact in stored],
    }
    if failed := failed_units(db, run.id):
        data["failed_units"] = [asdict(each) for each in failed]
    if kept_trials := trials(db, run.id):
        data["bench"] = [
            {"created": each.created.isoformat() if each.created else None, **each.content}
            for each in kept_trials
        ]
    with written(path) as file:
        json.dump(data, file, indent=2)
        file.write("\n")
    return [path, *_copied(db, stored, folder)]


def summary_data(run: RunSummary) -> dict[str, Any]:
    """A run's summary as JSON: times in ISO 8601, UTC."""
    data = asdict(run)
    for name in ("created", "started", "finished", "heartbeat", "expected"):
        moment = data[name]
        data[name] = moment.isoformat(timespec="milliseconds") if moment else None
    return {**data, "controls": sorted(run.controls)}


def _analysis(analysis: Analysis, study: Study) -> dict[str, Any]:
    return {
        "name": analysis.name,
        "title": analysis.title,
        "version": analysis.version,
        "parameters": study.parameters(analysis.name).model_dump(mode="json"),
        "metrics": [asdict(metric) for metric in analysis.metrics],
    }


def _artifact(artifact: StoredArtifact) -> dict[str, Any]:
    data = asdict(artifact)
    stored = data.pop("stored")
    return {**data, **stored, "path": f"artifacts/{stored['path']}"}


def _copied(db: Database, stored: list[StoredArtifact], folder: Path) -> list[Path]:
    copies = []
    for file in dict.fromkeys(artifact.stored for artifact in stored):
        copy = folder / "artifacts" / file.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        with placed(copy) as part:
            part.write_bytes(artifacts.content(db.folder("artifacts"), file))
        copies.append(copy)
    return copies
