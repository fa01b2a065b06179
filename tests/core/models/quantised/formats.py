"""Every format that is read: how config.json describes it, and the quantiser that makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.core.models.quantised import quantisers as q


class Form(NamedTuple):
    """How config.json describes a format, and what makes it."""

    settings: dict[str, Any]
    make: Callable[[q.Floats], q.Made]


def _compressed(**weights: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}


def _same(scales: q.Floats) -> q.Floats:
    return scales


FORMS = {
    "fp8 by blocks": Form(
        {"quant_method": "fp8", "weight_block_size": [10, 12]},
        q.fp8(10, 12, "weight_scale_inv", _same),
    ),
    "fp8 by tensors": Form(
        {"quant_method": "fp8"}, q.fp8(99, 99, "weight_scale_inv", lambda s: s.reshape(()))
    ),
    "fp8 by rows": Form(
        _compressed(num_bits=8, type="float"), q.fp8(1, 99, "weight_scale", _same)
    ),
    "fp8 by rows, flat": Form({"quant_method": "modelopt"}, q.fp8(1, 99, "weight_scale", np.ravel)),
    "fbgemm": Form({"quant_method": "fbgemm_fp8"}, q.fp8(1, 99, "weight_scale", _same)),
    "fp8 in groups": Form(_compressed(num_bits=8), q.fp8(1, 16, "weight_scale", _same)),
    "int8": Form(_compressed(num_bits=8, type="int"), q.int8),
    "int4 in groups": Form(_compressed(num_bits=4), q.compressed(4, 8, symmetric=True)),
    "int4 by rows": Form(_compressed(num_bits=4), q.compressed(4, 0, symmetric=True)),
    "int4 with zero points": Form(_compressed(num_bits=4), q.compressed(4, 8, symmetric=False)),
    "int4 out of order": Form(
        _compressed(num_bits=4), q.compressed(4, 8, symmetric=False, shuffled=True)
    ),
    "int4, last group partial": Form(
        _compressed(num_bits=4, group_size=24), q.compressed(4, 24, symmetric=False)
    ),
    "int3 in groups": Form(_compressed(num_bits=3), q.compressed(3, 16, symmetric=False)),
    "int8 packed": Form(_compressed(num_bits=8), q.compressed(8, 16, symmetric=True)),
    "nvfp4": Form(_compressed(num_bits=4, type="float"), q.nvfp4),
    "gptq": Form({"quant_method": "gptq", "bits": 4}, q.gptq(4, 16, version=1)),
    "gptq out of order": Form(
        {"quant_method": "gptq", "bits": 4}, q.gptq(4, 8, version=1, shuffled=True)
    ),
    "gptq of 8 bits": Form({"quant_method": "gptq", "bits": 8}, q.gptq(8, 32, version=1)),
    "gptq of 3 bits": Form({"quant_method": "gptq", "bits": 3}, q.gptq(3, 16, version=1)),
    "gptq 2": Form(
        {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"},
        q.gptq(4, 16, version=2),
    ),
    "gptq, last group partial": Form(
        {"quant_method": "gptq", "bits": 4, "group_size": 24},
        q.gptq(4, 24, version=1, indexed=False),
    ),
    "gptq, one group": Form(
        {"quant_method": "gptq", "bits": 4, "group_size": -1},
        q.gptq(4, 99, version=1, indexed=False),
    ),
    "awq": Form(
        {"quant_method": "awq", "bits": 4, "group_size": 8, "version": "gemm"}, q.awq
    ),
    "nf4": Form({"load_in_4bit": True}, q.bnb4("nf4", q.float32(q.NF4), nested=False)),
    "nf4 twice": Form(
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        q.bnb4("nf4", q.float32(q.NF4), nested=True),
    ),
    "fp4": Form(
        {"quant_method": "bitsandbytes"}, q.bnb4("fp4", q.float32(q.E2M1 / 6), nested=False)
    ),
    "bitsandbytes of 8 bits": Form(
        {"quant_method": "bitsandbytes", "load_in_8bit": True}, q.bnb8
    ),
}  # fmt: skip
