"""What identifies a checkpoint: all of its content, remembered for as long as its files stay."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from core.engine import runner
from core.errors import Cancelled, CheckpointError
from core.models import checkpoint, identity
from core.models.checkpoint import open_directory, stable_config
from core.models.family import open_family
from core.models.identity import Content, Identities, Stamp, stamp_of
from core.study import intake
from tests.conftest import WEIGHTS, MemorySink, tiny_config, tiny_tensors, tuned_from, write_model

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every checkpoint counts as large, and has tensors of several blocks."""
    monkeypatch.setattr(identity, "SMALL", 0)
    monkeypatch.setattr(identity, "BLOCK", 256)


class Memory:
    """Remembers, and counts what it was told."""

    def __init__(self) -> None:
        self.known: dict[Stamp, str] = {}

    def recall(self, stamp: Stamp) -> str | None:
        return self.known.get(stamp)

    def remember(self, stamp: Stamp, identity: str) -> None:
        self.known[stamp] = identity


def _age(folder: Path, seconds: float = 60) -> Path:
    """Let the files of a folder be older than what is too young to be remembered."""
    for file in folder.iterdir():
        status = file.stat()
        os.utime(file, (status.st_atime, status.st_mtime - seconds))
    return folder


def _model(folder: Path, tensors: Tensors, **config: Any) -> Path:
    return _age(write_model(folder, tiny_config(**config), tensors))


def _sharded(folder: Path, tensors: Tensors, form: str, parts: int) -> Path:
    """A model's folder, its tensors dealt out to files of one form."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    stem, end = ("model", "safetensors") if form == "safetensors" else ("pytorch_model", "bin")
    weight_map: dict[str, str] = {}
    for i in range(parts):
        name = f"{stem}-{i + 1:05}-of-{parts:05}.{end}"
        part = {n: tensors[n] for n in list(tensors)[i::parts]}
        save_file(part, folder / name) if end == "safetensors" else torch.save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    (folder / f"{stem}.{end}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def _fingerprint(folder: Path) -> str:
    return open_directory(folder).fingerprint()


def _by_hand(folder: Path) -> str:
    """The identity of one safetensors file, from the whole tensors."""
    total = 0
    names = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int64: "I64"}
    for name, tensor in load_file(folder / "model.safetensors").items():
        raw = bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
        parts = [raw[i : i + identity.BLOCK] for i in range(0, len(raw), identity.BLOCK)]
        digest = hashlib.sha256(
            json.dumps([name, names[tensor.dtype], list(tensor.shape)]).encode() + b"\n"
        )
        for part in parts:
            digest.update(xxhash.xxh3_128(part).digest())
        total += int(digest.hexdigest(), 16)
    config = stable_config(json.loads((folder / "config.json").read_text()))
    text = json.dumps(["whole content", config, f"{total % 2**256:064x}"])
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_small_plain_checkpoint_has_the_sha256_of_the_first_version(tmp_path: Path) -> None:
    """Computed by the first version: a change makes finished units of its databases anew."""

    def ramp(*shape: int) -> torch.Tensor:
        return (torch.arange(math.prod(shape), dtype=torch.float32) / 8 - 3).reshape(shape)

    tensors = {
        "model.embed_tokens.weight": ramp(5, 4).bfloat16(),
        "model.norm.weight": ramp(4).double(),
        "model.layers.0.mlp.up_proj.weight": ramp(2, 3, 4).half(),
        "model.layers.0.scale": torch.tensor(1.5),
        "model.layers.0.attn.bias": torch.ones(1, 2, 2, dtype=torch.bool),
        "ids": torch.arange(3),
    }
    config = {"model_type": "llama", "hidden_size": 4, "_name_or_path": "x"}
    pinned = "cf2b9117038e18aa132d7dfc0a1c9011c171410d1dae95c89255036a645cb42e"
    folder = write_model(tmp_path / "one", config, tensors)
    assert _fingerprint(folder) == pinned
    shutil.copytree(folder, tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(tensors, tmp_path / "bin" / "pytorch_model.bin")
    assert _fingerprint(tmp_path / "bin") == pinned


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 4 * 256])
def test_a_large_one_has_the_hash_of_its_blocks(large: None, tmp_path: Path, size: int) -> None:
    tensors = {
        "a": torch.arange(size, dtype=torch.float32).bfloat16(),
        "b": torch.randn(3, 5, 7),
        "c": torch.arange(9),
        "d": torch.tensor(2.0),
    }
    folder = _model(tmp_path / "m", tensors)
    assert _fingerprint(folder) == _by_hand(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_how_tensors_are_dealt_out_to_files_is_no_content(
    large: None, tmp_path: Path, dtype: torch.dtype
) -> None:
    tensors = tiny_tensors(dtype=dtype) | {"mask": torch.ones(2, 3, dtype=torch.bool)}
    fingerprints = {_fingerprint(write_model(tmp_path / "one", tiny_config(), tensors))}
    for form in ("safetensors", "bin"):
        for parts in (1, 2, 5):
            folder = _sharded(tmp_path / f"{form}{parts}", tensors, form, parts)
            fingerprints.add(_fingerprint(folder))
    assert len(fingerprints) == 1


def test_elements_that_lie_in_another_order_in_memory_are_read_in_theirs(
    large: None, tmp_path: Path
) -> None:
    tensors = tiny_tensors()
    turned = {name: t.T.contiguous().T if t.ndim == 2 else t for name, t in tensors.items()}
    assert not turned["lm_head.weight"].is_contiguous()
    one = _sharded(tmp_path / "turned", turned, "bin", 1)
    assert _fingerprint(one) == _fingerprint(write_model(tmp_path / "m", tiny_config(), tensors))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_any_one_byte_name_dtype_or_shape_changes_it(
    large: None, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("models")
    tensors: Tensors = {
        "a": torch.zeros(8, 100), "b": torch.zeros(8, 100), "c": torch.zeros(40, dtype=torch.int8)
    }  # fmt: skip
    before = _fingerprint(write_model(folder / "before", tiny_config(), tensors))
    name = data.draw(st.sampled_from(sorted(tensors)))
    how = data.draw(st.sampled_from(["byte", "name", "dtype", "shape", "gone"]))
    if how == "byte":
        raw = tensors[name].view(torch.uint8).reshape(-1)
        raw[data.draw(st.integers(0, raw.numel() - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "name":
        tensors["z"] = tensors.pop(name)
    elif how == "dtype":
        tensors[name] = tensors[name].view(torch.bfloat16 if name != "c" else torch.uint8)
    elif how == "shape":
        tensors[name] = tensors[name].reshape(4, -1)
    else:
        del tensors[name]
    assert _fingerprint(write_model(folder / "after", tiny_config(), tensors)) != before


def test_tensors_that_change_places_are_another_model(large: None, tmp_path: Path) -> None:
    tensors = {"a": torch.ones(300), "b": torch.zeros(300)}
    swapped = {"a": tensors["b"], "b": tensors["a"]}
    fingerprints = [
        _fingerprint(_model(tmp_path / n, t)) for n, t in [("x", tensors), ("y", swapped)]
    ]
    assert fingerprints[0] != fingerprints[1]


def test_small_packed_weights_are_content(tmp_path: Path) -> None:
    """Their floats are the scales alone: the weights are in the integers."""

    def of(value: int, **config: Any) -> str:
        packed = Content(
            "w.qweight", "I32", (1,), 4, lambda a, b, _: memoryview(bytes([value] * 4))[a:b]
        )
        source = identity.WeightFile(tmp_path, stamp_of(tmp_path), [packed])
        return identity.fingerprint("{}", [source], Identities(), **config)

    assert of(1) != of(2)
    tensors = {"mask": torch.zeros(2, dtype=torch.int32)}
    changed = {"mask": torch.ones(2, dtype=torch.int32)}
    folders = [_model(tmp_path / n, t) for n, t in [("a", tensors), ("b", changed)]]
    assert _fingerprint(folders[0]) == _fingerprint(folders[1]), "a mask is no weight"
    assert _fingerprint_of(folders[0], quantised=True) != _fingerprint_of(
        folders[1], quantised=True
    )


def _fingerprint_of(folder: Path, *, quantised: bool) -> str:
    opened = checkpoint._Safetensors(str(folder), {}, [folder / "model.safetensors"])
    sources = [identity.WeightFile(f, s, opened._contents(f)) for f, s in opened._stamps.items()]
    return identity.fingerprint("{}", sources, Identities(), quantised=quantised)


def test_a_row_that_no_sample_sees_makes_another_model(large: None, tmp_path: Path) -> None:
    """Two models differ in one row of 4,000: each has its own units, and its own norm."""
    base = tiny_tensors(vocab=4000)
    first = {n: t.clone() for n, t in base.items()}
    first["model.embed_tokens.weight"][7] += 0.5
    second = {n: t.clone() for n, t in first.items()}
    second["model.embed_tokens.weight"][1234] += 100
    config = {"vocab_size": 4000}
    write = {"base": base, "first": first, "second": second}
    folders = {n: str(_model(tmp_path / n, t, **config)) for n, t in write.items()}
    sink, tuned = MemorySink(), tmp_path / "tuned"
    for name, expected in (("first", 0.5 * 4), ("second", math.hypot(0.5 * 4, 100 * 4))):
        tuned.unlink(missing_ok=True)
        tuned.symlink_to(folders[name])  # the name of a model is in the keys too: here it is one
        runner.run(intake.of_models(folders["base"], [str(tuned)]), sink, ["tuning_vectors"])
        newest = sink.rows("norm", layer=None, module="embedding")[-1]
        assert newest.value == pytest.approx(expected, rel=1e-6)
        assert sink.last.reused == 0


def test_what_is_remembered_is_not_read_again(large: None, tmp_path: Path) -> None:
    folder = _age(_sharded(tmp_path / "m", tiny_tensors(), "safetensors", 3))
    stored = sum(t.nbytes for t in tiny_tensors().values())
    memory = Memory()
    first = Identities(memory)
    fingerprint = open_directory(folder, first).fingerprint()
    assert (first.bytes_read, len(memory.known)) == (stored, 3)
    again = Identities(memory)
    assert open_directory(folder, again).fingerprint() == fingerprint
    assert again.bytes_read == 0
    shard = sorted(folder.glob("*.safetensors"))[1]
    os.utime(shard)
    one = Identities(memory)
    assert open_directory(folder, one).fingerprint() == fingerprint
    assert 0 < one.bytes_read < stored, "only the file with another time"
    memory.known = dict.fromkeys(memory.known, "damaged")
    anew = Identities(memory)
    assert open_directory(folder, anew).fingerprint() == fingerprint
    assert anew.bytes_read == stored


def test_a_pass_reads_what_is_stored_once_and_once_to_identify_it(
    large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = _model(tmp_path / "base", tiny_tensors())
    tuned = _model(tmp_path / "tuned", tuned_from(tiny_tensors(), 1))
    sink, opened = MemorySink(), _openings(monkeypatch)

    pass_alone = [name for name in WEIGHTS if name != "directions"]  # reads embeddings once more

    def of(analyses: Any) -> tuple[list[float], float]:
        runner.run(intake.of_models(str(base), [str(tuned)]), sink, analyses)
        family, identities = opened[-1]
        members = [family.base, *family.tuned.values()]
        stored = [sum(i.nbytes for i in m.checkpoint.tensors.values()) for m in members]
        read = [m.checkpoint.bytes_read / n for m, n in zip(members, stored, strict=True)]
        return read, identities.bytes_read / sum(stored)

    assert of(pass_alone) == ([1, 1], 1)
    assert {p.label for p in sink.said} >= {"identifying base", "identifying tuned"}
    assert of(pass_alone) == ([0, 0], 0)
    assert sink.last.reused == sink.last.total
    sink.units.clear()
    assert of(pass_alone) == ([1, 1], 0)


def _openings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Identities]]:
    """The families that are opened from now on, and how they were identified."""
    opened = []

    def keep(models: Any, identities: Identities) -> Any:
        opened.append((open_family(models, identities), identities))
        return opened[-1][0]

    monkeypatch.setattr("core.models.family.open_family", keep)
    return opened


def test_adapters_over_one_base_read_it_once(large: None, tmp_path: Path) -> None:
    """Also where its file is too young to be remembered."""
    base = write_model(tmp_path / "base", tiny_config(), tiny_tensors())
    prefix = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    for i, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        config = {
            "peft_type": "LORA",
            "r": 1,
            "lora_alpha": 1,
            "base_model_name_or_path": str(base),
        }
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(config))
        factors = {
            f"{prefix}A.weight": torch.ones(1, 16),
            f"{prefix}B.weight": torch.ones(16, 1) + i,
        }
        save_file(factors, tmp_path / name / "adapter_model.safetensors")
    study = intake.of_models(str(base), [str(tmp_path / "a"), str(tmp_path / "b")])
    identities = Identities()
    family = open_family(study.models, identities)
    assert identities.bytes_read == sum(t.nbytes for t in tiny_tensors().values())
    assert len({family.base.fingerprint, *(m.fingerprint for m in family.tuned.values())}) == 3


@pytest.mark.parametrize("how", ["in place", "replaced", "time set back"])
def test_a_changed_file_of_the_same_size_is_read_again(
    large: None, tmp_path: Path, how: str
) -> None:
    folder, memory = _model(tmp_path / "m", tiny_tensors()), Memory()
    before = open_directory(folder, Identities(memory)).fingerprint()
    file = folder / "model.safetensors"
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    time.sleep(0.02)  # a file system's clock moves in steps
    if how == "replaced":
        file.unlink()
    file.write_bytes(content)
    if how == "time set back":
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert open_directory(folder, Identities(memory)).fingerprint() != before


@pytest.mark.parametrize(("age", "remembered"), [(0, 0), (1.5, 0), (-3600, 0), (5, 1)])
def test_a_young_file_is_not_remembered(
    large: None, tmp_path: Path, age: float, remembered: int
) -> None:
    """It may be written once more within the same step of its file system's clock."""
    folder = write_model(tmp_path / "m", tiny_config(), tiny_tensors())
    memory = Memory()
    open_directory(_age(folder, age), Identities(memory)).fingerprint()
    assert len(memory.known) == remembered


@pytest.mark.parametrize("limit", [0, identity.SMALL])
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_file_that_is_written_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, form: str
) -> None:
    monkeypatch.setattr(identity, "SMALL", limit)
    folder = _age(_sharded(tmp_path / "m", tiny_tensors(), form, 1))
    memory = Memory()
    opened = open_directory(folder, Identities(memory))
    (file,) = (f for f in folder.iterdir() if f.suffix != ".json")
    os.utime(file)
    with pytest.raises(CheckpointError, match="was changed while it was read") as error:
        opened.fingerprint()
    assert str(file) in error.value.title
    assert memory.known == {}
    again = open_directory(_age(folder), Identities(memory))
    assert again.fingerprint() == open_directory(folder).fingerprint()


def test_a_file_that_changes_after_it_was_recalled_is_refused(large: None, tmp_path: Path) -> None:
    folder, memory = _model(tmp_path / "m", tiny_tensors()), Memory()
    open_directory(folder, Identities(memory)).fingerprint()
    opened = open_directory(folder, Identities(memory))
    os.utime(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="was changed"):
        opened.fingerprint()


def test_a_run_can_be_cancelled_while_its_models_are_identified(
    large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_LOOK", 0.001)
    part, started = checkpoint._Safetensors._part, []

    def slow(self: Any, file: Path, origin: int, start: int, stop: int, into: Any) -> Any:
        started.append(start)
        if len(started) > 1:
            cancel.wait(10)
        return part(self, file, origin, start, stop, into)

    cancel = threading.Event()
    monkeypatch.setattr(checkpoint._Safetensors, "_part", slow)
    base = _model(tmp_path / "base", tiny_tensors())

    class Sink(MemorySink):
        def cancelled(self) -> bool:
            cancel.set()
            return True

    sink = Sink()
    with pytest.raises(Cancelled):
        runner.run(intake.of_models(str(base), [str(base)]), sink, WEIGHTS)
    assert sink.identities == {}
    blocks = sum(-(-t.nbytes // 256) for t in tiny_tensors().values())
    assert len(started) < blocks


def test_a_file_that_fails_while_it_is_read_is_one_error(large: None, tmp_path: Path) -> None:
    folder = _model(tmp_path / "m", tiny_tensors())
    opened = open_directory(folder)
    os.truncate(folder / "model.safetensors", 4000)
    with pytest.raises(CheckpointError, match="was changed while it was read"):
        opened.fingerprint()


def test_stamps_follow_links(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m", tiny_tensors())
    (tmp_path / "link").symlink_to(folder)
    file = folder / "model.safetensors"
    assert stamp_of(tmp_path / "link" / "model.safetensors") == stamp_of(file)
    with pytest.raises(CheckpointError, match="nowhere"):
        stamp_of(tmp_path / "nowhere")
