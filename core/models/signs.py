"""Signs, as data: names that identify a folder without readable weights.

Owns the names and the error for each. Reads no folder.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Sign(NamedTuple):
    """A name within a folder that identifies the folder.

    Names of folders end in a slash. `title` follows the folder's path, `hint` gives a remedy; both
    may use `{folder}` and `{found}`, the first matching name.
    """

    name: re.Pattern[str]
    title: str
    hint: str


def _sign(name: str, title: str, hint: str) -> Sign:
    return Sign(re.compile(name), title, hint)


_BESIDE = "then copy the base's config.json and tokeniser files to NEW."
SIGNS = (
    _sign(
        r"pytorch_model_fsdp_\d+/",
        "holds shards of an FSDP run ({found}) and no directly readable weights.",
        "Run 'accelerate merge-weights {folder}/{found} NEW', " + _BESIDE,
    ),
    _sign(
        r"__\d+_\d+\.distcp",
        "holds shards of an FSDP run ({found} …) and no directly readable weights.",
        "Run 'accelerate merge-weights {folder} NEW', " + _BESIDE,
    ),
    _sign(
        r"zero_to_fp32\.py",
        "holds shards of a DeepSpeed run and no directly readable weights.",
        "In that folder, run 'python zero_to_fp32.py . NEW', " + _BESIDE,
    ),
    _sign(
        r"global_step\d+/",
        "holds shards of a DeepSpeed run ({found}) and no directly readable weights.",
        "Run 'python -m deepspeed.utils.zero_to_fp32 {folder} NEW', " + _BESIDE,
    ),
    _sign(
        r"mp_rank_\d+_model_states\.pt|(bf16_)?zero_pp_rank_\d+_.*\.pt",
        "holds the shards of one step of a DeepSpeed run ({found} …).",
        "In the folder above it, run 'python zero_to_fp32.py . NEW', " + _BESIDE,
    ),
    _sign(
        r"mp_rank_\d+(_\d+)*/",
        "holds the shards of a Megatron run ({found} …).",
        "Convert it to the Hugging Face format with the tools of Megatron.",
    ),
    _sign(
        r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)",
        "holds shards of weights ({found} …) but not their index.",
        "Copy or download model.safetensors.index.json (pytorch_model.bin.index.json) as well.",
    ),
    _sign(
        r"adapter_model\.(safetensors|bin)",
        "holds an adapter's weights but not its settings, adapter_config.json.",
        "Copy or download adapter_config.json as well.",
    ),
    _sign(
        r"consolidated\.(\d+\.pth|safetensors)",
        "holds weights with the names of the authors' own code ({found} …).",
        "Use the same model's release in the Hugging Face format: config.json and "
        "model.safetensors or its shards.",
    ),
    _sign(
        r"tf_model\.h5|tf_model.*\.index\.json",
        "holds only weights for TensorFlow ({found}).",
        "transformers 4 converts them: from_pretrained('{folder}', from_tf=True), then "
        "save_pretrained.",
    ),
    _sign(
        r"flax_model\.msgpack(\.index\.json)?|flax_model-.*\.msgpack",
        "holds only weights for Flax ({found}).",
        "transformers 4 converts them: from_pretrained('{folder}', from_flax=True), then "
        "save_pretrained.",
    ),
    _sign(
        r"(onnx/|.*\.onnx)",
        "holds only a model for ONNX ({found}).",
        "Use the checkpoint from which it was exported.",
    ),
    _sign(
        r".*\.pth",
        "holds a .pth file ({found}) and no weights under a supported name.",
        "Save the model with save_pretrained: tauscope runs no code of such a file.",
    ),
    _sign(
        r"trainer_state\.json|training_args\.bin|optimizer\.(pt|bin)",
        "holds the state of a training run ({found}) and no weights.",
        "Name one of the run's checkpoints, or save the model there with save_pretrained.",
    ),
    _sign(
        r".*\.(safetensors|bin|pt)",
        "holds {found} and no weights under a supported name.",
        "Expected model.safetensors, pytorch_model.bin, or an index of shards of either.",
    ),
)
"""In order of precedence; the first match is reported."""
