"""A change of stored q values computes them anew, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.engine.measurement import content_key
from core.engine.runner import planned_units
from core.engine.subject import open_subject
from core.statistics import multiplicity
from tests.core import harness_zoo


@pytest.mark.parametrize("analysis", ["ablation", "divergence", "graft"])
def test_the_version_of_q_values_is_part_of_the_key_of_their_unit_alone(
    family_folders: dict[str, Path],
    task_folder: Path,
    analysis: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = harness_zoo.study_of(
        family_folders["base"], {"medical": family_folders["medical"]}, task_folder,
        analyses={"ablation": {"selections": ["top-20%"], "controls": 2}},
    )  # fmt: skip
    subject = open_subject(study, ["texts", "tasks"])
    units = planned_units(subject, [analysis])
    made = {unit.key: unit for unit in units if unit.analysis == analysis}
    corrected = next(unit for unit in made.values() if not unit.loads)
    earlier: dict[str, Any] = {"of": corrected.requires, **corrected.options}
    for version in (1, 2, 3):
        assert content_key({"analysis": [analysis, version], **earlier}) not in made
    monkeypatch.setattr(multiplicity, "VERSION", multiplicity.VERSION + 1)
    again = planned_units(replace(subject, planned={}), [analysis])
    assert {unit.key for unit in units} - {unit.key for unit in again} == {corrected.key}
