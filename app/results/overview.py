"""The overview of a run: from stored rows to cards and findings.

Owns the way from the database to the overview. Draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.results import wording
from core.engine import registry
from core.errors import RunError
from core.overview.cards import Card, cards
from core.overview.finding import FigurePlace, Finding
from core.overview.measured import QUERIES, Family, Measured
from core.overview.ranking import Ranking, ranked
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

NAME = "overview"
NOTHING = "Nothing exceeds chance."
NOT_YET = "No findings yet."
NOT_READ = "The overview uses none of this run's analyses."


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The cards and the findings of a run. `waits`: the titles of unfinished analyses without a
    result for it; `reads`: has the run an analysis that the overview reads?"""

    cards: tuple[Card, ...] = ()
    ranking: Ranking = field(default_factory=Ranking)
    waits: tuple[str, ...] = ()
    reads: bool = True

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The most important findings."""
        return self.ranking.told

    @property
    def instead(self) -> str:
        """The sentence in place of missing findings."""
        if self.findings:
            return ""
        if self.waits:
            return NOT_YET
        return NOTHING if self.reads else NOT_READ

    @property
    def waiting(self) -> str:
        """The unfinished analyses in words; "" once all are finished."""
        return f"Still to come: {', '.join(self.waits)}." if self.waits else ""


def read(db: Database, run: RunSummary) -> Overview:
    """The overview of a run so far."""
    measured = _measured(db, run)
    ranking = ranked(measured)
    under_way = run.status in wording.UNDER_WAY
    return Overview(
        cards=cards(measured, ranking),
        ranking=ranking,
        waits=tuple(
            registry.get(name).title
            for name in QUERIES
            if under_way and name in run.analyses and not measured.rows[name]
        ),
        reads=any(name in QUERIES for name in run.analyses),
    )


def data(overview: Overview) -> dict[str, Any]:
    """The overview as data for JSON."""
    return {
        "cards": [_card(card) for card in overview.cards],
        "findings": [_finding(finding) for finding in overview.findings],
        "further_findings": len(overview.ranking.all) - len(overview.findings),
        "dropped": dict(overview.ranking.dropped),
        "waits": list(overview.waits),
    }


def heading(place: FigurePlace) -> str:
    """The name of a figure among all of a run."""
    analysis = registry.get(place.analysis)
    view = next(view for view in analysis.views if view.key == place.view)
    return f"{analysis.title}: {view.title}"


_READ = ("metric", "module", "value", "low", "high", "n", "chance", "chance_sd")


def _card(card: Card) -> dict[str, Any]:
    return {
        "model": card.model,
        "control": card.is_control,
        "parent": card.parent,
        "domain": card.domain,
        "relative_norm": card.size,
        "relative_norm_of_controls": card.controls,
        "groups": dict(card.groups),
        "layers": list(card.layers),
        "directions": [
            {name: getattr(row, name) for name in _READ} for row in card.directions.values()
        ],
        "activated_percent": card.activated._asdict() if card.activated else None,
        "patterns": card.patterns,
        "patterns_of_controls": card.control_patterns,
        "own": [score._asdict() for score in card.own],
        "elsewhere": [score._asdict() for score in card.elsewhere],
        "texts": [score._asdict() for score in card.texts],
        "surprising": card.surprise.sentence if card.surprise else None,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    evidence, figure = finding.candidate.evidence, finding.candidate.figure
    return {
        "kind": finding.kind,
        "models": list(finding.subjects),
        "sentence": finding.sentence,
        "value": evidence.estimate.value,
        "yardsticks": {each.name: each.value for each in evidence.yardsticks},
        "size": finding.size,
        "q": finding.q,
        "others": finding.others,
        "figure": {
            "analysis": figure.analysis, "view": figure.view, "measure": figure.measure,
            "at": dict(figure.at),
        },
    }  # fmt: skip


def _measured(db: Database, run: RunSummary) -> Measured:
    scored = "evaluation" in run.analyses
    better = runs.catalogue(db, run.id, "evaluation").better if scored else {}
    return Measured(
        family=_family(db, run),
        rows={
            name: runs.measurements(db, run.id, name, query)
            for name, query in QUERIES.items()
            if name in run.analyses
        },
        higher={metric: direction == "higher" for metric, direction in better.items()},
    )


def _family(db: Database, run: RunSummary) -> Family:
    """The models of a run's study, and the domains of its tasks; only the models if this version
    can't read the study."""
    try:
        study = runs.study_of(db, run.id)
    except RunError:
        return Family(models=run.models, controls=run.controls)
    evaluation = study.evaluation
    return Family(
        models=run.models,
        controls=run.controls,
        parents={name: m.parent for name, m in study.models.tuned.items() if m.parent},
        domains=dict(evaluation.tasks) if evaluation else {},
        owners=dict(evaluation.reference) if evaluation else {},
    )
