"""Models written as GGUF, as llama.cpp's converter lays them out (convert_hf_to_gguf.py).

What it does to names and numbers is done here again, from a saved model of transformers. None of it
uses the code under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.conftest import load_all
from tests.core.zoo import LETTERS

Array = NDArray[Any]
Quantise = Callable[[str, Array], tuple[Array, gguf.GGMLQuantizationType]]


def as_type(word: str) -> Quantise:
    """All matrices in one type, by gguf's own quantiser; vectors, and matrices whose rows are no
    whole blocks, as float32."""
    kind = gguf.GGMLQuantizationType[word]

    def quantise(name: str, values: Array) -> tuple[Array, gguf.GGMLQuantizationType]:
        if values.ndim < 2 or values.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
            return values.astype(np.float32), gguf.GGMLQuantizationType.F32
        if word == "F16":
            return values.astype(np.float16), kind
        return gguf.quantize(values.astype(np.float32), kind), kind

    return quantise


def random_blocks(*words: str, seed: int = 0) -> Quantise:
    """Matrices as blocks of random codes, their types in turn, with scales of a usual size: for
    types that gguf can't quantise to. Vectors are float32."""
    rng, turn = np.random.default_rng(seed), iter(range(10_000))

    def quantise(name: str, values: Array) -> tuple[Array, gguf.GGMLQuantizationType]:
        if values.ndim < 2:
            return values.astype(np.float32), gguf.GGMLQuantizationType.F32
        kind = gguf.GGMLQuantizationType[words[next(turn) % len(words)]]
        return blocks(kind, values.shape, rng), kind

    return quantise


def blocks(kind: gguf.GGMLQuantizationType, shape: tuple[int, ...], rng: Any) -> Array:
    """Random blocks of a type for a tensor of this shape, with scales that are numbers."""
    elements, width = gguf.GGML_QUANT_SIZES[kind]
    made = rng.integers(0, 256, (*shape[:-1], shape[-1] // elements, width)).astype(np.uint8)
    for offset in SCALES.get(kind.name, (0,)):
        scale = (0.001 * rng.uniform(0.5, 1.5, made.shape[:-1])).astype(np.float16)
        made[..., offset : offset + 2] = scale[..., None].view(np.uint8)
    if kind.name == "MXFP4":
        made[..., 0] = rng.integers(110, 120, made.shape[:-1])
    if kind.name == "NVFP4":
        made[..., :4] &= 0x3F
    if kind.name == "IQ1_M":  # four nibbles of the scale, above three numbers of other bits
        made[..., 48:56] &= 0x0F
        made[..., [51, 53, 55]] |= np.array([0x00, 0x40, 0x10], np.uint8)
    bytes_of: Array = made.reshape(*shape[:-1], -1)
    return bytes_of


SCALES: Mapping[str, tuple[int, ...]] = {
    "Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2),
    "Q5_K": (0, 2), "Q6_K": (208,), "TQ1_0": (52,), "TQ2_0": (64,), "MXFP4": (), "NVFP4": (),
    "IQ1_M": (),
}  # fmt: skip
"""Where a type has float16 scales, if not at the beginning of the block."""


def write(folder: Path, file: Path, quantise: Quantise, **changes: Any) -> Path:
    """The model in a folder as a GGUF file; `changes` are keys of the model's own settings."""
    import transformers as hf

    config = hf.AutoConfig.from_pretrained(folder)
    arch = ARCHITECTURES.get(config.model_type, config.model_type)
    file.parent.mkdir(parents=True, exist_ok=True)
    made = gguf.GGUFWriter(file, arch)
    for key, value in (_settings(arch, config) | changes).items():
        _add(made, key if key.startswith("split.") else f"{arch}.{key}", value)
    _add_tokeniser(made, config)
    layers = getattr(config, "num_hidden_layers", None) or config.n_layer
    number = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[arch]
    names = gguf.get_tensor_name_map(number, layers)
    for name, values in _tensors(arch, config, folder).items():
        asked = name.replace(".dt_bias", ".dt_proj.bias")
        gguf_name = names.get_name(asked, try_suffixes=(".weight", ".bias"))
        if name.endswith("e_score_correction_bias"):
            gguf_name = re.sub(r".*layers\.(\d+)\..*", r"blk.\1.exp_probs_b.bias", name)
        assert gguf_name is not None, name
        data, kind = quantise(gguf_name, values)
        made.add_tensor(gguf_name, data, raw_dtype=kind)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return file


ARCHITECTURES = {
    "mistral": "llama", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "gemma3_text": "gemma3",
    "minimax_m2": "minimax-m2", "gpt_oss": "gpt-oss", "qwen3_5_text": "qwen35",
}  # fmt: skip


def _add(made: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        made.add_bool(key, value)
    elif isinstance(value, int):
        made.add_uint32(key, value)
    elif isinstance(value, float):
        made.add_float32(key, value)
    elif isinstance(value, str):
        made.add_string(key, value)
    else:
        made.add_array(key, value)


def _settings(arch: str, config: Any) -> dict[str, Any]:
    def get(*names: str) -> Any:
        return next((v for n in names if (v := getattr(config, n, None)) is not None), None)

    heads, width = get("num_attention_heads", "n_head"), get("hidden_size", "n_embd")
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    size = get("head_dim") or (width // heads if heads else None)
    settings = {
        "block_count": get("num_hidden_layers", "n_layer"),
        "context_length": get("max_position_embeddings", "n_positions") or 64,
        "embedding_length": width,
        "feed_forward_length": get("intermediate_size", "n_inner", "ffn_hidden_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": get("num_key_value_heads", "num_kv_heads"),
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": get("rms_norm_eps", "norm_eps", "layer_norm_epsilon"),
        "attention.layer_norm_epsilon": get(
            "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps"
        ),
        "attention.sliding_window": get("sliding_window") if arch.startswith("gemma") else None,
        "rope.freq_base": rope.get("rope_theta"),
        "rope.dimension_count": int(size * rope.get("partial_rotary_factor", 1)) if size else None,
        "expert_count": get("num_experts", "num_local_experts"),
        "expert_used_count": get("num_experts_per_tok"),
        "expert_feed_forward_length": get("moe_intermediate_size"),
        "expert_shared_feed_forward_length": get("shared_expert_intermediate_size"),
        "vocab_size": config.vocab_size,
    }
    if arch == "falcon":
        settings["attention.head_count_kv"] = 1 if config.multi_query else heads
    if arch == "minimax-m2":
        settings |= {"expert_gating_func": 2, "rope.dimension_count": get("rotary_dim")}
    if arch == "mamba":
        settings |= {
            "ssm.conv_kernel": config.conv_kernel, "ssm.state_size": config.state_size,
            "ssm.time_step_rank": config.time_step_rank, "ssm.inner_size": config.intermediate_size,
        }  # fmt: skip
    if arch == "lfm2":
        kinds = config.layer_types
        settings |= {
            "attention.head_count_kv": [
                config.num_key_value_heads if kind == "full_attention" else 0 for kind in kinds
            ],
            "shortconv.l_cache": config.conv_L_cache,
        }
    if arch == "qwen35":
        settings |= {
            "ssm.conv_kernel": config.linear_conv_kernel_dim,
            "ssm.state_size": config.linear_key_head_dim,
            "ssm.group_count": config.linear_num_key_heads,
            "ssm.time_step_rank": config.linear_num_value_heads,
            "ssm.inner_size": config.linear_num_value_heads * config.linear_value_head_dim,
            "full_attention_interval": config.layer_types.index("full_attention") + 1,
            "rope.dimension_sections": [*rope["mrope_section"], 0],
        }
    return {key: value for key, value in settings.items() if value is not None}


def _add_tokeniser(made: Any, config: Any) -> None:
    """Single letters, as `tests.core.zoo.write_tokenizer` has them, and one pair of them."""
    tokens = ["<pad>", "<s>", "</s>", *(letter.replace(" ", "Ġ") for letter in LETTERS)]
    tokens += ["ab"]
    tokens += [f"[PAD{i}]" for i in range(len(tokens), config.vocab_size)]
    made.add_tokenizer_model("gpt2")
    made.add_token_list(tokens)
    made.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    made.add_token_merges(["a b"])
    made.add_bos_token_id(1)
    made.add_eos_token_id(2)
    made.add_pad_token_id(0)


def _tensors(arch: str, config: Any, folder: Path) -> dict[str, Array]:
    """The published tensors, turned and stacked as the converter does it."""
    tensors: dict[str, Array] = {}
    for name, tensor in load_all(folder).items():
        bare = name.removeprefix("transformer.") if arch == "bloom" else name
        tensors[bare] = _laid_out(arch, config, bare, tensor.float().numpy())
    return _stacked(tensors)


def _stacked(tensors: dict[str, Array]) -> dict[str, Array]:
    """The experts of a layer as one tensor, under the name that the first half of theirs has."""
    left: dict[str, Array] = {}
    stacks: dict[str, dict[int, Array]] = {}
    for name, values in tensors.items():
        match = re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", name)
        if match:
            which = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}.get(match[3], match[3])
            stacks.setdefault(f"{match[1]}.{which}.weight", {})[int(match[2])] = values
        else:
            left[name] = values
    joined = {
        name.replace("block_sparse_moe", "mlp"): np.stack([one[i] for i in sorted(one)])
        for name, one in stacks.items()
    }
    return left | joined


def _laid_out(arch: str, config: Any, name: str, values: Array) -> Array:
    if arch == "llama" and re.search(r"\.[qk]_proj\.", name):
        heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
        rows = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
        return rows.swapaxes(1, 2).reshape(values.shape)
    if arch in ("gemma2", "gemma3", "nemotron") and name.endswith("norm.weight"):
        return values + np.float32(1)
    if arch == "qwen35":
        return _qwen35(config, name, values)
    if arch == "gpt2" and re.search(r"\.c_(attn|proj|fc)\.weight$", name):
        return values.T
    if arch == "bloom" and "query_key_value" in name:
        heads = config.n_head
        parts = values.reshape(heads, 3, -1, *values.shape[1:])
        return np.concatenate([parts[:, i].reshape(-1, *values.shape[1:]) for i in range(3)])
    if arch == "mamba" and name.endswith("A_log"):
        return -np.exp(values)
    if name.endswith(("conv1d.weight", "conv.conv.weight")):
        return values.squeeze(1)
    if name.endswith("shared_expert_gate.weight"):
        return values.reshape(-1)
    return values


def _qwen35(config: Any, name: str, values: Array) -> Array:
    """Value heads tiled over the key heads, where transformers groups them by key head."""
    keys, size = config.linear_num_key_heads, config.linear_value_head_dim
    before = 2 * keys * config.linear_key_head_dim

    def tiled(rows: Array, head: int) -> Array:
        grouped = rows.reshape(keys, -1, head, *rows.shape[1:])
        return grouped.swapaxes(0, 1).reshape(rows.shape)

    if name.endswith(("in_proj_qkv.weight", "conv1d.weight")):
        flat = values.squeeze(1) if "conv1d" in name else values
        return np.concatenate([flat[:before], tiled(flat[before:], size)])
    if name.endswith("in_proj_z.weight"):
        return tiled(values, size)
    if name.endswith(("in_proj_a.weight", "in_proj_b.weight", "dt_bias")):
        return tiled(values, 1)
    if name.endswith("A_log"):
        return -np.exp(tiled(values, 1))
    if name.endswith("linear_attn.out_proj.weight"):
        return np.ascontiguousarray(tiled(values.T, size).T)
    if name.endswith("norm.weight") and "linear_attn" not in name:
        return values + np.float32(1)
    return values
