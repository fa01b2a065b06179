"""What is said of folders that hold no weights to read, made as the libraries make them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from app.library.appraisal import appraise
from core.errors import CheckpointError
from core.models import checkpoint, headers, pointers
from core.models.adapters.checkpoint import Adapter
from core.models.folders import is_adapter
from core.models.loading import tokenizer
from tests.app.hub import write_adapter
from tests.conftest import tiny_config, tiny_tensors, write_model

SHARD = "model-00001-of-00001.safetensors"
POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n"
)


def made(folder: Path, *names: str) -> Path:
    """A folder with these empty files and, with a slash at their end, folders with a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = folder / name
        if name.endswith("/"):
            place.mkdir(parents=True)
            (place / "x").touch()
        else:
            place.touch()
    return folder


def refused(folder: Path) -> tuple[str, str]:
    """What is said when a folder is opened as a model, with FOLDER for its name."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.open_directory(checkpoint.locate(str(folder)))
    return tuple(  # type: ignore[return-value]
        text.replace(str(folder), "FOLDER") for text in (caught.value.title, caught.value.hint)
    )


@pytest.mark.parametrize(
    ("names", "title", "hint"),
    [
        ((), "FOLDER is empty", "config.json"),
        ((".git/", ".gitattributes"), "FOLDER holds only hidden files", "config.json"),
        (("pytorch_model_fsdp_0/", "optimizer_0/", "trainer_state.json"), "FSDP",
         "'accelerate merge-weights FOLDER/pytorch_model_fsdp_0 NEW'"),
        (("__0_0.distcp", "__1_0.distcp", ".metadata"), "FSDP",
         "'accelerate merge-weights FOLDER NEW'"),
        (("global_step500/", "latest", "zero_to_fp32.py", "config.json"), "DeepSpeed",
         "'python zero_to_fp32.py . NEW'"),
        (("global_step500/", "latest"), "DeepSpeed run (global_step500)",
         "'python -m deepspeed.utils.zero_to_fp32 FOLDER NEW'"),
        (("mp_rank_00_model_states.pt",), "one step of a DeepSpeed", "folder above"),
        (("bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",), "one step of a Deep", "folder above"),
        (("mp_rank_00/", "mp_rank_01/"), "Megatron", "tools of Megatron"),
        (("consolidated.00.pth", "params.json", "tokenizer.model"), "authors' own",
         "Hugging Face format"),
        (("consolidated.safetensors", "params.json"), "authors' own", "Hugging Face format"),
        (("tf_model.h5", "config.json"), "TensorFlow", "from_tf=True"),
        (("flax_model.msgpack", "config.json"), "Flax", "from_flax=True"),
        (("onnx/", "config.json", "tokenizer.json"), "ONNX", "which it was exported"),
        (("model.onnx",), "ONNX", "which it was exported"),
        (("model.pth",), "model.pth", "save_pretrained"),
        (("trainer_state.json", "training_args.bin"), "state of a training run", "checkpoints"),
        (("adapter_config.json", "config.json"), "not the adapter's weights", "save_pretrained"),
        (("tokenizer.json", "tokenizer_config.json"), "holds a tokeniser but no weights",
         "Expected model.safetensors"),
        (("config.json", "tokenizer.json"), "a model's settings and a tokeniser but no weights",
         "Expected model.safetensors"),
        (("model-00001-of-00002.safetensors", "config.json"), "not their index",
         "model.safetensors.index.json"),
        (("adapter_model.safetensors",), "an adapter's weights but not its settings",
         "adapter_config.json"),
        (("diffusion.safetensors", "config.json"), "holds diffusion.safetensors and no weights",
         "Expected model.safetensors"),
        (("README.md",), "FOLDER holds no weights.", "Expected model.safetensors"),
        (("model.safetensors",), "config.json is missing", "model's base"),
    ],
)  # fmt: skip
def test_a_folder_is_named_with_what_to_do(
    tmp_path: Path, names: tuple[str, ...], title: str, hint: str
) -> None:
    folder = made(tmp_path / "m", *names)
    if "config.json" in names:
        (folder / "config.json").write_text(json.dumps(tiny_config()))
    message = refused(folder)
    assert title in message[0]
    assert hint in message[1]
    assert message[0].endswith(".")
    assert message[1].endswith(".")


def test_the_newest_checkpoint_of_a_run_is_offered(tmp_path: Path) -> None:
    out = made(tmp_path / "out", "trainer_state.json", "runs/", "checkpoint-9/")
    for step in (500, 1000):
        write_model(out / f"checkpoint-{step}", tiny_config(), tiny_tensors())
    # The last one was cut off before its weights were written.
    made(out / "checkpoint-1500", "trainer_state.json")
    title, hint = refused(out)
    assert title == "FOLDER holds 4 checkpoints of a training run and no weights of its own."
    assert hint == "Name the newest, FOLDER/checkpoint-1000."
    checkpoint.open_directory(out / "checkpoint-1000")


def test_checkpoints_that_are_adapters_are_offered_too(tmp_path: Path) -> None:
    write_adapter(tmp_path / "out" / "checkpoint-20", "base")
    assert refused(tmp_path / "out")[1] == "Name the newest, FOLDER/checkpoint-20."


def test_a_run_whose_checkpoints_are_all_shards_tells_of_the_newest(tmp_path: Path) -> None:
    for step in (5, 10):
        made(tmp_path / "out" / f"checkpoint-{step}", "global_step10/", "zero_to_fp32.py")
    title, hint = refused(tmp_path / "out")
    assert "FOLDER/checkpoint-10 holds shards of a DeepSpeed run" in title
    assert "zero_to_fp32.py" in hint


def test_the_models_below_a_folder_are_offered(tmp_path: Path) -> None:
    one = write_model(tmp_path / "all" / "a" / "deep", tiny_config(), tiny_tensors())
    made(tmp_path / "all", "README.md")
    assert refused(tmp_path / "all")[1] == "Name it: FOLDER/a/deep."
    assert one.name == "deep"
    for name in "bcdef":
        write_model(tmp_path / "all" / name, tiny_config(), tiny_tensors())
    title, hint = refused(tmp_path / "all")
    assert title == "FOLDER holds no weights; there are 6 models below it."
    assert hint == (
        "Name one of them: FOLDER/b, FOLDER/c, FOLDER/d, FOLDER/e and 2 more."
    )  # what lies deeper comes last


def test_several_gguf_files_are_named(tmp_path: Path) -> None:
    folder = made(tmp_path / "m", "q4.gguf", "q8.gguf", "config.json")
    with pytest.raises(CheckpointError) as error:
        checkpoint.locate(str(folder))
    assert error.value.title == f"{folder} holds 2 GGUF files: q4.gguf, q8.gguf."
    assert error.value.hint == f"Name one of them, {folder / 'q4.gguf'}."
    assert checkpoint.locate(str(folder / "q8.gguf")) == folder / "q8.gguf"


def test_a_folder_with_one_gguf_file_is_that_file(tmp_path: Path) -> None:
    folder = made(tmp_path / "m", "q4.gguf", "config.json", "tokenizer.json")
    assert checkpoint.locate(str(folder)) == folder / "q4.gguf"


def test_other_weights_come_before_gguf(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", tiny_config(), tiny_tensors())
    made(folder, "q4.gguf", "q8.gguf")
    assert checkpoint.locate(str(folder)) == folder
    adapter = write_adapter(tmp_path / "a", "base")
    made(adapter, "q4.gguf")
    assert checkpoint.locate(str(adapter)) == adapter


def test_a_gguf_file_that_is_not_there_is_no_hub_id() -> None:
    with pytest.raises(CheckpointError, match=r"There is no file nowhere/x\.gguf"):
        checkpoint.locate("nowhere/x.gguf")


def test_a_file_is_answered_with_its_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", tiny_config(), tiny_tensors())
    with pytest.raises(CheckpointError, match="is a file") as caught:
        checkpoint.locate(str(folder / "model.safetensors"))
    assert caught.value.hint == f"Name its directory, {folder}."


# Git LFS


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("model.safetensors", ()), ("pytorch_model.bin", ()), ("config.json", ()),
        ("model.safetensors.index.json", ()),
    ],
)  # fmt: skip
def test_a_pointer_is_named_wherever_a_file_is_read(
    tmp_path: Path, name: str, others: tuple[str, ...]
) -> None:
    folder = write_model(tmp_path / "m", tiny_config(), tiny_tensors())
    if name != "config.json":
        (folder / "model.safetensors").unlink()
    (folder / name).write_text(POINTER)
    assert refused(folder) == (
        f"FOLDER/{name} is a Git LFS pointer: the file itself was not fetched.",
        "Run 'git lfs pull' in FOLDER.",
    )
    assert appraise(folder, "m").trouble is not None


def test_a_pointer_of_an_adapter(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", tiny_config(), tiny_tensors())
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        folder = write_adapter(tmp_path / name[-3:], str(base))
        (folder / "adapter_model.safetensors").unlink()
        (folder / name).write_text(POINTER)
        with pytest.raises(CheckpointError, match="Git LFS pointer"):
            Adapter(folder, checkpoint.open_directory(base))


def test_a_pointer_of_a_tokeniser(tmp_path: Path) -> None:
    made(tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").write_text(POINTER)
    hf.LlamaConfig().save_pretrained(tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is a Git LFS pointer"):
        tokenizer(tmp_path / "m")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_no_pointer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not pointers.is_pointer(tmp_path / "pipe")


# Links of a cache


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", SHARD])
def test_links_to_missing_files_are_called_so(tmp_path: Path, name: str) -> None:
    """A snapshot of the hub's cache that was copied without the files that it links to."""
    folder = write_model(tmp_path / "m", tiny_config(), tiny_tensors())
    if name == SHARD:
        index = {"weight_map": dict.fromkeys(tiny_tensors(), SHARD)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "model.safetensors").unlink()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "blobs" / "0123")
    with pytest.raises(CheckpointError) as error:
        checkpoint.open_directory(folder)
    assert error.value.title == f"{folder} holds {name}, a link to a missing file."
    assert error.value.hint.startswith("Download the model again")


# Adapters with something beside them


def test_an_adapter_is_one_whatever_lies_beside_it(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", "base")
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    assert is_adapter(folder)
    assert appraise(folder, "a").kind == "adapter"
    write_model(folder, tiny_config(), tiny_tensors())
    assert is_adapter(folder)  # so does transformers: the adapter's weights come first
    (folder / "adapter_model.safetensors").unlink()
    assert not is_adapter(folder)
    assert appraise(folder, "a").kind == "model"


def test_the_library_says_the_same(tmp_path: Path) -> None:
    folder = made(tmp_path / "m", "tf_model.h5")
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    assert appraise(folder, "m").trouble == "It holds only weights for TensorFlow (tf_model.h5)."
    bare: Any = write_adapter(tmp_path / "a", "base")
    (bare / "adapter_model.safetensors").unlink()
    assert "not the adapter's weights" in str(appraise(bare, "a").trouble)


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(CheckpointError, match="can't be read"):
        headers.weight_files(Path("/nowhere/at/all"))
