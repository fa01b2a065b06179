"""The library over caches in the real layout, folders, and files that are wrong in many ways."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import transformers as hf
from huggingface_hub import scan_cache_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.library import catalogue, lineage
from app.library.appraisal import Entry, appraise
from app.library.parentage import origin_of
from app.library.shelves import DEEPEST, Search
from core.errors import TauscopeError
from core.models.family import open_family
from core.study.models import Models
from tests.app.hub import (
    card,
    shelve,
    tiny_shapes,
    write_adapter,
    write_folder,
    write_sparse,
)
from tests.conftest import tiny_config, tiny_tensors, write_model
from tests.core import zoo


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub"


def only(folder: Path) -> Entry:
    (entry,) = catalogue.scan([folder])
    return entry


def drawn(entries: tuple[Entry, ...]) -> list[str]:
    """The tree as indented last parts of names."""
    return [
        "  " * branch.depth + branch.name.rsplit("/", 1)[-1] + ("" if branch.entry else "?")
        for branch in catalogue.tree(entries)
    ]


# What one model says of itself


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_it_counts_what_transformers_counts(name: str, tmp_path: Path) -> None:
    (model,) = zoo.build(name, tmp_path, models=0)
    entry = only(tmp_path / "base")
    assert entry.parameters == sum(p.numel() for p in model.parameters())
    assert (entry.kind, entry.dtype, entry.trouble) == ("model", "float32", None)
    assert entry.architecture == model.config.model_type
    assert entry.model_class == type(model).__name__
    assert (entry.layers, entry.hidden) == (2, 32)
    assert entry.size == sum(file.stat().st_size for file in (tmp_path / "base").iterdir())


def test_shards_count_together(tmp_path: Path) -> None:
    model = hf.AutoModelForCausalLM.from_config(zoo.CONFIGS["llama"]())
    model.save_pretrained(tmp_path / "x", max_shard_size="20KB")
    assert len(list((tmp_path / "x").glob("*.safetensors"))) > 2
    assert only(tmp_path / "x").parameters == model.num_parameters()
    next((tmp_path / "x").glob("*.safetensors")).unlink()
    entry = only(tmp_path / "x")
    assert entry.parameters is None
    assert entry.trouble is not None
    assert "is missing" in entry.trouble


def test_old_buffers_are_no_parameters(tmp_path: Path) -> None:
    """GPT-2 checkpoints of old carry their masks along, and rotary models their frequencies."""
    tensors = tiny_tensors() | {"model.layers.0.self_attn.rotary_emb.inv_freq": tiny_tensors()[
        "model.norm.weight"
    ]}  # fmt: skip
    write_model(tmp_path / "x", tiny_config(), tensors)
    assert only(tmp_path / "x").parameters == sum(t.numel() for t in tiny_tensors().values())


def test_no_tensor_is_read(tmp_path: Path) -> None:
    """Half a terabyte of zeros is appraised at once, by its header."""
    write_folder(tmp_path / "x")
    shapes = tiny_shapes() | {"model.embed_tokens.weight": (2**34, 16)}
    write_sparse(tmp_path / "x" / "model.safetensors", shapes)
    entry = only(tmp_path / "x")
    assert entry.parameters is not None
    assert entry.parameters > 2**38
    assert entry.size is not None
    assert entry.size > 2**39
    assert entry.trouble is None


def test_bin_files_are_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'echo no'\ntR.")
    entry = only(folder)
    assert (entry.parameters, entry.dtype, entry.trouble) == (None, "unknown", None)
    (folder / "config.json").write_text(json.dumps(tiny_config(architectures=["BertForMaskedLM"])))
    assert only(folder).trouble == ("Bert is an encoder; tauscope compares causal language models.")


@pytest.mark.parametrize(
    ("how", "dtype", "expected", "trouble"),
    [
        ({"quant_method": "awq", "bits": 4}, "I32", "4-bit awq (int32)", None),
        (
            {"quant_method": "bitsandbytes", "load_in_8bit": True},
            "U8",
            "8-bit bitsandbytes (uint8)",
            None,
        ),
        (
            {"quant_method": "hqq"},
            "U8",
            "hqq (uint8)",
            "It is quantised with 'hqq', which has no reader.",
        ),
        (
            "nonsense",
            "I32",
            "quantised (int32)",
            "It is quantised (tensor model.embed_tokens.weight), but config.json doesn't say how.",
        ),
    ],
)
def test_quantised_weights_are_said_to_be(
    how: Any, dtype: str, expected: str, trouble: str | None, tmp_path: Path
) -> None:
    entry = only(write_folder(tmp_path / "x", dtype=dtype, quantization_config=how))
    assert (entry.dtype, entry.parameters) == (expected, None)
    assert entry.trouble == trouble


def test_packed_weights_are_not_counted_where_no_setting_tells(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x")
    packed = {name.replace("proj.weight", "proj.qweight"): s for name, s in tiny_shapes().items()}
    write_sparse(folder / "model.safetensors", packed, "I32")
    entry = only(folder)
    assert (entry.parameters, entry.dtype) == (None, "int32")
    assert "is quantised" in str(entry.trouble)


def test_eight_bit_floats_are_refused_as_the_engine_does(tmp_path: Path) -> None:
    entry = only(write_folder(tmp_path / "x", dtype="F8_E4M3"))
    assert entry.trouble is not None
    assert entry.trouble.startswith("It is quantised (tensor model.embed_tokens.weight), but")


def test_an_adapter(tmp_path: Path) -> None:
    entry = only(write_adapter(tmp_path / "x", "Qwen/Qwen2.5-7B"))
    assert (entry.kind, entry.rank, entry.architecture) == ("adapter", 2, "lora")
    assert (entry.parameters, entry.dtype) == (2 * 2 * 32, "float32")
    assert (entry.parents, entry.stated) == (("Qwen/Qwen2.5-7B",), "adapter_config.json")
    assert entry.trouble is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"peft_type": "P_TUNING"}, "It holds an adapter of kind P_TUNING, which changes no weig"),
        ({"task_type": "SEQ_CLS"}, "It adapts a classifier head"),
        (
            {"init_lora_weights": "loftq"},
            "adapter_config.json: 'init_lora_weights' is loftq, which changed",
        ),
    ],
)
def test_adapters_that_are_not_read(settings: Any, reason: str, tmp_path: Path) -> None:
    entry = only(write_adapter(tmp_path / "x", "a/b", **settings))
    assert entry.trouble is not None
    assert reason in entry.trouble


# Where models are


def test_a_cache_is_read_as_its_own_library_reads_it(cache: Path, tmp_path: Path) -> None:
    ids = ("Qwen/Qwen2.5-7B", "gpt2", "org-a/model-b")
    for hub_id in ids:
        shelve(cache, hub_id, write_folder(tmp_path / "made" / hub_id, card="# none"))
    (cache / "datasets--a--b" / "snapshots" / "x").mkdir(parents=True)
    theirs = {
        repo.repo_id: repo for repo in scan_cache_dir(cache).repos if repo.repo_type == "model"
    }
    ours = {entry.name: entry for entry in catalogue.scan([])}
    assert set(ours) == set(theirs) == set(ids)
    for hub_id, entry in ours.items():
        (revision,) = theirs[hub_id].revisions
        assert entry.path == revision.snapshot_path
        assert entry.size == revision.size_on_disk
        assert entry.revisions == (revision.commit_hash,)
        assert entry.trouble is None


def test_the_snapshot_that_a_name_means_is_shown(cache: Path, tmp_path: Path) -> None:
    main = shelve(cache, "a/b", write_folder(tmp_path / "1"))
    other = shelve(cache, "a/b", write_folder(tmp_path / "2"), ref="")
    os.utime(main, (1, 1))
    (entry,) = catalogue.scan([])
    assert (entry.path, entry.revisions) == (main, (main.name, other.name))
    (cache / "models--a--b" / "refs" / "main").unlink()
    (entry,) = catalogue.scan([])
    assert entry.path == other, "without a main, the newest"


def test_downloads_that_are_not_finished(cache: Path, tmp_path: Path) -> None:
    snapshot = shelve(cache, "a/b", write_folder(tmp_path / "1"))
    (snapshot / "model.safetensors").resolve().unlink()
    begun = cache / "models--a--c" / "blobs"
    begun.mkdir(parents=True)
    (begun / "0123.incomplete").touch()
    troubles = {entry.name: entry.trouble for entry in catalogue.scan([])}
    assert troubles["a/b"] == "model.safetensors is missing: its download is not finished."
    assert troubles["a/c"] == "Its download is not finished."


def test_a_tokeniser_alone_is_no_model(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "config.json").write_text("{}")
    shelve(cache, "a/b", tmp_path / "1")
    assert catalogue.scan([]) == ()


def test_no_cache_is_no_error(cache: Path) -> None:
    cache.rmdir()
    search = Search()
    assert list(catalogue.appraised(search, [])) == []
    assert search.notes == []
    cache.touch()
    assert catalogue.scan([]) == ()


def test_a_cache_of_somebody_else(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_dir(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", is_dir)
    search = Search()
    assert list(catalogue.appraised(search, [])) == []
    assert search.notes == [f"{cache} can't be read: Permission denied."]


def test_a_broken_cache_hides_no_other_model(cache: Path, tmp_path: Path) -> None:
    shelve(cache, "a/b", write_folder(tmp_path / "1"))
    broken = shelve(cache, "a/c", write_folder(tmp_path / "2")).parents[1]
    (broken / "refs" / "main").write_bytes(b"\xff\xfe")
    (cache / "models--a--d").touch()
    assert {entry.name for entry in catalogue.scan([])} == {"a/b", "a/c"}


def test_folders_are_searched_to_a_depth(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("top", *map(str, range(DEEPEST)))
    write_folder(deep)
    write_folder(deep / "deeper")
    write_folder(tmp_path / "top" / ".hidden" / "x")
    write_folder(tmp_path / "top" / "0" / "checkpoint-500")
    names = [entry.name for entry in catalogue.scan([tmp_path / "top"])]
    assert names == [str(deep), str(tmp_path / "top" / "0" / "checkpoint-500")]


def test_relative_folders_give_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "top" / "x")
    monkeypatch.chdir(tmp_path)
    entry = only(Path("top"))
    assert entry.name == str(entry.path) == str(tmp_path / "top" / "x")


def test_a_model_is_found_once_for_all_links_and_loops(tmp_path: Path) -> None:
    model = write_folder(tmp_path / "top" / "a" / "model")
    (tmp_path / "top" / "a" / "loop").symlink_to(tmp_path / "top")
    (tmp_path / "top" / "b").symlink_to(model)
    (tmp_path / "top" / "c").symlink_to(tmp_path / "nowhere")
    top = tmp_path / "top"
    assert [entry.name for entry in catalogue.scan([top, top, model])] == [str(model)]


def test_a_cache_among_the_folders_is_read_as_one(tmp_path: Path) -> None:
    snapshot = shelve(tmp_path / "top" / "other", "a/b", write_folder(tmp_path / "1"))
    assert only(tmp_path / "top").name == str(snapshot), "a study can't name it by its hub id"


def test_what_can_not_be_looked_into_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "top" / "open")
    closed = tmp_path / "top" / "closed"
    closed.mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if not isinstance(path, int) and Path(path) == closed:  # a number: an open folder
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    search = Search()
    none = tmp_path / "none"
    entries = list(catalogue.appraised(search, [tmp_path / "top", none, none]))
    assert len(entries) == 1
    assert search.notes == [
        f"{closed} can't be read: Permission denied.",
        f"{none} can't be read: No such file or directory.",
    ]


def test_a_search_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.library.shelves.MOST", 3)
    for i in range(5):
        write_folder(tmp_path / "top" / str(i))
    search = Search()
    entries = list(catalogue.appraised(search, [tmp_path / "top"]))
    assert len(entries) == 1, "the cache, the folder, one below it"
    assert len(search.notes) == 1
    assert search.notes[0].startswith("More than 3 folders")


# Lineage


def test_families_stand_together(tmp_path: Path) -> None:
    top = tmp_path / "top"
    base = write_folder(top / "z-base")
    write_folder(top / "chat", card(str(base)))
    write_folder(top / "a-doctor", card(str(top / "chat"), relation="finetune"))
    write_adapter(top / "b-lora", f"{top / 'chat'}/")
    write_folder(top / "mine", _name_or_path=str(base))
    write_folder(top / "orphan", card("far/Away"))
    write_folder(top / "sister", card("FAR/away"))
    write_folder(top / "alone")
    entries = catalogue.scan([top])
    assert drawn(entries) == [
        "alone",
        "z-base", "  chat", "    a-doctor", "    b-lora", "  mine",
        "Away?", "  orphan", "  sister",
    ]  # fmt: skip
    assert [e.path.name for e in catalogue.children(entries, str(base))] == ["chat", "mine"]
    assert [e.path.name for e in catalogue.children(entries, "far/away")] == ["orphan", "sister"]
    doctor = next(e for e in entries if e.path.name == "a-doctor")
    assert (doctor.relation, doctor.stated) == ("finetune", "model card")
    above, alone = lineage.roles(entries, [doctor])
    assert (above.path.name, alone) == ("chat", (doctor,))


def test_a_merge_stands_under_the_first_of_its_parents_that_is_here(tmp_path: Path) -> None:
    write_folder(tmp_path / "top" / "b")
    write_folder(tmp_path / "top" / "merge", card("x/away", str(tmp_path / "top" / "b")))
    entries = catalogue.scan([tmp_path / "top"])
    assert drawn(entries) == ["b", "  merge"]
    assert [e.path.name for e in catalogue.children(entries, "x/away")] == ["merge"]


_NAMES = "abcdef"


@given(st.lists(st.lists(st.sampled_from([*_NAMES, "away/x"]), max_size=2), max_size=6))
def test_every_model_is_in_the_tree_once_whatever_it_says(stated: list[list[str]]) -> None:
    """Also where models say that they come from one another."""
    entries = tuple(
        Entry(name=name, path=Path(f"/{name}"), kind="model", parents=tuple(parents))
        for name, parents in zip(_NAMES, stated, strict=False)
    )
    branches = catalogue.tree(entries)
    placed = [branch.entry.name for branch in branches if branch.entry]
    assert sorted(placed) == [entry.name for entry in entries]
    above: list[lineage.Branch] = []
    for branch in branches:
        assert branch.depth <= len(above)
        del above[branch.depth :]
        if branch.depth and branch.entry:
            assert above[-1].name in branch.entry.parents
        above.append(branch)


@given(st.permutations(["base", "chat", "doctor"]))
def test_the_base_of_marked_models_is_by_lineage(order: list[str]) -> None:
    parents_of = {
        "base": (), "chat": ("base",), "doctor": ("chat",), "other": (), "more": (),
        "nurse": ("chat",), "maths": ("base", "other"),
    }  # fmt: skip
    entries = {
        name: Entry(name=name, path=Path(f"/{name}"), kind="model", parents=parents)
        for name, parents in parents_of.items()
    }
    every = list(entries.values())
    base, tuned = lineage.roles(every, [entries[name] for name in order])
    assert base.name == "base"
    assert [entry.name for entry in tuned] == [name for name in order if name != "base"]
    base, _ = lineage.roles(every, [entries["doctor"], entries["base"]])
    assert base.name == "base", "though the one between is not marked"
    base, tuned = lineage.roles(every, [entries["nurse"], entries["doctor"]])
    assert base.name == "chat", "the nearest that both come from, though it is not marked"
    assert len(tuned) == 2
    base, _ = lineage.roles(every, [entries["maths"], entries["doctor"]])
    assert base.name == "base"
    base, _ = lineage.roles(every, [entries["other"], entries["more"]])
    assert base.name == "other", "the first, where nothing is stated"


@pytest.mark.parametrize(
    ("front", "parents"),
    [
        ("base_model: a/b", ("a/b",)),
        ('base_model: "a/b"  # said\nlicense: mit', ("a/b",)),
        ("base_model:\n- a/b\n- c/d\nbase_model_relation: merge", ("a/b", "c/d")),
        ("base_model:\n  - a/b\n\n  - c/d", ("a/b", "c/d")),
        ("base_model: [a/b, c/d, a/b]", ("a/b", "c/d")),
        ("base_model: null", ()),
        ("base_model: {a: b}", ()),
        ("base_model: [[a/b], 3.5]", ("3.5",)),
        ("base_model: !!python/object/apply:os.system [x]", ("x",)),
        ("base_model: &a [*a]", ()),
        ("base_model: " + "[" * 50_000, ()),
        ("base_model: [a/b", ()),
        ("other: {\nbase_model: a/b", ("a/b",)),
        ("not_base_model: a/b", ()),
        ("base_model: " + "x" * 5000, ()),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_cards(front: str, parents: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n# Card\n")
    assert origin_of(tmp_path, {"own"}, adapter=False).parents == parents


def test_a_model_is_not_its_own_parent(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\r\nbase_model: me/own\r\n---\r\n")
    assert origin_of(tmp_path, {"me/own"}, adapter=False).parents == ()
    assert origin_of(tmp_path, {"me/other"}, adapter=False).parents == ("me/own",)


# Files that are wrong

_TEXT = st.text() | st.binary().map(lambda b: b.decode("latin-1"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
_SETTINGS = (
    "model_type", "architectures", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "quantization_config", "text_config", "_name_or_path",
    "peft_type", "r", "base_model_name_or_path", "use_dora", "init_lora_weights",
)  # fmt: skip
_FAST = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FAST
@given(st.dictionaries(st.sampled_from(_SETTINGS), _JSON))
def test_no_setting_raises(tmp_path: Path, wrong: dict[str, Any]) -> None:
    for name, key in (("model", "config.json"), ("adapter", "adapter_config.json")):
        folder = tmp_path / name
        write_folder(folder) if name == "model" else write_adapter(folder, "a/b")
        (folder / key).write_text(json.dumps({**tiny_config(), "peft_type": "LORA", **wrong}))
        entry = appraise(folder, "x")
        assert entry.kind == name
        for value in (entry.architecture, entry.model_class, entry.trouble or ""):
            assert isinstance(value, str)
            assert len(value) <= 300
        assert all(n is None or n > 0 for n in (entry.layers, entry.hidden, entry.rank))


@_FAST
@given(st.binary(max_size=200) | _TEXT.map(lambda t: f"---\nbase_model: {t}\n---".encode()))
def test_no_card_raises(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "README.md").write_bytes(content)
    origin = origin_of(tmp_path, set(), adapter=False)
    assert all(isinstance(name, str) and name for name in origin.parents)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (
            "model.safetensors",
            b"\xff" * 100,
            "it states a header of 18446744073709551615 bytes, and the file has 100",
        ),
        ("config.json", b"{", "config.json can't be read"),
        ("config.json", b"[" * 100_000, "nested too deeply"),
        ("config.json", b'{"model_type": "llama", "num_attention_heads": "x"}', "wrong kind"),
        ("config.json", b'{"model_type": ["llama"]}', "config.json names no type of model."),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../x"}}', "not plain file names"),
    ],
    ids=lambda value: str(value[:30]),
)
def test_broken_files_are_said(file: str, content: bytes, reason: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x")
    if file.endswith(".index.json"):
        (folder / "model.safetensors").unlink()  # beside a whole file an index is not looked at
    (folder / file).write_bytes(content)
    entry = only(folder)
    assert entry.trouble is not None
    assert reason in entry.trouble
    assert str(tmp_path) not in entry.trouble


@pytest.mark.parametrize(
    "change", [{}, {"architectures": ["BertForMaskedLM"], "model_type": "bert"}]
)
def test_what_it_calls_readable_the_engine_reads(change: dict[str, Any], tmp_path: Path) -> None:
    folder = write_model(tmp_path / "x", tiny_config(**change), tiny_tensors())
    try:
        open_family(Models(base=str(folder), tuned={"t": str(folder)}))
        readable = True
    except TauscopeError:
        readable = False
    assert (only(folder).trouble is None) == readable


# The command


def test_the_command_prints_the_tree(tauscope: Any, cache: Path, tmp_path: Path) -> None:
    shelve(cache, "a/base", write_folder(tmp_path / "1"))
    write_folder(tmp_path / "top" / "tuned \x1b[31m", card("a/base"))
    code, out, err = tauscope("models", "--folder", tmp_path / "top")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].startswith("a/base")
    assert lines[2].startswith("  ")
    assert "\x1b" not in out
    assert "\\x1b[31m" in "".join(line.strip() for line in out.split("  "))


def test_the_command_as_json(tauscope: Any, tmp_path: Path) -> None:
    write_adapter(tmp_path / "top" / "x", "a/b")
    code, out, _ = tauscope("models", "--json", "--folder", tmp_path / "top")
    assert code == 0
    (entry,) = json.loads(out)
    assert entry["name"] == entry["path"] == str(tmp_path / "top" / "x")
    assert entry["parents"] == ["a/b"]


def test_the_command_without_models_says_where_they_go(tauscope: Any, cache: Path) -> None:
    code, out, err = tauscope("models", "--folder", "/nowhere")
    assert (code, out) == (0, "")
    assert str(cache) in err
    assert "/nowhere can't be read" in err
    assert "config.toml" in err
    assert json.loads(tauscope("models", "--json").out) == []
