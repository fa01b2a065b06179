"""Heads against the logits of the models themselves, and heads of other members."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.models import family, loading
from core.states.head import Head, seeing_final
from core.study import study
from core.study.models import Models
from tests.core import zoo


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_the_head_turns_final_states_into_the_models_own_logits(name: str) -> None:
    model, batch = zoo.alive(name), zoo.batch()
    head = Head(model, zoo.anatomy_in(model.module).pieces)
    seen: list[torch.Tensor] = []
    with seeing_final(head, seen.append):
        expected = zoo.logits(model, batch)
    (final,) = seen
    logits = head.logits(final[1])
    torch.testing.assert_close(logits, expected[1], rtol=1e-5, atol=1e-5)
    assert head.vocabulary == expected.shape[-1]
    assert zoo.attached(model.module) == []


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_the_head_of_another_member_is_its_own(name: str, tmp_path: Path) -> None:
    """Tied to the embedding or not, and with a cap."""
    base, _ = zoo.build(name, tmp_path)
    models = Models(base=str(tmp_path / "base"), tuned={"tuned": str(tmp_path / "tuned0")})
    opened = family.open_family(models)
    batch = zoo.batch()
    seen: list[torch.Tensor] = []
    with loading.loaded(opened.tuned["tuned"], study.Run(device="cpu")) as model:
        module: Any = model.module
        before = module.get_output_embeddings()
        head = Head(model, opened.anatomy.pieces, of=opened.base)
        with seeing_final(Head(model, opened.anatomy.pieces), seen.append):
            zoo.logits(model, batch)
        states = seen[0][0]
        logits, normed = head.logits(states), head.norm(states)
        assert module.get_output_embeddings() is before
    base.eval()
    norm = base.transformer.ln_f if name == "gpt2" else base.model.norm
    expected = base.get_output_embeddings()(states)
    if name == "gemma2":
        expected = 30 * torch.tanh(expected / 30)
    with torch.no_grad():
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(normed, norm(states), rtol=1e-5, atol=1e-5)
