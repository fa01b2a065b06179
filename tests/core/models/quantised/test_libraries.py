"""The same numbers as the libraries' own dequantisation gives, where they run on a CPU.

compressed-tensors and bitsandbytes are no dependencies: their tests run where they are installed.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.models.checkpoint import open_directory
from tests.conftest import Tensors, write_model
from tests.core.models.quantised import quantisers as q
from tests.core.models.quantised.formats import FORMS


def _read(folder: Path, settings: dict[str, Any], stored: Tensors, name: str) -> torch.Tensor:
    config = {"model_type": "x", "dtype": "bfloat16", "quantization_config": settings}
    opened = open_directory(write_model(folder, config, stored))
    info = opened.tensors[name]
    return opened.read(name, 0, info.rows).reshape(info.shape)


def _weight(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 0.1


def test_transformers_fp8(tmp_path: Path) -> None:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    made = q.fp8(8, 16, "weight_scale_inv", lambda s: s)(_weight(32, 64).double().numpy())
    stored = {f"a.{name}": t for name, t in made.stored.items()}
    theirs = Fp8Dequantize(None)._dequantize_one(
        stored["a.weight"], stored["a.weight_scale_inv"], torch.bfloat16
    )
    settings = {"quant_method": "fp8", "weight_block_size": [8, 16]}
    assert torch.equal(_read(tmp_path, settings, stored, "a.weight"), theirs)


def test_transformers_mxfp4(tmp_path: Path) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    made = q.mxfp4(_weight(3, 64, 10).double().numpy())
    theirs = convert_moe_packed_tensors(made.stored["_blocks"], made.stored["_scales"])
    stored = {f"experts.down_proj{name}": t for name, t in made.stored.items()}
    ours = _read(tmp_path, {"quant_method": "mxfp4"}, stored, "experts.down_proj")
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["int4", "int4 zero", "int3", "int8", "fp8", "fp8 block", "nvfp4"])
def test_compressed_tensors(kind: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compressors = pytest.importorskip("compressed_tensors.compressors")
        quantization = pytest.importorskip("compressed_tensors.quantization")
    given: dict[str, Any] = {
        "int4": {"num_bits": 4, "strategy": "group", "group_size": 16},
        "int4 zero": {"num_bits": 4, "strategy": "group", "group_size": 16, "symmetric": False},
        "int3": {"num_bits": 3, "strategy": "channel"},
        "int8": {"num_bits": 8, "strategy": "channel"},
        "fp8": {"num_bits": 8, "type": "float", "strategy": "channel"},
        "fp8 block": {"num_bits": 8, "type": "float", "strategy": "block",
                      "block_structure": [10, 24]},
        "nvfp4": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
    }[kind]  # fmt: skip
    args = quantization.QuantizationArgs(**given)
    scheme = quantization.QuantizationScheme(targets=["Linear"], weights=args)
    weight = _weight(32, 64)
    groups = {"group": 4, "tensor_group": 4}.get(given["strategy"], 1)
    rows = 4 if given["strategy"] == "block" else 32
    groups = 3 if given["strategy"] == "block" else groups
    state = {"weight": weight.bfloat16(), "weight_scale": torch.rand(rows, groups) / 9 + 0.01}
    state["weight_scale"] = state["weight_scale"].bfloat16()
    if kind == "nvfp4":
        state["weight_global_scale"] = torch.tensor([37.0])
        state["weight_scale"] = state["weight_scale"] * 37
    if kind == "int4 zero":
        state["weight_zero_point"] = torch.randint(-8, 8, (32, 4), dtype=torch.int8)
    name = {"nvfp4": "nvfp4-pack-quantized", "int8": "int-quantized", "fp8": "float-quantized",
            "fp8 block": "float-quantized"}.get(kind, "pack-quantized")  # fmt: skip
    compressor = compressors.BaseCompressor.get_value_from_registry(name)
    stored = compressor.compress(dict(state), scheme)
    theirs = compressor.decompress(dict(stored), scheme)["weight"]
    settings = {
        "quant_method": "compressed-tensors", "format": name,
        "config_groups": {"group_0": {"weights": args.model_dump(mode="json")}},
    }  # fmt: skip
    ours = _read(tmp_path, settings, {f"a.{n}": t for n, t in stored.items()}, "a.weight")
    assert torch.equal(ours, theirs.bfloat16())


@pytest.mark.parametrize("kind", ["nf4", "fp4", "nf4 twice"])
def test_bitsandbytes_in_4_bits(kind: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functional = pytest.importorskip("bitsandbytes.functional")
    weight = _weight(48, 41).bfloat16()
    packed, state = functional.quantize_4bit(
        weight, blocksize=64, quant_type=kind[:3], compress_statistics="twice" in kind
    )
    theirs = functional.dequantize_4bit(packed, state)
    stored = {f"a.weight.{n}": t for n, t in state.as_dict(packed=True).items()}
    ours = _read(
        tmp_path, FORMS["nf4 twice"].settings, {"a.weight": packed, **stored}, "a.weight"
    )  # fmt: skip
    np.testing.assert_allclose(ours.float(), theirs.float(), rtol=2**-8)
    assert (ours == theirs).float().mean() > 0.95


def test_bitsandbytes_in_8_bits(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functional = pytest.importorskip("bitsandbytes.functional")
    codes, scb, _ = functional.int8_vectorwise_quant(_weight(48, 41).half())
    theirs = functional.int8_vectorwise_dequant(codes, scb)
    stored = {"a.weight": codes, "a.SCB": scb}
    ours = _read(tmp_path, FORMS["bitsandbytes of 8 bits"].settings, stored, "a.weight")
    np.testing.assert_allclose(ours.float(), theirs.float(), rtol=2**-8)
