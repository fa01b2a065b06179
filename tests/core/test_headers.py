"""Headers against the safetensors library, and under bytes that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from core import headers
from core.errors import CheckpointError
from tests.conftest import tiny_tensors


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
    with pytest.raises(CheckpointError, match="damaged"):
        headers.read_header(tmp_path / "x")


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    save_file(tiny_tensors(), tmp_path / "x")
    with pytest.raises(CheckpointError, match="damaged"):
        headers.read_header(tmp_path / "x", longest=64)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (headers.read_json, headers.read_header):
        with pytest.raises(CheckpointError):
            read(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("text", "said"), [("[" * 100_000, "too deeply"), ("[]", "no JSON object"), ("{", "can't be")]
)
def test_settings_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match=said):
        headers.read_json(tmp_path / "x.json")
