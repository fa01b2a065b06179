"""Files that can't be read, and those that are read and mean something else."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import CheckpointError, TauscopeError
from core.models import headers
from core.models.gguf import header
from core.models.gguf import names as naming
from core.models.gguf.checkpoint import Gguf
from core.models.identity import Identities
from core.models.opening import open_folder
from core.models.parameters import CheckpointParameters
from tests.core.models.gguf import zoo
from tests.core.models.gguf.writer import as_type, random_blocks, write


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    zoo.build("llama", folder)
    return folder


@pytest.fixture
def file(plain: Path, tmp_path: Path) -> Path:
    return write(plain, tmp_path / "x.gguf", as_type("Q8_0"))


def _refused(file: Path) -> TauscopeError:
    with pytest.raises(TauscopeError) as error:
        open_folder(file, False, Identities())
    assert str(file) in error.value.title
    return error.value


def _number(offset: int, form: str, value: int) -> Callable[[bytes], bytes]:
    new = struct.pack(f"<{form}", value)
    return lambda data: data[:offset] + new + data[offset + len(new) :]


def _of_tensor(name: str, skip: int, form: str, value: int) -> Callable[[bytes], bytes]:
    """A number `skip` bytes behind a tensor's name."""

    def change(data: bytes) -> bytes:
        offset = data.index(name.encode()) + len(name)
        return _number(offset + skip, form, value)(data)

    return change


_NAME = "blk.0.ffn_up.weight"
BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "not a GGUF file"),
    "a web page": (lambda data: b"<!DOCTYPE html>" + data, "not a GGUF file"),
    "cut in its head": (lambda data: data[:900], "ends within its header"),
    "cut in its data": (lambda data: data[:-5000], "exceeds the file"),
    "version": (_number(4, "I", 7), "version 7"),
    "first version": (_number(4, "I", 1), "version 1"),
    "byte order": (lambda data: data[:4] + data[4:8][::-1] + data[8:], "big-endian"),
    "tensors": (_number(8, "Q", 2**60), "states 1152921504606846976 tensors"),
    "settings": (_number(16, "Q", 2**62), "settings"),
    "more settings than there are": (_number(16, "Q", 900_000), "truncated or damaged"),
    "a long text": (_number(24, "Q", 2**50), "a string of"),
    "text of no encoding": (_number(32, "Q", 2**64 - 1), "not UTF-8"),
    "kind of value": (lambda data: _after_key(data, 0, 99), "unknown kind 99"),
    "dimensions": (_of_tensor(_NAME, 0, "I", 900), "900 dimensions"),
    "size": (_of_tensor(_NAME, 4, "Q", 2**55), "exceeds the file"),
    "no size": (_of_tensor(_NAME, 4, "Q", 0), "states the shape [64, 0]"),
    "half a block": (_of_tensor(_NAME, 4, "Q", 48), "states the shape [64, 48]"),
    "type": (_of_tensor(_NAME, 20, "I", 77), "type 77"),
    "offset": (_of_tensor(_NAME, 24, "Q", 2**63), "exceeds the file"),
    "two at one place": (_of_tensor(_NAME, 24, "Q", 0), "exceeds the file"),
}


def _after_key(data: bytes, skip: int, value: int) -> bytes:
    key = b"general.architecture"
    return _number(data.index(key) + len(key) + skip, "I", value)(data)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_a_file_is_said(name: str, file: Path) -> None:
    change, words = BROKEN[name]
    file.write_bytes(change(file.read_bytes()))
    error = _refused(file)
    assert isinstance(error, CheckpointError)
    assert words in error.title
    with pytest.raises(CheckpointError) as caught:
        headers.check(file)
    assert caught.value.title == error.title


def test_random_damage_ends_in_an_error_or_a_model(file: Path) -> None:
    whole, rng = file.read_bytes(), random.Random(0)
    end = header.read(file).tensors["token_embd.weight"].start
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 8))):
            data[rng.randrange(end)] = rng.randrange(256)
        file.write_bytes(bytes(data))
        try:
            open_folder(file, False, Identities())
        except TauscopeError:
            refused += 1
    assert 0 < refused < 60


def test_a_pointer_of_git_lfs_is_named(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "Git LFS pointer" in _refused(file).title


def test_the_missing_package_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "It is not installed." in _refused(file).title
    assert 'pip install "tauscope[gguf]"' in _refused(file).hint


@pytest.mark.parametrize("name", ["gpt-oss", "deci", "gemma4", "command-r", "clip", ""])
def test_architectures_that_are_not_read_are_named(name: str, file: Path) -> None:
    before = b"general.architecture" + struct.pack("<IQ", 8, 5) + b"llama"
    after = b"general.architecture" + struct.pack("<IQ", 8, len(name)) + name.encode()
    data = file.read_bytes()
    assert before in data
    data = data.replace(before, after).replace(b"\0" * 16, b"\0" * 16)
    file.write_bytes(data + b"\0" * 64)
    error = _refused(file)
    assert name in error.title


def test_mixtral_is_told_from_llama(plain: Path, tmp_path: Path) -> None:
    file = write(plain, tmp_path / "x.gguf", as_type("F16"), expert_count=8)
    assert "Mixtral" in _refused(file).title


def test_falcon_with_several_key_value_heads_is_refused(tmp_path: Path) -> None:
    zoo.build("falcon", tmp_path / "plain")
    file = write(
        tmp_path / "plain", tmp_path / "x.gguf", as_type("F16"), **{"attention.head_count_kv": 8}
    )
    assert "falcon with several key-value heads" in _refused(file).title


def test_a_part_of_a_split_model_is_named(plain: Path, tmp_path: Path) -> None:
    file = write(plain, tmp_path / "x.gguf", as_type("F16"), **{"split.count": 3})
    assert "one part of a GGUF model that was split" in _refused(file).title
    file = write(plain, tmp_path / "x-00001-of-00002.gguf", as_type("F16"))
    assert "one part of a GGUF model that was split" in _refused(file).title


def test_a_file_that_lacks_a_layer_is_refused(plain: Path, tmp_path: Path) -> None:
    from core.models.opening import doubts_about

    file = write(plain, tmp_path / "x.gguf", as_type("F16"), block_count=3)
    with pytest.raises(CheckpointError, match="lacks 9 weights"):
        doubts_about(open_folder(file, False, Identities()))


def _notes(opened: CheckpointParameters) -> tuple[str, ...]:
    assert isinstance(opened.stored, Gguf)
    return opened.stored.notes


def test_what_transformers_leaves_out_is_told(plain: Path, tmp_path: Path) -> None:
    stated = {"rope.scaling.type": "longrope", "rope.scaling.factor": 4.0}
    file = write(plain, tmp_path / "x.gguf", as_type("F16"), **stated)
    opened = open_folder(file, False, Identities())
    assert "rotary embeddings of the kind 'longrope'" in _notes(opened)[0]
    linear = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    file = write(plain, tmp_path / "y.gguf", as_type("F16"), **linear)
    opened = open_folder(file, False, Identities())
    assert _notes(opened) == ()
    assert opened.outline is not None
    rope = opened.outline.module.config.rope_parameters
    assert (rope["rope_type"], rope["factor"]) == ("linear", 4.0)


def test_steps_that_are_not_estimated_are_told(tmp_path: Path) -> None:
    zoo.build("llama", tmp_path / "p", hidden_size=256, intermediate_size=256, head_dim=64)
    file = write(tmp_path / "p", tmp_path / "x.gguf", random_blocks("IQ3_S", "Q4_K"))
    (note,) = _notes(open_folder(file, False, Identities()))
    assert "has weights of type IQ3_S, whose quantisation error" in note


def test_the_identity_is_that_of_the_content(plain: Path, file: Path, tmp_path: Path) -> None:
    def identity(folder: Path) -> str:
        return open_folder(folder, False, Identities()).fingerprint()

    first = identity(file)
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    assert identity(copy) == first
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # the last code of the last block
    copy.write_bytes(bytes(data))
    assert identity(copy) != first
    other = write(plain, tmp_path / "other.gguf", as_type("Q8_0"), **{"rope.freq_base": 7.0})
    assert identity(other) != first


def test_what_transformers_processes_in_an_unknown_way_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "_FOLLOWED", {})
    assert "LlamaTensorProcessor is not known here" in _refused(file).title
