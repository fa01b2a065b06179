"""A model in memory with an adapter over it computes with the tensors that are read of it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from core.errors import CheckpointError
from core.models.adapters.checkpoint import Adapter
from core.models.family import Member
from core.models.loading import loaded
from core.study.study import Run
from tests.core.models.adapters.cases import BASES, CASES, by_hand, noisy, tensor, trained
from tests.core.models.adapters.memory import InMemory

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

IDS = torch.tensor([[3, 7, 5, 9, 11, 1]])


def opened(plain: Any, folder: Path) -> Adapter:
    """The adapter in the folder over the base, which is saved beside it."""
    plain.save_pretrained(folder / "base")
    over = InMemory(plain)
    over.where = str(folder / "base")
    return Adapter(folder / "adapter", over)


def computed(adapter: Adapter, *, merged: bool) -> torch.Tensor:
    folder = Path(adapter.where)
    member = Member("a", adapter.where, folder, adapter, "f", None, False, {})
    run = Run(device="cpu", dtype="float32")
    with loaded(member, run, merged=merged) as model, torch.no_grad():
        module: Any = model.module
        module.tie_weights()  # as the harness does
        logits: torch.Tensor = module(IDS).logits
        return logits


def expected(plain: Any, adapter: Adapter) -> torch.Tensor:
    """The logits of a plain model that holds each tensor as it is read."""
    model = deepcopy(plain).eval()
    if adapter.vocabulary:
        model.resize_token_embeddings(adapter.vocabulary, mean_resizing=False)
    if adapter.head:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensor(adapter, name))
        logits: torch.Tensor = model(IDS).logits
    return logits


def agrees(plain: Any, folder: Path, *ways: bool) -> Adapter:
    """Hold a forward pass against the tensors, with the adapter merged or not."""
    adapter = opened(plain, folder)
    wanted = expected(plain, adapter)
    for merged in ways or (False,):
        logits = computed(adapter, merged=merged)
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
    return adapter


@pytest.mark.parametrize(
    "case",
    ["dora", "ia3", "pissa", "norms", "tied saved", "tied embedding", "tied head tokens",
     "experts", "vision-language"],
)  # fmt: skip
def test_the_forward_pass_is_that_of_the_tensors(case: str, tmp_path: Path) -> None:
    base, kind, settings = CASES[case]
    ways = (False, True) if case.startswith("tied") else (False,)
    agrees(trained(base, kind, settings, tmp_path / "adapter"), tmp_path, *ways)


def test_a_tied_head_stays_as_it_was_in_training(tmp_path: Path) -> None:
    """Factors over the embedding leave the head alone, which PEFT's merging would change."""
    plain = trained("tied", "LORA", {"target_modules": ["embed_tokens"]}, tmp_path / "adapter")
    adapter = agrees(plain, tmp_path, False, True)
    assert adapter.head
    assert not adapter.config["tie_word_embeddings"]
    before = plain.model.embed_tokens.weight
    torch.testing.assert_close(tensor(adapter, "lm_head.weight"), before.detach())
    assert not torch.allclose(tensor(adapter, "model.embed_tokens.weight"), before)


@pytest.mark.parametrize("base", ["llama", "tied"])
@pytest.mark.parametrize(
    "settings",
    [{"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
     {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
     {"target_modules": ["q_proj"], "trainable_token_indices": [2, 41]}],
    ids=["saved", "adapted", "tokens"],
)  # fmt: skip
def test_a_vocabulary_that_grew(base: str, settings: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = BASES[base]()
    plain.save_pretrained(tmp_path / "base")
    grown = type(plain).from_pretrained(tmp_path / "base")
    grown.resize_token_embeddings(44, mean_resizing=False)
    model = peft.get_peft_model(grown, peft.LoraConfig(r=4, **settings))
    model.requires_grad_(True)
    noisy(model, "lora_", "modules_to_save", "trainable_tokens")
    model.save_pretrained(tmp_path / "adapter")
    adapter = agrees(plain, tmp_path, base == "tied")
    assert adapter.vocabulary == 44
    torch.testing.assert_close(computed(adapter, merged=False), model.eval()(IDS).logits.detach())


def test_names_that_peft_would_miss(tmp_path: Path) -> None:
    """An adapter of the language model alone, over a model that also sees."""
    torch.manual_seed(0)
    plain = BASES["gemma3"]()
    names = {f"model.layers.{i}.mlp.down_proj": (32, 48) for i in (0, 1)}
    by_hand(tmp_path / "adapter", {"target_modules": ["down_proj"]}, names)
    adapter = agrees(plain, tmp_path)
    assert adapter.moved
    assert not torch.allclose(computed(adapter, merged=False), plain.eval()(IDS).logits, atol=1e-3)


def test_rows_of_a_head_that_were_not_saved(tmp_path: Path) -> None:
    """The weights can be compared; a forward pass would take chance for the missing rows."""
    torch.manual_seed(0)
    plain = BASES["llama"]()
    plain.save_pretrained(tmp_path / "base")
    grown = type(plain).from_pretrained(tmp_path / "base")
    grown.resize_token_embeddings(44, mean_resizing=False)
    model = peft.get_peft_model(grown, peft.LoraConfig(r=4, target_modules=["embed_tokens"]))
    model.save_pretrained(tmp_path / "adapter")
    adapter = opened(plain, tmp_path)
    assert tensor(adapter, "model.embed_tokens.weight").shape == (44, 32)
    with pytest.raises(CheckpointError, match="the output head has 40"):
        computed(adapter, merged=False)


def test_an_adapter_whose_names_do_not_match_is_refused(tmp_path: Path) -> None:
    """PEFT itself would go on with an adapter that does nothing."""
    plain = trained("llama", "LORA", {"target_modules": ["q_proj"]}, tmp_path / "adapter")
    adapter = opened(plain, tmp_path)
    settings = tmp_path / "adapter" / "adapter_config.json"
    settings.write_text(settings.read_text().replace('"q_proj"', '"q_proj", "k_proj"'))
    with pytest.raises(CheckpointError, match="lacks tensors that its settings ask for"):
        computed(adapter, merged=False)
