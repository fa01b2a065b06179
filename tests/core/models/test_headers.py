"""Headers against the safetensors library, and under bytes that are none."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from core.errors import CheckpointError
from core.models import headers
from tests.conftest import tiny_config, tiny_tensors, write_model


def test_a_header_says_what_the_library_says(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(tiny_tensors(), file, metadata={"format": "pt"})
    held, content = headers.read_header(file), file.read_bytes()
    with safe_open(file, "pt") as opened:
        assert set(held) == set(opened.keys())
        for name, stored in held.items():
            part = opened.get_slice(name)
            assert [stored.dtype, list(stored.shape)] == [part.get_dtype(), part.get_shape()]
            assert content[stored.start : stored.stop] == opened.get_tensor(name).numpy().tobytes()
    starts = [stored.start for stored in held.values()]
    assert starts == sorted(starts)


_NUMBERS = st.integers(-2, 2**70)
_ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F8_E4M3", "I64", "", 3]),
        "shape": st.lists(_NUMBERS, max_size=3) | st.text(),
        "data_offsets": st.lists(_NUMBERS, max_size=3),
    },
)
_HEADERS = st.dictionaries(st.text(max_size=5), _ENTRIES | st.none()) | st.lists(_ENTRIES)


@given(st.binary(max_size=40) | _HEADERS.map(lambda h: json.dumps(h).encode()), st.integers(-9, 9))
def test_no_bytes_raise_anything_but_the_one_error(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, off: int
) -> None:
    file = tmp_path_factory.mktemp("header") / "x.safetensors"
    file.write_bytes(max(0, len(body) + off).to_bytes(8, "little") + body + bytes(64))
    try:
        held = headers.read_header(file)
    except CheckpointError:
        return
    size = file.stat().st_size
    assert all(8 <= stored.start <= stored.stop <= size for stored in held.values())


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, True),
        ({"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}, True),
        ({"dtype": "F4", "shape": [65], "data_offsets": [0, 8]}, False),
        ({"dtype": "F8_E4M3", "shape": [10**400], "data_offsets": [0, 8]}, False),
    ],
)
def test_no_tensor_has_more_elements_than_its_bytes_hold(
    tmp_path: Path, entry: Any, fits: bool
) -> None:
    text = json.dumps({"a": entry}).encode()
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    if fits:
        assert headers.read_header(tmp_path / "x")["a"].shape == tuple(entry["shape"])
        return
    with pytest.raises(CheckpointError, match="contradicts itself at the tensor a"):
        headers.read_header(tmp_path / "x")


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    save_file(tiny_tensors(), tmp_path / "x")
    with pytest.raises(CheckpointError, match=r"header of \d+ bytes, and at most 64 are read"):
        headers.read_header(tmp_path / "x", longest=64)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (headers.read_json, headers.read_header):
        with pytest.raises(CheckpointError):
            read(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("text", "message"),
    [("[" * 100_000, "too deeply"), ("[]", "hold a JSON object"), ("{", "can't be")],
)
def test_settings_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        headers.read_json(tmp_path / "x.json")


NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
OTHERS = ("model.fp16.safetensors", "consolidated.safetensors", "adapter_model.safetensors")
SHARDS = {"safetensors": "model-00001-of-00001.safetensors", "bin": "pytorch_model-1.bin"}


def _chosen_by_transformers(folder: Path, named: str | None) -> list[str] | None:
    from transformers.modeling_utils import _get_resolved_checkpoint_files

    try:
        files, _ = _get_resolved_checkpoint_files(
            str(folder),
            variant=None,
            gguf_file=None,
            use_safetensors=None,
            user_agent=None,
            is_remote_code=False,
            transformers_explicit_filename=named,
        )
    except OSError:
        return None
    names: list[str] | None = files
    return names


def _put(folder: Path, name: str, how: str) -> None:
    """A file as a name for weights or an index; a folder or a broken link where one is meant."""
    if how == "file":
        form = "safetensors" if "safetensors" in name else "bin"
        index = json.dumps({"metadata": {}, "weight_map": {"w": SHARDS[form]}})
        (folder / name).write_text(index if name.endswith(".json") else "")
    elif how == "folder":
        (folder / name).mkdir()
    elif how == "broken link":
        (folder / name).symlink_to(folder / "nowhere")


def _compare(folder: Path, named: str | None = None) -> None:
    expected = _chosen_by_transformers(folder, named)
    try:
        form, files = headers.weight_files(folder)
    except CheckpointError:
        assert expected is None
        return
    assert [str(file) for file in files] == expected
    assert all(file.suffix == f".{form}" for file in files)


def test_the_files_are_those_that_transformers_chooses(tmp_path: Path) -> None:
    """Of all that may lie beside one another in a folder."""
    ways = ("", "file", "folder", "broken link")
    for i, hows in enumerate(itertools.product(ways, repeat=len(NAMES))):
        folder = tmp_path / str(i)
        folder.mkdir()
        for shard in (*SHARDS.values(), *OTHERS):
            (folder / shard).touch()
        for name, how in zip(NAMES, hows, strict=True):
            _put(folder, name, how)
        _compare(folder)


@pytest.mark.parametrize("named", ["other.safetensors", "other.safetensors.index.json"])
def test_the_configuration_may_name_the_file(tmp_path: Path, named: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"transformers_weights": named}))
    for name in (*NAMES, named):
        _put(tmp_path, name, "file")
    for shard in SHARDS.values():
        (tmp_path / shard).touch()
    _compare(tmp_path, named)
    (tmp_path / named).unlink()
    with pytest.raises(CheckpointError, match="missing"):
        headers.weight_files(tmp_path)


@pytest.mark.parametrize("named", ["../x.safetensors", "/x.safetensors", "x.bin", "", 3, ["x"]])
def test_a_configuration_that_names_no_file_of_weights_is_refused(
    tmp_path: Path, named: object
) -> None:
    _put(tmp_path, "model.safetensors", "file")
    (tmp_path / "config.json").write_text(json.dumps({"transformers_weights": named}))
    with pytest.raises(CheckpointError, match="transformers_weights") as error:
        headers.weight_files(tmp_path)
    assert str(tmp_path / "config.json") in error.value.title


def test_an_index_that_nobody_needs_may_name_what_is_missing(tmp_path: Path) -> None:
    """A whole file that was written beside the index of shards that are gone, or are older."""
    import torch
    from transformers import LlamaForCausalLM

    from core.models.checkpoint import open_directory

    newer = tiny_tensors(1)
    folder = write_model(tmp_path / "m", tiny_config(architectures=["LlamaForCausalLM"]), newer)
    index = {"metadata": {}, "weight_map": dict.fromkeys(newer, "model-00001-of-00009.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for older in (None, tiny_tensors(0)):
        if older:
            save_file(older, folder / "model-00001-of-00009.safetensors")
        opened = open_directory(folder)
        loaded = LlamaForCausalLM.from_pretrained(folder).state_dict()
        for name, info in opened.tensors.items():
            read = opened.read(name, 0, info.rows).reshape(info.shape)
            assert torch.equal(read, loaded[name])
            assert torch.equal(read, newer[name])
