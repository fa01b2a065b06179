"""A sample of the model types that transformers offers; `make models` examines all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import configs, examination, families

SAMPLE = (
    "llama", "llama-tied", "gpt2", "phi3", "mixtral", "qwen2_moe", "gemma2", "gpt_neox", "opt",
    "qwen3_next", "gpt_oss", "deepseek_v3", "glm4_moe", "llama4", "gemma3n_text", "gemma4",
    "gemma4-shared-kv", "lfm2", "falcon_h1", "nemotron_h-experts", "mamba2", "bloom", "falcon-old",
    "qwen2_5_vl", "minimax", "mistral3-ministral3", "inkling_text", "kimi_linear", "bart",
)  # fmt: skip
"""Types that are unlike one another, each of which tauscope has to get right in every part."""

SCARCE = {"inkling_text": 0.75, "bart": 0.6}
"""The share of the layers' parameters with a role where it is small: relative positions and the
gates of attention in the one, attention to an encoder in the other have none."""

# What transformers itself warns of is examined with as it is.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("name", SAMPLE)
def test_weights_study_and_merge_are_right(name: str, room: Path) -> None:
    row = examination.examine(families.family(name, room))
    notes = {part: getattr(row, part).note for part in ("weights", "study", "merge")}
    assert row.weights.good, notes
    assert row.study.good, notes
    assert row.merge.good, notes
    assert row.share is not None
    assert row.share > SCARCE.get(name, 0.95)


def test_every_type_that_generates_text_has_an_entry() -> None:
    from transformers.models.auto import modeling_auto

    offered = {
        *modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    }
    assert {entry.model_type for entry in configs.entries().values()} >= offered
    assert set(SAMPLE) <= set(configs.entries())
