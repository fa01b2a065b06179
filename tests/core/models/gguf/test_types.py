"""Every type of blocks, against what transformers and gguf make of it, and steps by brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers as hf
from gguf.quants import dequantize

from core.models.gguf import steps
from core.models.gguf.header import PLAIN, TYPES
from core.models.identity import Identities
from core.models.opening import open_folder
from core.models.parameters import CheckpointParameters
from tests.core.models.gguf import zoo
from tests.core.models.gguf.writer import Quantise, as_type, blocks, random_blocks, write

QUANTISED = [name for name, _, _ in TYPES.values() if name not in PLAIN]
CASES: dict[str, tuple[str, Quantise]] = {
    **{f"llama {word}": ("llama", as_type(word)) for word in ("F16", "BF16", "Q8_0", "Q4_0")},
    "qwen2": ("qwen2", as_type("Q5_1")),
    "qwen3_moe": ("qwen3_moe", as_type("Q8_0")),
    "gemma2": ("gemma2", as_type("Q4_1")),
    "gemma3": ("gemma3", as_type("BF16")),
    "gpt2": ("gpt2", as_type("Q5_0")),
    "gpt2 in half": ("gpt2", as_type("F16")),
    "bloom": ("bloom", as_type("Q4_0")),
    "mamba": ("mamba", as_type("Q8_0")),
}


_BY_DEFAULT: dict[str, dict[str, Any]] = {
    "qwen3_moe": {"moe_intermediate_size": 768}, "gpt2": {"n_inner": None, "n_positions": 1024},
}  # fmt: skip
"""Sizes that transformers takes from its classes and not from the file."""


def _opened(file: Path) -> CheckpointParameters:
    return open_folder(file, False, Identities())


def _whole(opened: CheckpointParameters, name: str) -> torch.Tensor:
    info = opened.tensors[name]
    return opened.read(name, 0, info.rows).reshape(info.shape)


def _as_transformers(file: Path) -> dict[str, torch.Tensor]:
    model = hf.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    return dict(model.state_dict())


@pytest.mark.parametrize("case", CASES)
def test_what_is_streamed_is_what_transformers_loads(case: str, tmp_path: Path) -> None:
    name, quantise = CASES[case]
    zoo.build(name, tmp_path / "plain", **_BY_DEFAULT.get(name, {}))
    file = write(tmp_path / "plain", tmp_path / "x.gguf", quantise)
    opened, theirs = _opened(file), _as_transformers(file)
    assert opened.tensors.keys() | opened.aliases.keys() == theirs.keys()
    for parameter in opened.tensors:
        assert torch.equal(_whole(opened, parameter).float(), theirs[parameter]), parameter


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with rows of 256 elements, which most types need."""
    folder = tmp_path_factory.mktemp("wide")
    zoo.build(
        "llama", folder / "plain", hidden_size=256, intermediate_size=256, head_dim=64,
        num_hidden_layers=1,
    )  # fmt: skip
    return folder / "plain"


def test_all_types_in_one_file(wide: Path, tmp_path: Path) -> None:
    known = [word for word in QUANTISED if word != "Q4_K"]
    for number, words in enumerate((known[:7], known[7:14], known[14:], ["Q4_K", "Q6_K"])):
        file = write(wide, tmp_path / f"{number}" / "x.gguf", random_blocks(*words))
        opened, theirs = _opened(file), _as_transformers(file)
        for parameter in opened.tensors:
            assert torch.equal(_whole(opened, parameter), theirs[parameter]), parameter


@pytest.mark.parametrize("name", ["llama", "qwen3_moe", "gpt2", "bloom", "qwen35"])
def test_any_rows_are_those_of_the_whole(name: str, tmp_path: Path) -> None:
    zoo.build(name, tmp_path / "plain")
    file = write(tmp_path / "plain", tmp_path / "x.gguf", as_type("Q8_0"))
    opened, rng = _opened(file), np.random.default_rng(0)
    for parameter, info in opened.tensors.items():
        whole = opened.read(parameter, 0, info.rows)
        energy = [opened.rounding(parameter, i, i + 1) for i in range(info.rows)]
        for _ in range(4):
            start, stop = sorted(rng.choice(info.rows + 1, 2, replace=False))
            assert torch.equal(opened.read(parameter, start, stop), whole[start:stop]), parameter
            if energy[0] is not None:
                assert opened.rounding(parameter, start, stop) == pytest.approx(
                    sum(e or 0.0 for e in energy[start:stop])
                )


def test_each_stored_byte_is_read_once(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path / "plain")
    file = write(tmp_path / "plain", tmp_path / "x.gguf", as_type("Q4_0"))
    opened = _opened(file)
    for parameter, info in opened.tensors.items():
        half = info.rows // 2 // 8 * 8  # whole heads
        opened.read(parameter, 0, half)
        opened.read(parameter, half, info.rows)
    reader = gguf.GGUFReader(file)
    assert opened.bytes_read == sum(tensor.n_bytes for tensor in reader.tensors)


_LOWEST: dict[str, tuple[int, int, int]] = {
    "Q4_0": (2, 18, 0x11), "Q4_1": (4, 20, 0x11), "Q5_0": (6, 22, 0x11), "Q5_1": (8, 24, 0x11),
    "Q8_0": (2, 34, 0x01), "Q2_K": (16, 80, 0x55), "Q3_K": (32, 96, 0x55), "Q4_K": (16, 144, 0x11),
    "Q5_K": (48, 176, 0x11), "Q6_K": (0, 128, 0x11), "TQ2_0": (0, 64, 0x55),
}  # fmt: skip
"""The bytes of a block that hold the lowest bits of the codes, and those bits."""


@pytest.mark.parametrize("word", _LOWEST)
def test_the_step_is_what_the_lowest_bit_of_a_code_is_worth(word: str) -> None:
    kind, (start, stop, bits) = gguf.GGMLQuantizationType[word], _LOWEST[word]
    made = _blocks(word)
    flipped = made.copy()
    flipped[:, start:stop] ^= bits
    values, others = dequantize(made, kind), dequantize(flipped, kind)
    wanted = np.square(values.astype(float) - others).sum(1) / 12
    np.testing.assert_allclose(_energy(word, made), wanted, rtol=1e-6)


def test_a_ternary_step_is_the_size_of_what_is_not_zero() -> None:
    made = _blocks("TQ1_0")
    values = dequantize(made, gguf.GGMLQuantizationType.TQ1_0).astype(float)
    np.testing.assert_allclose(_energy("TQ1_0", made), 256 * np.abs(values).max(1) ** 2 / 12)


@pytest.mark.parametrize("word", ["IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4"])
def test_levels_of_a_table_have_the_cells_between_their_neighbours(word: str) -> None:
    kind = gguf.GGMLQuantizationType[word]
    table = gguf.quants.IQ4_NL if word.startswith("IQ4") else gguf.quants.MXFP4
    levels = np.unique(np.array(table.kvalues, float))
    made = _blocks(word)
    values = dequantize(made, kind).astype(float)
    group = 16 if word == "NVFP4" else 32
    wanted = np.zeros(len(made))
    for row, each in enumerate(values.reshape(len(made), -1, group)):
        for run in each:
            if not run.any():
                continue
            # the one scale at which all of the group's values are levels
            scale = next(
                s for level in levels[levels != 0]
                if (s := run[np.abs(run).argmax()] / level)
                and np.abs(run[:, None] / s - levels).min(1).max() < 1e-4
            )  # fmt: skip
            for value in run / scale:
                index = int(np.abs(levels - value).argmin())
                below = levels[index] - levels[index - 1] if index else levels[1] - levels[0]
                above = levels[index + 1] - levels[index] if index + 1 < len(levels) else below
                h = np.array([below, above]) / 2
                wanted[row] += (h**3).sum() / (3 * h.sum()) * scale**2
    np.testing.assert_allclose(_energy(word, made), wanted, rtol=1e-3)


def test_codebooks_are_said_to_have_no_step() -> None:
    for word in QUANTISED:
        energies = _energy(word, _blocks(word))
        assert (energies == 0).all() == (word in steps.NOT_ESTIMATED), word


def _blocks(word: str) -> Any:
    kind = gguf.GGMLQuantizationType[word]
    elements = gguf.GGML_QUANT_SIZES[kind][0]
    return blocks(kind, (6, elements), np.random.default_rng(1))


def _energy(word: str, made: Any) -> Any:
    kind = gguf.GGMLQuantizationType[word]
    return steps.energy(word, made, lambda some: dequantize(some, kind))
