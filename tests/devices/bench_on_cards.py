"""The bench on a card finds the processor's numbers.

Run by test_on_cards.py on two pretended cards, in a process of its own, and by `make gpu`.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from core.bench.messages import Scored
from tests.core import state_family, zoo
from tests.core.bench import tried

PRETENDED: Any = sys.modules.get("tests.devices.pretended")
LAST = torch.cuda.device_count() - 1

NEAR = 1e-6 if PRETENDED else 1e-4
COLUMNS = (
    "base", "tuned0", "tuned0=0.7,tuned1=-0.4", "ties(density=0.5):tuned0=1,tuned1=1",
    "dare(density=0.5,seed=1):tuned0=1 @ mlp", "graft(tuned0,rank=2):mlp,0", "amplify(tuned0):1.5",
    "ablate(tuned0):heads=1.2", "ablate(tuned0):neurons=0.3,1.17", "steer(tuned0,layer=0):2",
)  # fmt: skip


def test_every_kind_of_column_has_the_same_numbers_on_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.build("llama", tmp_path, models=2)
    if PRETENDED:
        monkeypatch.setattr(torch, "compile", None)
    study_of = state_family.study_of

    def scored(device: str) -> list[Scored]:
        asked = study_of(tmp_path, "tuned0", "tuned1")
        placed = asked.model_copy(update={"run": asked.run.model_copy(update={"device": device})})
        monkeypatch.setattr(state_family, "study_of", lambda *_: placed)
        with tried.opened(tmp_path) as bench:
            return tried.scored(bench, *COLUMNS)

    expected = scored("cpu")
    with PRETENDED.cards() if PRETENDED else nullcontext() as ledger:
        on_card = scored(f"cuda:{LAST}")
    for column, one, other in zip(COLUMNS, on_card, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=NEAR), column
        assert one.kl == pytest.approx(other.kl, abs=NEAR), column
    assert ledger is None or not ledger.flights.changed
