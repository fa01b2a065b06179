"""Every architecture whose GGUF files are read, against the model that the file was made of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.models import loading
from core.models.family import Member
from core.models.identity import Identities
from core.models.opening import doubts_about, open_folder
from core.study.study import Run
from tests.core.models.gguf import zoo
from tests.core.models.gguf.writer import as_type, write

IDS = torch.tensor([[1, 5, 9, 30, 4, 4, 8, 19, 22, 3, 7, 11]])
_ALTERED = 1e-6  # an offset or an exponential that was done and undone in float32


def _member(file: Path) -> Member:
    opened = open_folder(file, False, Identities())
    return Member("one", str(file), file, opened, "", None, False, {})


def _streamed(file: Path) -> dict[str, torch.Tensor]:
    opened = open_folder(file, False, Identities())
    assert doubts_about(opened) == []
    return {
        name: opened.read(name, 0, info.rows).reshape(info.shape)
        for name, info in opened.tensors.items()
    }


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_a_file_gives_the_model_that_it_was_made_of(name: str, tmp_path: Path) -> None:
    model = zoo.build(name, tmp_path / "plain")
    file = write(tmp_path / "plain", tmp_path / "x.gguf", as_type("F32"))
    tensors, meant = _streamed(file), dict(model.state_dict())
    for tied in model.all_tied_weights_keys:
        del meant[tied]
    assert tensors.keys() == meant.keys()
    for parameter, values in meant.items():
        torch.testing.assert_close(tensors[parameter], values, rtol=0, atol=_ALTERED)
    with loading.loaded(_member(file), Run(device="cpu")) as there:
        logits = there.module(input_ids=IDS).logits
    torch.testing.assert_close(logits, model(input_ids=IDS).logits, rtol=1e-4, atol=1e-4)
