"""Signs, as data: names by which a folder is known that holds no weights to read as they are.

Owns those names and the words for each. Looks into no folder.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Sign(NamedTuple):
    """A name within a folder that tells what the folder is.

    Names of folders end in a slash. `title` follows the folder's own name, `hint` says what to do;
    both may use `{folder}` and `{found}`, the first such name.
    """

    name: re.Pattern[str]
    title: str
    hint: str


def _sign(name: str, title: str, hint: str) -> Sign:
    return Sign(re.compile(name), title, hint)


_BESIDE = "then copy config.json and the tokeniser's files of the base to NEW."
SIGNS = (
    _sign(
        r"pytorch_model_fsdp_\d+/",
        "holds shards of an FSDP run ({found}) and no weights that can be read as they are.",
        "Run 'accelerate merge-weights {folder}/{found} NEW', " + _BESIDE,
    ),
    _sign(
        r"__\d+_\d+\.distcp",
        "holds shards of an FSDP run ({found} …) and no weights that can be read as they are.",
        "Run 'accelerate merge-weights {folder} NEW', " + _BESIDE,
    ),
    _sign(
        r"zero_to_fp32\.py",
        "holds shards of a DeepSpeed run and no weights that can be read as they are.",
        "In that folder, run 'python zero_to_fp32.py . NEW', " + _BESIDE,
    ),
    _sign(
        r"global_step\d+/",
        "holds shards of a DeepSpeed run ({found}) and no weights that can be read as they are.",
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
        "holds the weights as the authors' own code names them ({found} …).",
        "Use the same model's release in the Hugging Face format: config.json and "
        "model.safetensors or its shards.",
    ),
    _sign(
        r"tf_model\.h5|tf_model.*\.index\.json",
        "holds weights for TensorFlow alone ({found}).",
        "transformers 4 converts them: from_pretrained('{folder}', from_tf=True), then "
        "save_pretrained.",
    ),
    _sign(
        r"flax_model\.msgpack(\.index\.json)?|flax_model-.*\.msgpack",
        "holds weights for Flax alone ({found}).",
        "transformers 4 converts them: from_pretrained('{folder}', from_flax=True), then "
        "save_pretrained.",
    ),
    _sign(
        r"(onnx/|.*\.onnx)",
        "holds a model for ONNX alone ({found}).",
        "Use the checkpoint that it was exported from.",
    ),
    _sign(
        r".*\.pth",
        "holds a .pth file ({found}) and no weights under a name that is read.",
        "Save the model with save_pretrained: no code of such a file is run.",
    ),
    _sign(
        r"trainer_state\.json|training_args\.bin|optimizer\.(pt|bin)",
        "holds the state of a training run ({found}) and no weights.",
        "Name one of the run's checkpoints, or save the model there with save_pretrained.",
    ),
    _sign(
        r".*\.(safetensors|bin|pt)",
        "holds {found} and no weights under a name that is read.",
        "Expected model.safetensors, pytorch_model.bin, or an index of shards of either.",
    ),
)
"""In the order in which they are looked for; the first one that fits is told."""
