"""Reading checkpoints: forms, damage, fingerprints, adapters."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.errors import CheckpointError
from core.models import checkpoint
from tests.conftest import load_all, tiny_config, tiny_tensors, write_model


def _sharded(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for i, part in enumerate((names[::2], names[1::2])):
        file = f"model-0000{i + 1}-of-00002.safetensors"
        save_file({n: tensors[n] for n in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _binary(folder: Path, tensors: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_single_sharded_and_bin_hold_the_same(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = tiny_tensors(dtype=dtype)
    opened = [
        checkpoint.open_directory(write_model(tmp_path / "single", tiny_config(), tensors)),
        checkpoint.open_directory(_sharded(tmp_path / "sharded", tensors)),
        checkpoint.open_directory(_binary(tmp_path / "bin", tensors)),
    ]
    for one in opened:
        assert set(one.tensors) == set(tensors)
        for name, tensor in tensors.items():
            info = one.tensors[name]
            assert (info.dtype, info.shape) == (dtype, tuple(tensor.shape))
            rows = one.read(name, 1, info.rows)
            assert torch.equal(rows, tensor.reshape(info.rows, info.columns)[1:])
    assert len({one.fingerprint() for one in opened}) == 1, "sharding is no content"


def test_scratch_memory_is_used_when_it_suffices(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    one = checkpoint.open_directory(write_model(tmp_path / "m", tiny_config(), tensors))
    scratch = torch.empty(16 * 16 * 4, dtype=torch.uint8)
    rows = one.read("model.layers.0.self_attn.q_proj.weight", 0, 16, scratch)
    assert rows.data_ptr() == scratch.data_ptr()
    assert torch.equal(rows, tensors["model.layers.0.self_attn.q_proj.weight"])


def test_fingerprint_sees_one_changed_weight_and_no_volatile_setting(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    first = checkpoint.open_directory(write_model(tmp_path / "a", tiny_config(), tensors))
    renamed = tiny_config(_name_or_path="elsewhere", transformers_version="9")
    second = checkpoint.open_directory(write_model(tmp_path / "b", renamed, tensors))
    assert first.fingerprint() == second.fingerprint()
    tensors["model.norm.weight"][3] += 1e-6
    third = checkpoint.open_directory(write_model(tmp_path / "c", tiny_config(), tensors))
    assert first.fingerprint() != third.fingerprint()
    rope = write_model(tmp_path / "d", tiny_config(rope_theta=5e5), tiny_tensors())
    assert first.fingerprint() != checkpoint.open_directory(rope).fingerprint()


def _damage(folder: Path, how: str) -> None:
    file = folder / "model.safetensors"
    if how == "truncated":
        os.truncate(file, file.stat().st_size - 100)
    elif how == "header":
        file.write_bytes(b"\xff" * 64)
    elif how == "not json":
        file.write_bytes((10).to_bytes(8, "little") + b"{broken...")
    elif how == "no weights":
        file.unlink()
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "config":
        (folder / "config.json").write_text("[]")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "ends at byte"), ("header", "states a header of"), ("not json", "not JSON"),
        ("no weights", "no weights"), ("no config", "config.json is missing"),
        ("config", "hold a JSON object"),
    ],
)  # fmt: skip
def test_damage_is_one_clear_error(tmp_path: Path, how: str, words: str) -> None:
    folder = write_model(tmp_path / "m", tiny_config(), tiny_tensors())
    _damage(folder, how)
    with pytest.raises(CheckpointError, match=words) as error:
        checkpoint.open_directory(folder)
    assert str(folder) in error.value.title


def test_an_index_that_names_a_missing_shard(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "m", tiny_tensors())
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors, which is miss"):
        checkpoint.open_directory(folder)


def test_an_index_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "m", tiny_tensors())
    index = {"weight_map": {"a": "../m/model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError):
        checkpoint.open_directory(folder)


def _rewritten(file: Path, *, in_place: bool) -> None:
    """The same file with other numbers, an hour later."""
    content = bytearray(file.read_bytes())
    content[-4000] ^= 1
    before = file.stat()
    written = file if in_place else file.with_name("new")
    written.write_bytes(content)
    os.utime(written, (before.st_atime, before.st_mtime + 3600))
    written.replace(file)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_weights_that_are_written_after_they_were_opened_are_not_read(
    tmp_path: Path, form: str, in_place: bool
) -> None:
    """Their results would be stored under the fingerprint of the old ones."""
    tensors = tiny_tensors()
    folder = tmp_path / "m"
    if form == "bin":
        _binary(folder, tensors)
    else:
        write_model(folder, tiny_config(), tensors)
    one = checkpoint.open_directory(folder)
    (file,) = (f for f in folder.iterdir() if f.suffix != ".json")
    one.refuse_changed()
    _rewritten(file, in_place=in_place)
    for reading in (one.refuse_changed, lambda: one.read("model.norm.weight", 0, 16)):
        with pytest.raises(CheckpointError, match="was changed while it was read") as error:
            reading()
        assert str(file) in error.value.title


def test_weights_that_are_replaced_while_they_are_open_are_read_to_the_end(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    folder = write_model(tmp_path / "m", tiny_config(), tensors)
    one = checkpoint.open_directory(folder)
    one.read("model.norm.weight", 0, 16)
    _rewritten(folder / "model.safetensors", in_place=False)
    rows = one.read("model.layers.1.mlp.up_proj.weight", 0, 24)
    assert torch.equal(rows, tensors["model.layers.1.mlp.up_proj.weight"])


def test_nothing_is_unpickled_but_tensors(tmp_path: Path) -> None:
    folder = _binary(tmp_path / "m", tiny_tensors())
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(sprung),)

    torch.save({"w": torch.zeros(2), "trap": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="plain tensors"):
        checkpoint.open_directory(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="plain tensors"):
        checkpoint.open_directory(folder)
    assert not sprung.exists()


def test_places_that_are_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(CheckpointError, match="is a file"):
        checkpoint.locate(str(file))
    with pytest.raises(CheckpointError, match="no directory"):
        checkpoint.locate(str(tmp_path / "nowhere"))
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="some-org/some-model") as error:
        checkpoint.locate("some-org/some-model")
    assert "HF_HUB_OFFLINE" in error.value.hint


def test_a_hub_id_is_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    cache = tmp_path / "cache"
    repository = cache / "models--org--model"
    snapshot = repository / "snapshots" / ("a" * 40)
    write_model(snapshot, tiny_config(), tiny_tensors())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    assert load_all(checkpoint.locate("org/model")).keys() == tiny_tensors().keys()


@pytest.mark.parametrize(
    "header",
    [
        [], None, {"w": []}, {"w": {}}, {"w": {"dtype": "F32", "shape": [2]}},
        {"w": {"dtype": 3, "shape": [2], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": None, "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0.0, 8.0]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4, 8]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": ["0", "8"]}},
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}},
        {"v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
         "w": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
    ],
)  # fmt: skip
def test_headers_that_contradict_themselves_are_damage(tmp_path: Path, header: Any) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "config.json").write_text(json.dumps(tiny_config()))
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(64))
    with pytest.raises(CheckpointError, match="not a complete safetensors file: its header"):
        checkpoint.open_directory(tmp_path)


@pytest.mark.parametrize("names", [[["x"]], ["a", 3], ["/etc/passwd"], ["../x"], [""]])
def test_indices_that_name_no_files_are_refused(tmp_path: Path, names: list[Any]) -> None:
    folder = _sharded(tmp_path / "m", tiny_tensors())
    index = {"weight_map": {str(i): name for i, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="not plain file names"):
        checkpoint.open_directory(folder)
