"""Configurations whose counts and sizes no file bears out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import FamilyError
from core.models import plausibility
from core.models.outline import outline
from core.models.plausibility import Extent, extent_of, limited, refuse_implausible
from tests.conftest import tiny_tensors

HELD = Extent(1000, 151_936)


def test_what_files_hold_is_counted() -> None:
    assert extent_of({n: tuple(t.shape) for n, t in tiny_tensors().items()}) == (21, 24)
    assert extent_of({"scale": ()}) == (1, 0)
    assert extent_of({}) == (0, 0)


@pytest.mark.parametrize(
    "key",
    ["num_hidden_layers", "n_layer", "depth", "hidden_size", "vocab_size", "intermediate_size",
     "num_experts", "n_routed_experts", "num_local_experts", "num_key_value_heads", "head_dim",
     "n_embd", "d_model", "num_labels", "kv_lora_rank", "mamba_n_groups"],
)  # fmt: skip
@pytest.mark.parametrize("value", [10**7, 10**12, 10**4000], ids=["1e7", "1e12", "1e4000"])
def test_counts_and_sizes_are_bounded_wherever_they_stand(key: str, value: int) -> None:
    nested: list[dict[str, Any]] = [
        {key: value}, {"text_config": {key: value}}, {"a": {"b": {key: [1, value]}}},
    ]  # fmt: skip
    for config in nested:
        with pytest.raises(FamilyError, match=rf"config\.json states .*{key} = .*1,000 tensors"):
            refuse_implausible(Path("model"), config, HELD)


@pytest.mark.parametrize(
    "config",
    [{"max_position_embeddings": 10_485_760}, {"n_positions": 10**8}, {"sliding_window": 10**9},
     {"bos_token_id": 10**7}, {"rope_theta": 10**12}, {"num_training_steps": 10**8},
     {"image_token_index": -1, "pad_token_id": -1}, {"num_experts": 0, "num_local_experts": 0},
     {"vocab_size": 262_144, "num_hidden_layers": 126, "intermediate_size": [16_384] * 35},
     {"hidden_size": True, "vocab_size": None, "text_config": "x"}],
)  # fmt: skip
def test_what_may_be_large_or_is_no_number_is_left_alone(config: dict[str, object]) -> None:
    refuse_implausible(Path("model"), config, HELD)
    with pytest.raises(FamilyError, match="hidden_size = 10000000"):
        refuse_implausible(Path("model"), config | {"hidden_size": 10**7}, HELD)


def test_building_ends_where_it_would_not_end_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plausibility, "_MANY", 10)
    built: list[torch.nn.Module] = []

    def build() -> None:
        with limited(tmp_path, Extent(1, 8)):
            for _ in range(1000):
                built.append(torch.nn.Linear(1, 1, bias=False, device="meta"))

    with pytest.raises(FamilyError, match=r"more than 64 parameters"):
        build()
    assert len(built) == 64
    torch.nn.Linear(1, 1)  # nothing counts any more

    config = {"model_type": "llama", "num_hidden_layers": 64, "hidden_size": 16}
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_attention_heads": 4}))
    with pytest.raises(FamilyError, match=r"config\.json states a model of more than"):
        outline(tmp_path, config, extent=Extent(1, 16))
