"""A change of stored q values, or of intervals, computes them anew, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.engine.measurement import content_key
from core.engine.runner import planned_units
from core.engine.subject import Subject, open_subject
from core.statistics import comparison, multiplicity
from tests.core import harness_zoo


@pytest.fixture
def subject(family_folders: dict[str, Path], task_folder: Path) -> Subject:
    asked = {
        "ablation": {"selections": ["top-20%"], "controls": 2},
        "arithmetic": {"points": ["medical=0.5"]},
    }
    study = harness_zoo.study_of(
        family_folders["base"], {"medical": family_folders["medical"]}, task_folder, analyses=asked
    )
    return open_subject(study, ["texts", "tasks"])


@pytest.mark.parametrize("analysis", ["ablation", "divergence", "graft"])
def test_the_version_of_q_values_is_part_of_the_key_of_their_unit_alone(
    subject: Subject, analysis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = planned_units(subject, [analysis])
    made = {unit.key: unit for unit in units if unit.analysis == analysis}
    corrected = next(unit for unit in made.values() if not unit.loads)
    earlier: dict[str, Any] = {"of": corrected.requires, **corrected.options}
    for version in (1, 2, 3):
        assert content_key({"analysis": [analysis, version], **earlier}) not in made
    assert _anew(subject, analysis, multiplicity, monkeypatch) == [corrected.label]


@pytest.mark.parametrize(
    ("analysis", "kept"),
    [
        ("ablation", ("ranked on", "whole on")), ("arithmetic", ()), ("divergence", ()),
        ("evaluation", ()), ("graft", ("grafts of modules", "grafts of single layers")),
    ],
)  # fmt: skip
def test_the_version_of_intervals_is_part_of_the_keys_of_units_that_make_them(
    subject: Subject, analysis: str, kept: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [unit for unit in planned_units(subject, [analysis]) if unit.analysis == analysis]
    anew = [each.label for each in units if not any(words in each.label for words in kept)]
    assert _anew(subject, analysis, comparison, monkeypatch) == anew
    assert anew


def _anew(
    subject: Subject, analysis: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The labels of an analysis' units with another key after a new version of a module."""
    before = {unit.key for unit in planned_units(subject, [analysis])}
    monkeypatch.setattr(module, "VERSION", vars(module)["VERSION"] + 1)
    after = planned_units(replace(subject, planned={}), [analysis])
    return [each.label for each in after if each.key not in before and each.analysis == analysis]
