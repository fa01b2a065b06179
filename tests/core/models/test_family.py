"""What is compared, what is refused, and what is said to be doubtful."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from core.engine import runner
from core.engine.measurement import content_key
from core.engine.registry import Parameters
from core.errors import CheckpointError, FamilyError, RunError
from core.models.family import open_family
from core.study import study
from core.study.models import Models
from core.vectors import arithmetic, merging
from tests.conftest import MemorySink, Tensors, tiny_config, tiny_tensors, tuned_from, write_model


def _models(base: Path, **tuned: Any) -> Models:
    given = {n: m if isinstance(m, dict) else {"path": str(m)} for n, m in tuned.items()}
    return Models(base=str(base), tuned=given)


def _run(base: Path, **tuned: Any) -> MemorySink:
    sink = MemorySink()
    of = study.Study(name="s", models=_models(base, **tuned))
    runner.run(of, sink, ("tuning_vectors", "vector_cosine", "alignment"))
    return sink


def _write(folder: Path, tensors: Tensors, **config: Any) -> Path:
    return write_model(folder, tiny_config(**config), tensors)


def test_the_same_model_twice_has_a_zero_vector(tmp_path: Path) -> None:
    base = _write(tmp_path / "base", tiny_tensors())
    sink = _run(base, same=_write(tmp_path / "same", tiny_tensors()))
    assert ("same", "seems to have the same weights as 'base'.") in sink.warnings
    assert any("zero" in m for s, m in sink.warnings if s == "same")
    assert sink.value("norm", layer=None, module="all").value == 0
    assert sink.value("changed_share", layer=None, module="all").value == 0
    for metric in ("base_cosine", "rounding_share"):
        assert sink.value(metric, layer=None, module="all").value is None
    assert {r.value for r in sink.rows("two_sided")} == {None}


def test_wrong_shapes_and_missing_tensors_name_them(tmp_path: Path) -> None:
    base = _write(tmp_path / "base", tiny_tensors())
    narrow = tiny_tensors()
    narrow["model.layers.1.mlp.up_proj.weight"] = torch.zeros(23, 16)
    words = r"layers.1.mlp.up_proj.weight is \[23, 16\]"
    with pytest.raises(CheckpointError, match=words + r", by config.json \[24, 16\]"):
        open_family(_models(base, narrow=_write(tmp_path / "narrow", narrow)))
    for layer in (0, 1):
        for module, shape in {"gate": (23, 16), "up": (23, 16), "down": (16, 23)}.items():
            narrow[f"model.layers.{layer}.mlp.{module}_proj.weight"] = torch.zeros(shape)
    other = _write(tmp_path / "other", narrow, intermediate_size=23)
    with pytest.raises(
        FamilyError, match=r"down_proj.weight is \[16, 23\], in the base \[16, 24\]"
    ):
        open_family(_models(base, other=other))
    short = tiny_tensors()
    del short["model.layers.0.self_attn.q_proj.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 weight: .*layers.0.self_attn.q_proj"):
        open_family(_models(base, short=_write(tmp_path / "short", short)))


def test_extra_tensors_are_reported(tmp_path: Path) -> None:
    base = _write(tmp_path / "base", tiny_tensors())
    extra = tuned_from(tiny_tensors(), 1) | {"model.layers.0.self_attn.q_proj.bias": torch.ones(16)}
    family = open_family(_models(base, extra=_write(tmp_path / "extra", extra)))
    assert any("1 tensor that the base lacks" in note for _, note in family.warnings)


def test_prefixes_may_differ(tmp_path: Path) -> None:
    base = _write(tmp_path / "base", tiny_tensors())
    bare = {n.removeprefix("model."): t for n, t in tuned_from(tiny_tensors(), 1).items()}
    same = _write(tmp_path / "same", tuned_from(tiny_tensors(), 1))
    sink = _run(base, bare=_write(tmp_path / "bare", bare), same=same)
    assert sink.value("cosine", model="bare", layer=None, module="all").value == pytest.approx(1)


@pytest.mark.parametrize(
    "content", ['{"model": 3.5}', '{"model": []}', '{"model": null}', "[]", "{"]
)
def test_a_vocabulary_that_is_none_is_unknown(tmp_path: Path, content: str) -> None:
    tensors = tiny_tensors()
    base, tuned = (_write(tmp_path / name, tensors) for name in ("base", "tuned"))
    (base / "tokenizer.json").write_text(content)
    (tuned / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    notes = " ".join(message for _, message in _run(base, tuned=tuned).warnings)
    assert "vocabulary" not in notes


@pytest.mark.parametrize("empty", ["base", "tuned"])
def test_an_embedding_without_rows_is_refused(tmp_path: Path, empty: str) -> None:
    tensors, name = tiny_tensors(), "model.embed_tokens.weight"
    given = {each: {**tensors} for each in ("base", "tuned")}
    given[empty][name] = tensors[name][:0]
    base, tuned = (_write(tmp_path / each, stored) for each, stored in given.items())
    shape = r"model\.embed_tokens\.weight is \[0, \d+\], by config"
    words = rf"{empty}: 1 tensor of another shape .*: {shape}"
    with pytest.raises(CheckpointError, match=words):
        _run(base, tuned=tuned)


def test_a_grown_vocabulary_is_compared_in_common_rows(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors)
    grown = tuned_from(tensors, 1)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        grown[name] = torch.cat([grown[name], 100 * torch.ones(5, 16)])
    sink = _run(
        base,
        grown=_write(tmp_path / "grown", grown, vocab_size=25),
        plain=_write(tmp_path / "plain", tuned_from(tensors, 2)),
    )
    assert any("common 20 are compared, 5 are left out" in m for _, m in sink.warnings)
    delta = (grown["lm_head.weight"][:20] - tensors["lm_head.weight"]).double().norm()
    row = sink.value("norm", model="grown", layer=None, module="unembedding")
    assert row.value == pytest.approx(float(delta), rel=1e-5)
    assert row.n == 20 * 16


def test_tied_embeddings(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tied = {n: t for n, t in tensors.items() if n != "lm_head.weight"}
    base = _write(tmp_path / "base", tied, tie_word_embeddings=True)
    tuned = tuned_from(tied, 1)
    redundant = tuned | {"lm_head.weight": tuned["model.embed_tokens.weight"].clone()}
    sink = _run(base, redundant=_write(tmp_path / "r", redundant, tie_word_embeddings=True))
    assert sink.rows("norm", module="unembedding") == []
    assert sink.warnings == []


def _under_the_heads_name(tied: Tensors) -> Tensors:
    """As the safetensors library saves a tied model: it keeps the first name in the alphabet."""
    rest = {n: t for n, t in tied.items() if n != "model.embed_tokens.weight"}
    return rest | {"lm_head.weight": tied["model.embed_tokens.weight"]}


@pytest.mark.parametrize("base_too", [False, True])
def test_a_tied_embedding_that_is_stored_as_the_head_is_the_embedding(
    tmp_path: Path, base_too: bool
) -> None:
    tied = {n: t for n, t in tiny_tensors().items() if n != "lm_head.weight"}
    tuned = tuned_from(tied, 1)
    base = _under_the_heads_name(tied) if base_too else tied
    sink = _run(
        _write(tmp_path / "base", base, tie_word_embeddings=True),
        plain=_write(tmp_path / "plain", tuned, tie_word_embeddings=True),
        renamed=_write(tmp_path / "re", _under_the_heads_name(tuned), tie_word_embeddings=True),
    )
    assert sink.rows("norm", module="unembedding") == []
    plain, renamed = (
        {(r.layer, r.module): (r.value, r.n) for r in sink.rows("norm", model=model)}
        for model in ("plain", "renamed")
    )
    assert plain == renamed
    assert plain[None, "embedding"][1] == 20 * 16
    assert not any("head" in message for _, message in sink.warnings)


def test_units_of_a_tied_embedding_stored_as_the_head_are_computed_anew(tmp_path: Path) -> None:
    tied = {n: t for n, t in tiny_tensors().items() if n != "lm_head.weight"}
    base = _write(tmp_path / "base", tied, tie_word_embeddings=True)
    tuned = _write(tmp_path / "re", _under_the_heads_name(tied), tie_word_embeddings=True)
    family, no_parameters = open_family(_models(base, re=tuned)), Parameters()

    def key(layer: int | None, known: dict[str, Any]) -> tuple[str, str]:
        """The key now, and as versions made it that counted the head apart."""
        parts = {
            "analysis": ["a", 1, {}], "base": family.base.fingerprint,
            "models": [["re", family.tuned["re"].fingerprint]], "layer": layer, **known,
        }  # fmt: skip
        return family.key("a", 1, no_parameters, ["re"], layer), content_key(parts)

    now, before = key(0, {"rows": None})
    assert now == before
    now, before = key(None, {"rows": []})
    assert now != before


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("stated", [True, False])
def test_a_head_of_its_own_over_a_tied_base_is_compared_and_merged(
    tmp_path: Path, stated: bool, renamed: bool
) -> None:
    """Whatever the configuration says: the files hold two tensors that differ."""
    tied = {n: t for n, t in tiny_tensors().items() if n != "lm_head.weight"}
    stored = _under_the_heads_name(tied) if renamed else tied
    base = _write(tmp_path / "base", stored, tie_word_embeddings=True)
    apart = tuned_from(tied, 1) | {"lm_head.weight": torch.randn(20, 16)}
    tuned = _write(tmp_path / "tuned", apart, tie_word_embeddings=stated)
    sink = _run(base, tuned=tuned)
    update = apart["lm_head.weight"].double() - tied["model.embed_tokens.weight"].double()
    norm = sink.value("norm", layer=None, module="unembedding").value
    assert norm == pytest.approx(float(update.norm()), rel=1e-6)
    family = open_family(_models(base, tuned=tuned))
    merging.merge(family, arithmetic.make({"tuned": 1}, ["tuned"]), tmp_path / "merged")
    merged, loaded = (
        hf.AutoModelForCausalLM.from_pretrained(folder).state_dict()
        for folder in (tmp_path / "merged", tuned)
    )
    assert all(torch.equal(merged[name], tensor) for name, tensor in loaded.items())
    assert not torch.equal(merged["lm_head.weight"], merged["model.embed_tokens.weight"])


def test_a_classifier_lacks_a_head_without_taking_it_from_the_others(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors)
    whole = tuned_from(tensors, 1)
    headless = {n: t for n, t in tuned_from(tensors, 2).items() if n != "lm_head.weight"}
    headless["score.weight"] = torch.randn(3, 16)
    classifier = _write(
        tmp_path / "classifier", headless, architectures=["LlamaForSequenceClassification"],
        id2label={str(i): str(i) for i in range(3)},
    )  # fmt: skip
    sink = _run(base, whole=_write(tmp_path / "whole", whole), classifier=classifier)
    head = (whole["lm_head.weight"] - tensors["lm_head.weight"]).double().norm()
    norm = sink.value("norm", model="whole", layer=None, module="unembedding").value
    assert norm == pytest.approx(float(head), rel=1e-6)
    assert sink.rows("norm", model="classifier", module="unembedding") == []
    shared = [n for n in tensors if n != "lm_head.weight"]
    energy = sum(float((headless[n] - tensors[n]).double().square().sum()) for n in shared)
    row = sink.value("norm", model="classifier", layer=None, module="all")
    assert row.value == pytest.approx(energy**0.5, rel=1e-6)
    assert row.n == sum(tensors[n].numel() for n in shared)
    assert any("without an output head" in m for s, m in sink.warnings if s == "classifier")


def test_a_tied_model_of_an_untied_base(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors)
    tied = tuned_from({n: t for n, t in tensors.items() if n != "lm_head.weight"}, 1)
    sink = _run(base, tied=_write(tmp_path / "tied", tied, tie_word_embeddings=True))
    assert any("ties its output head" in m for _, m in sink.warnings)
    expected = (tied["model.embed_tokens.weight"] - tensors["lm_head.weight"]).double().norm()
    norm = sink.value("norm", layer=None, module="unembedding").value
    assert norm == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("where", ["base", "tuned"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_name_the_tensor(
    tmp_path: Path, where: str, value: float
) -> None:
    models = {"base": tiny_tensors(), "tuned": tuned_from(tiny_tensors(), 1)}
    models[where]["model.layers.1.mlp.down_proj.weight"][3, 5] = value
    folders = {n: _write(tmp_path / n, t) for n, t in models.items()}
    with pytest.raises(RunError, match=f"'{where}'.*layers.1.mlp.down_proj"):
        _run(folders["base"], tuned=folders["tuned"])


def test_doubtful_inputs_are_said_to_be(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors, rope_theta=10000.0)
    other = _write(
        tmp_path / "other",
        {n: t.bfloat16() for n, t in tuned_from(tensors, 1).items()},
        rope_theta=1e6,
    )
    for folder, word in ((base, "a"), (other, "b")):
        vocabulary = {"model": {"vocab": {word: 0}}}
        (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    unrelated = _write(tmp_path / "unrelated", tiny_tensors(seed=9), rope_theta=10000.0)
    sink = _run(base, other={"path": str(other), "parent": "unrelated"}, unrelated=unrelated)
    notes = {subject: " ".join(m for s, m in sink.warnings if s == subject) for subject in
            ("other", "unrelated")}  # fmt: skip
    for words in ("rope_theta is 1000000.0", "bfloat16", "tokeniser", "tuned from 'unrelated'"):
        assert words in notes["other"]
    assert "hardly resembles the base" in notes["unrelated"]


def test_settings_in_the_form_of_a_newer_transformers_are_no_doubt(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors, rope_theta=5e5, torch_dtype="float32")
    plain = {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "dtype": "float32"}
    tuned = _write(tmp_path / "tuned", tuned_from(tensors, 1), **plain)
    assert _run(base, tuned=tuned).warnings == []


def test_rounding_is_estimated_and_a_dominated_change_is_marked(tmp_path: Path) -> None:
    """The stored update of a small change in bf16 is mostly rounding; of a large one hardly."""
    base = tiny_tensors(dtype=torch.bfloat16)
    true = {n: t.float() for n, t in base.items()}
    sizes = {"large": 0.02, "small": 1e-5}
    folder = _write(tmp_path / "base", base)
    tuned = {
        name: _write(
            tmp_path / name,
            {n: (t + size * torch.randn(t.shape)).bfloat16() for n, t in true.items()},
        )
        for name, size in sizes.items()
    }
    sink = _run(folder, **tuned)
    large = sink.value("rounding_share", model="large", layer=0, module="mlp")
    assert large.value is not None
    assert 0 < large.value < 0.02
    small = sink.value("rounding_share", model="small", layer=0, module="mlp")
    assert (small.value, small.low) == (None, 0.1)
    assert any("dominated by rounding" in m for s, m in sink.warnings if s == "small")


def test_rounding_share_is_its_formula(tmp_path: Path) -> None:
    base = tiny_tensors(dtype=torch.bfloat16)
    tuned = tuned_from(base, 1, 0.05)
    sink = _run(_write(tmp_path / "b", base), tuned=_write(tmp_path / "t", tuned))
    name = "model.layers.0.mlp.up_proj.weight"
    w = base[name].double().numpy()
    ulp = 2.0 ** (np.floor(np.log2(np.abs(w))) - 7)
    delta = tuned[name].double().numpy() - w
    expected = (ulp**2 / 12).sum() / (delta**2).sum()
    share = sink.value("rounding_share", layer=0, module="up").value
    assert share == pytest.approx(expected, rel=1e-5)


def test_cosines_relative_to_the_parent(tmp_path: Path) -> None:
    base = tiny_tensors()
    first = tuned_from(base, 1)
    second = tuned_from(first, 2)
    third = tuned_from(base, 3)
    folder = _write(tmp_path / "base", base)
    sink = _run(
        folder,
        first=_write(tmp_path / "first", first),
        second={"path": str(_write(tmp_path / "second", second)), "parent": "first"},
        third=_write(tmp_path / "third", third),
    )
    name = "model.layers.1.mlp.gate_proj.weight"

    def vector(a: Tensors, b: Tensors) -> Any:
        return (a[name].double() - b[name].double()).numpy().reshape(-1)

    def cosine(a: Any, b: Any) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    coordinates = {"layer": 1, "module": "gate", "model": "second"}
    for other, tensors in (("first", first), ("third", third)):
        for setting, start in (("", base), ("vs-parent", first)):
            expected = cosine(vector(second, start), vector(tensors, base))
            rows = sink.rows("cosine", reference=other, setting=setting, **coordinates)
            assert [r.value for r in rows] == [pytest.approx(expected, abs=1e-6)]
    assert sink.rows("cosine", model="first", reference="third", setting="vs-parent") == []


@pytest.mark.parametrize("listed", [3, 1.5, {"a": 1}, [3], [], ""])
def test_architectures_of_any_type_are_read(listed: object, tmp_path: Path) -> None:
    base = _write(tmp_path / "base", tiny_tensors(), architectures=listed)
    tuned = _write(tmp_path / "tuned", tuned_from(tiny_tensors(), 1), architectures=listed)
    assert open_family(_models(base, tuned=tuned)).anatomy.pieces


def test_unknown_architectures(tmp_path: Path) -> None:
    base = _write(tmp_path / "base", tiny_tensors(), model_type="novel")
    tuned = _write(tmp_path / "tuned", tuned_from(tiny_tensors(), 1), model_type="novel")
    family = open_family(_models(base, tuned=tuned))
    assert any("does not know (novel): read by its names" in m for _, m in family.warnings)
    modules = {p.module for p in family.anatomy.pieces}
    assert modules == {"q", "k", "v", "o", "gate", "up", "down", "norm", "embedding", "unembedding"}
    odd = {"model.layers.0.mystery.weight": torch.ones(2, 2)}
    strange = _write(tmp_path / "odd", odd, model_type="novel")
    assert [p.module for p in open_family(_models(strange, same=strange)).anatomy.pieces] == [
        "other"
    ]
    loose = _write(tmp_path / "loose", {"mystery": torch.ones(2, 2)}, model_type="novel")
    with pytest.raises(FamilyError, match=f"^{loose}: novel has no recognisable layers"):
        open_family(_models(loose, same=loose))


@pytest.mark.parametrize("kind", ["llama", "novel"])
def test_a_parameter_that_is_stored_twice_is_refused_by_its_names(
    tmp_path: Path, kind: str
) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors, model_type=kind)
    twice = tensors | {f"_orig_mod.{name}": tensors[name] + 1}
    tuned = _write(tmp_path / "twice", twice, model_type=kind)
    with pytest.raises(FamilyError, match=f"^{tuned}: Parameter {name} is stored 2 times") as error:
        open_family(_models(base, twice=tuned))
    assert f"_orig_mod.{name}" in error.value.title


@pytest.mark.parametrize(
    ("front", "inner"),
    [
        ("_orig_mod.", ""), ("module._orig_mod.", ""),
        ("", "_checkpoint_wrapped_module."),
        ("_fsdp_wrapped_module.", "_fsdp_wrapped_module._checkpoint_wrapped_module."),
    ],
)  # fmt: skip
def test_wrappers_of_training_tools_are_no_part_of_a_name(
    tmp_path: Path, front: str, inner: str
) -> None:
    tensors = tuned_from(tiny_tensors(), 1)
    wrapped = {front + re.sub(r"(layers\.\d+\.)", rf"\1{inner}", n): t for n, t in tensors.items()}
    base = _write(tmp_path / "base", tiny_tensors())
    sink = _run(
        base, plain=_write(tmp_path / "plain", tensors), wrapped=_write(tmp_path / "w", wrapped)
    )
    plain, other = (
        sink.value("norm", model=m, layer=None, module="all") for m in ("plain", "wrapped")
    )
    assert (other.value, other.n) == (plain.value, plain.n)


def test_weights_that_the_base_lacks_outside_of_its_layers_are_named(tmp_path: Path) -> None:
    lacking = {
        n: t for n, t in tiny_tensors().items() if n not in ("lm_head.weight", "model.norm.weight")
    }
    base = _write(tmp_path / "base", lacking)
    family = open_family(_models(base, same=base))
    words = "lacks 2 weights outside of its layers, not compared: "
    assert ("base", f"{words}model.norm.weight, lm_head.weight.") in family.warnings


def test_a_fused_shape_that_the_configuration_denies(tmp_path: Path) -> None:
    tensors = {"model.layers.0.self_attn.qkv_proj.weight": torch.ones(30, 16)}
    base = _write(tmp_path / "base", tensors, model_type="phi3", pad_token_id=0)
    words = r"qkv_proj.weight is \[30, 16\], by config.json \[32, 16\]"
    with pytest.raises(CheckpointError, match=words):
        open_family(_models(base, tuned=base))


def test_a_smaller_vocabulary_of_a_later_model_is_not_mixed_with_older_rows(
    tmp_path: Path,
) -> None:
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors)
    first = _write(tmp_path / "first", tuned_from(tensors, 1))
    small = tuned_from(tensors, 2)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        small[name] = small[name][:15]
    second = _write(tmp_path / "second", small, vocab_size=15)
    sink = MemorySink()
    for tuned in ({"first": first}, {"first": first, "second": second}):
        of = study.Study(name="s", models=_models(base, **tuned))
        runner.run(of, sink, ("tuning_vectors",))
    coordinates = {"model": "first", "layer": None, "module": "embedding"}
    assert sorted(row.n or 0 for row in sink.rows("norm", **coordinates)) == [15 * 16, 20 * 16]


def test_head_counts_are_those_of_the_configuration(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    base = _write(tmp_path / "base", tensors)
    family = open_family(_models(base, tuned=_write(tmp_path / "tuned", tuned_from(tensors, 1))))
    heads = {p.module: p.heads for p in family.anatomy.pieces if p.layer == 0}
    assert (heads["q"], heads["k"], heads["v"], heads["o"]) == (4, 2, 2, 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"num_attention_heads": 5}, "attention heads"),
     ({"num_key_value_heads": 3}, r"k_proj.weight is \[8, 16\], by config.json \[12, 16\]"),
     ({"num_attention_heads": "x"}, "num_attention_heads"),
     ({"hidden_size": [4]}, "hidden_size"), ({"text_config": "x"}, "text_config"),
     ({"num_hidden_layers": 10_000_000}, "num_hidden_layers = 10000000"),
     ({"num_hidden_layers": 0}, "num_hidden_layers = 0.*21 tensors"),
     ({"num_hidden_layers": -1}, "num_hidden_layers = -1"), ({"vocab_size": 0}, "vocab_size = 0"),
     ({"vocab_size": 10**12}, "vocab_size = 1000000000000.*axes of up to 24"),
     ({"hidden_size": 10_000_000}, "hidden_size = 10000000"),
     ({"intermediate_size": 10**30}, "intermediate_size = a number of 31 digits"),
     ({"num_labels": 10**12}, "num_labels = 1000000000000"),
     ({"vision_config": {"depth": 10**7}}, "vision_config.depth = 10000000")],
)  # fmt: skip
def test_configurations_that_the_shapes_deny(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    base = write_model(tmp_path / "base", tiny_config(**changes), tiny_tensors())
    with pytest.raises((FamilyError, CheckpointError), match=words):
        open_family(_models(base, tuned=base))


def test_the_chance_of_a_cosine_counts_what_both_changed(tmp_path: Path) -> None:
    base = tiny_tensors()
    folder = _write(tmp_path / "base", base)
    name = "model.layers.0.self_attn.k_proj.weight"
    tuned = {
        f"t{i}": _write(tmp_path / f"t{i}", base | {name: tuned_from(base, i)[name]})
        for i in range(16)
    }
    sink = _run(folder, **tuned)
    rows = sink.rows("cosine", layer=None, module="all")
    assert {row.n for row in rows} == {8 * 16}
    z = [(row.value or 0) / (row.chance_sd or 0) for row in rows]
    assert 0.8 < float(np.std(z)) < 1.2
    untouched = sink.rows("cosine", layer=1, module="q")
    assert {(row.value, row.n, row.chance_sd) for row in untouched} == {(None, 0, None)}


@pytest.mark.parametrize("shape", [(), (0, 16)])
def test_empty_tensors_are_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tensors = tiny_tensors() | {"model.layers.0.mlp.up_proj.weight": torch.zeros(shape)}
    base = _write(tmp_path / "base", tensors)
    words = r"up_proj.weight is \[(0, 16)?\], by config.json"
    with pytest.raises(CheckpointError, match=words) as error:
        open_family(_models(base, tuned=base))
    assert ("ZeRO stage 3" in error.value.hint) == (0 in shape)
