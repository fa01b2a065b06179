"""Every format against numbers that an independent quantiser gives, and against libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import CheckpointError
from core.models.checkpoint import open_directory
from core.models.quantised.checkpoint import Dequantised
from tests.conftest import Tensors, write_model
from tests.core.models.quantised import quantisers as q
from tests.core.models.quantised.formats import FORMS, Form

MATRICES = {
    "model.layers.0.self_attn.q_proj": (32, 32),
    "model.layers.0.self_attn.k_proj": (16, 32),
    "model.layers.0.mlp.down_proj": (32, 64),
}


def _random(shape: tuple[int, ...], seed: int) -> q.Floats:
    return np.random.default_rng(seed).normal(size=shape) * 0.1


def _plain() -> Tensors:
    return {
        "model.embed_tokens.weight": torch.randn(20, 32).bfloat16(),
        "model.norm.weight": torch.randn(32),
    }


def _folder(
    folder: Path, form: Form, dtype: str = "float32", extra: Tensors | None = None
) -> tuple[Path, Tensors, dict[str, q.Made]]:
    plain = _plain()
    stored: Tensors = {}
    made: dict[str, q.Made] = {}
    for seed, (module, shape) in enumerate(MATRICES.items()):
        quantised = form.make(_random(shape, seed))
        made[f"{module}.weight"] = quantised
        stored |= {f"{module}.{name}": t for name, t in quantised.stored.items()}
    config = {"model_type": "llama", "dtype": dtype, "quantization_config": form.settings}
    write_model(folder, config, {**plain, **stored, **(extra or {})})
    return folder, plain, made


@pytest.mark.parametrize("name", FORMS)
def test_a_format_is_read_as_its_quantiser_meant_it(name: str, tmp_path: Path) -> None:
    folder, plain, made = _folder(tmp_path / "m", FORMS[name])
    opened = open_directory(folder)
    assert set(opened.tensors) == set(plain) | set(made)
    assert opened.config == {"model_type": "llama", "dtype": "float32"}
    for tensor, stored in plain.items():
        info = opened.tensors[tensor]
        assert torch.equal(opened.read(tensor, 0, info.rows).reshape(stored.shape), stored)
    for tensor, meant in made.items():
        info = opened.tensors[tensor]
        assert (info.dtype, info.shape) == (torch.float32, meant.values.shape)
        whole = opened.read(tensor, 0, info.rows)
        np.testing.assert_allclose(whole.numpy(), meant.values, rtol=1e-6, atol=1e-9)
        for start, stop in ((0, 1), (3, 14), (info.rows - 1, info.rows)):
            assert torch.equal(opened.read(tensor, start, stop), whole[start:stop])


@pytest.mark.parametrize("name", FORMS)
def test_the_energy_of_rounding_is_that_of_the_cells(name: str, tmp_path: Path) -> None:
    folder, plain, made = _folder(tmp_path / "m", FORMS[name])
    opened = open_directory(folder)
    assert isinstance(opened, Dequantised)
    assert opened.rounding(next(iter(plain)), 0, 2) is None
    for tensor, meant in made.items():
        for start, stop in ((2, 9), (0, meant.values.shape[0])):
            energy = opened.rounding(tensor, start, stop)
            assert energy == pytest.approx(meant.energy[start:stop].sum(), rel=1e-4)


@pytest.mark.parametrize("name", ["fp8 by blocks", "int4 in groups", "gptq", "nf4 twice"])
def test_the_energy_is_about_what_was_lost(name: str, tmp_path: Path) -> None:
    weight = _random((64, 128), 7)
    made = FORMS[name].make(weight)
    assert made.energy.sum() == pytest.approx(((weight - made.values) ** 2).sum(), rel=0.2)


def test_reading_rounds_to_the_model_s_dtype(tmp_path: Path) -> None:
    folder, _, made = _folder(tmp_path / "m", FORMS["awq"], dtype="bfloat16")
    opened = open_directory(folder)
    for tensor, meant in made.items():
        rows = opened.read(tensor, 0, len(meant.values))
        assert torch.equal(rows, torch.from_numpy(meant.values).float().bfloat16())
    (folder / "config.json").write_text(
        json.dumps({"model_type": "llama", "quantization_config": FORMS["awq"].settings})
    )
    assert open_directory(folder).tensors[next(iter(made))].dtype == torch.bfloat16


def test_scales_of_activations_and_caches_are_no_tensors_of_the_model(tmp_path: Path) -> None:
    prefix = "model.layers.0.self_attn"
    extra = {f"{prefix}.q_proj.input_scale": torch.ones(1), f"{prefix}.k_scale": torch.ones(())}
    folder, plain, made = _folder(tmp_path / "m", FORMS["fp8 by tensors"], extra=extra)
    assert set(open_directory(folder).tensors) == set(plain) | set(made)


def _experts(folder: Path, name: str, stored: Tensors, method: str) -> Path:
    config = {
        "model_type": "x",
        "dtype": "float32",
        "quantization_config": {"quant_method": method},
    }
    return write_model(folder, config, {f"{name}{k}": t for k, t in stored.items()})


def test_the_experts_of_gpt_oss_are_turned_as_the_model_holds_them(tmp_path: Path) -> None:
    made = q.mxfp4(_random((3, 64, 10), 3))
    folder = _experts(tmp_path, "mlp.experts.gate_up_proj", made.stored, "mxfp4")
    opened = open_directory(folder)
    assert isinstance(opened, Dequantised)
    info = opened.tensors["mlp.experts.gate_up_proj"]
    assert info.shape == (3, 64, 10)
    want = torch.from_numpy(made.values).float().reshape(-1, 10)
    assert torch.equal(opened.read("mlp.experts.gate_up_proj", 0, 192), want)
    assert torch.equal(opened.read("mlp.experts.gate_up_proj", 50, 140), want[50:140])
    assert opened.rounding("mlp.experts.gate_up_proj", 50, 140) == pytest.approx(
        made.energy.reshape(-1, 10)[50:140].sum(), rel=1e-4
    )


@pytest.mark.parametrize("scale", ["blocks", "each", "outputs", "outputs as a column"])
def test_fp8_experts_in_one_tensor(scale: str, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 120, (3, 10, 8)).astype(np.uint8)
    scales = np.random.default_rng(1).random((3, 4, 2)) + 0.5
    each = scales.repeat(3, 1).repeat(4, 2)[:, :10]
    suffix, stored, method = "_scale_inv", scales, "fp8"
    settings: dict[str, Any] = {"weight_block_size": [3, 4]}
    if scale == "each":
        suffix, stored, settings = "_scale", scales[:, 0, 0], {}
        each = np.broadcast_to(stored[:, None, None], codes.shape)
    elif scale.startswith("outputs"):
        suffix, stored, method = "_scale", np.random.default_rng(2).random((3, 1, 8)), "fbgemm_fp8"
        each = np.broadcast_to(stored, codes.shape)
        stored = stored.swapaxes(1, 2) if "column" in scale else stored
    name = "mlp.experts.down_proj"
    config = {"model_type": "x", "dtype": "float32",
              "quantization_config": {"quant_method": method, **settings}}  # fmt: skip
    tensors = {name: torch.from_numpy(codes).view(torch.float8_e4m3fn),
               f"{name}{suffix}": q.tensor(stored)}  # fmt: skip
    opened = open_directory(write_model(tmp_path, config, tensors))
    want = (q.e4m3()[codes] * q.float32(each)).reshape(-1, 8)
    np.testing.assert_allclose(opened.read(name, 0, 30).numpy(), want, rtol=1e-6)
    np.testing.assert_allclose(opened.read(name, 7, 23).numpy(), want[7:23], rtol=1e-6)


def test_a_format_without_a_reader_is_refused_by_its_name(tmp_path: Path) -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": "hqq"}}
    tensors = {"model.layers.0.self_attn.q_proj.W_q": torch.zeros(4, 4, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="is quantised with 'hqq'") as error:
        open_directory(write_model(tmp_path, config, tensors))
    assert str(tmp_path) in error.value.title
    assert "gptq" in error.value.hint


def test_packed_tensors_without_settings_are_refused(tmp_path: Path) -> None:
    tensors = {"model.layers.0.self_attn.q_proj.qweight": torch.zeros(4, 4, dtype=torch.int32)}
    with pytest.raises(CheckpointError, match="doesn't say how"):
        open_directory(write_model(tmp_path, {"model_type": "llama"}, tensors))


@pytest.mark.parametrize("method", ["bitsandbytes", "hqq"])
def test_a_setting_left_over_beside_plain_floats_is_ignored_with_a_note(
    method: str, tmp_path: Path
) -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": method}}
    plain = _plain() | {"attn.bias": torch.ones(2, 2, dtype=torch.bool)}
    opened = open_directory(write_model(tmp_path, config, plain))
    assert isinstance(opened, Dequantised)
    assert (opened.method, opened.config) == ("", {"model_type": "llama"})
    assert method in opened.notes[0]
    norm = opened.read("model.norm.weight", 0, 32)
    assert torch.equal(norm.flatten(), plain["model.norm.weight"])


def _without(stored: Tensors, ending: str) -> Tensors:
    return {name: t for name, t in stored.items() if not name.endswith(ending)}


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("fp8 by blocks", lambda s: _without(s, "_inv"), "without a scale"),
        ("fp8 by blocks", lambda s: s | {"weight_scale_inv": torch.ones(5, 3)}, "don't divide"),
        ("int4 in groups", lambda s: _without(s, "_scale"), "weight_scale is missing"),
        ("int4 in groups", lambda s: s | {"weight_packed": torch.ones(32, 5).int()}, "no width"),
        ("int4 out of order", lambda s: s | {"weight_g_idx": torch.full((32,), 9)}, "groups"),
        ("gptq", lambda s: s | {"g_idx": torch.full((32,), 9)}, "groups"),
        ("gptq", lambda s: s | {"qzeros": torch.ones(1, 1).int()}, "doesn't fit"),
        ("gptq", lambda s: _without(s, "g_idx"), "doesn't fit"),
        ("awq", lambda s: _without(s, "scales"), "scales is missing"),
        ("nf4", lambda s: s | {"weight.absmax": torch.ones(2)}, "don't give"),
        ("nf4", lambda s: _without(s, "__nf4") | {
            "weight.quant_state.bitsandbytes__nf4": torch.ones(9).byte()}, "can't be understood"),
        ("bitsandbytes of 8 bits", lambda s: s | {"weight_format": torch.tensor(1).byte()}, "GPU"),
        ("bitsandbytes of 8 bits", lambda s: _without(s, "SCB"), "not a part of a"),
        ("gptq", lambda s: s | {"weight": torch.ones(4).char()}, "not a part of a"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_one_clear_error(
    name: str, damage: Callable[[Tensors], Tensors], words: str, tmp_path: Path
) -> None:
    made = FORMS[name].make(_random((32, 32), 0))
    config = {"model_type": "llama", "quantization_config": FORMS[name].settings}
    stored = {f"at.{k}": t for k, t in damage(made.stored).items()}
    folder = write_model(tmp_path, config, stored)
    with pytest.raises(CheckpointError, match=words) as error:
        open_directory(folder).read("at.weight", 0, 1)
    assert str(folder) in error.value.title


@pytest.mark.parametrize("bad", [{"bits": "four"}, {"bits": 4, "checkpoint_format": "marlin"}])
def test_settings_of_gptq_that_are_not_read(bad: dict[str, Any], tmp_path: Path) -> None:
    form = Form({"quant_method": "gptq", **bad}, q.gptq(4, 16, version=1))
    with pytest.raises(CheckpointError, match=r"GPTQ|bits"):
        open_directory(_folder(tmp_path, form)[0])


def test_bin_files_are_dequantised_too(tmp_path: Path) -> None:
    folder, _, made = _folder(tmp_path, FORMS["gptq"])
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    opened = open_directory(folder)
    name, meant = next(iter(made.items()))
    np.testing.assert_allclose(opened.read(name, 0, 32).numpy(), meant.values, rtol=1e-6, atol=1e-9)


def test_fingerprints_see_the_packed_numbers_and_the_scales(tmp_path: Path) -> None:
    folder, _, _ = _folder(tmp_path / "a", FORMS["gptq"])
    first = open_directory(folder).fingerprint()
    assert open_directory(folder).fingerprint() == first
    from safetensors.torch import load_file

    stored = load_file(folder / "model.safetensors")
    for part in ("qweight", "scales", "qzeros"):
        changed = {n: t.clone() for n, t in stored.items()}
        changed[f"model.layers.0.mlp.down_proj.{part}"].view(torch.uint8).flatten()[7] ^= 8
        config = json.loads((folder / "config.json").read_text())
        again = write_model(tmp_path / part, config, changed)
        assert open_directory(again).fingerprint() != first
