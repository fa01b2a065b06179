"""Points in live models of transformers, against sums over their state dicts."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

from core.errors import FamilyError, RunError, StudyError
from core.models.pieces import Cut, Piece, pieces_of
from core.study.models import Model
from core.vectors import fused
from core.vectors.arithmetic import (
    BASE,
    EVERYTHING,
    GROUPS,
    Method,
    Restriction,
    make,
    parse,
    restrict,
)
from core.vectors.drops import Drops
from core.vectors.sweep import Sweep, hash_parameters, untied
from tests.core import oracle, zoo

KNOWN = ("a", "b")


def _family(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """A live base, the weights of two tuned models, and the pieces."""
    torch.manual_seed(0)
    base = hf.AutoModelForCausalLM.from_config(zoo.CONFIGS[name]()).to(dtype)
    zoo._randomise(base, 0.1)
    vectors = {}
    for seed, vector in enumerate(KNOWN):
        g = torch.Generator().manual_seed(seed)
        vectors[vector] = {
            n: (p.detach() + 0.01 * torch.randn(p.shape, generator=g)).to(dtype)
            for n, p in base.named_parameters()
        }
    return base, vectors, _pieces(base)


def _pieces(model: nn.Module) -> tuple[Piece, ...]:
    return zoo.anatomy_in(model).pieces


def test_tied_weights_come_apart_meanwhile() -> None:
    """A vector with an output head of its own, over a base that ties it to its embedding."""
    config = hf.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    base = hf.LlamaForCausalLM(config).eval().requires_grad_(False)
    before, head = hash_parameters(base), torch.randn(40, 16)
    pieces = [*_pieces(base), *pieces_of("lm_head.weight", (40, 16), None, Cut(("unembedding",)))]
    vector = {**_weights(base), "lm_head.weight": head}
    with untied(base, pieces), Sweep(base, {"a": vector}, pieces) as sweep:
        sweep.set(make({"a": 1}, KNOWN))
        assert torch.equal(base.lm_head.weight, head)
        assert torch.equal(base.model.embed_tokens.weight, vector["model.embed_tokens.weight"])
    assert base.lm_head.weight is base.model.embed_tokens.weight
    assert hash_parameters(base) == before


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def _sum(base: torch.Tensor, terms: dict[float, torch.Tensor]) -> torch.Tensor:
    """base + Σ λ (tuned − base) by numpy in float32, rounded once."""
    start = base.float().numpy()
    update = np.zeros_like(start)
    for value, tuned in terms.items():
        update += np.float32(value) * (tuned.float().numpy() - start)
    return torch.from_numpy(start + update).to(base.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_points_of_every_architecture(name: str, dtype: torch.dtype) -> None:
    model, vectors, pieces = _family(name, dtype)
    before, digest = _weights(model), hash_parameters(model)
    with Sweep(model, vectors, pieces) as sweep:
        loss = sweep.set(make({"a": 0.7, "b": -0.4}, KNOWN))
        for n, p in model.named_parameters():
            expected = _sum(before[n], {0.7: vectors["a"][n], -0.4: vectors["b"][n]})
            assert torch.equal(p, expected), n
        assert (loss == 0) == (dtype == torch.float32)
        sweep.set(make({"b": 1}, KNOWN))
        assert all(torch.equal(p, vectors["b"][n]) for n, p in model.named_parameters())
        assert sweep.set(BASE) is None
        assert hash_parameters(model) == digest
        sweep.set(make({"a": 3}, KNOWN))
    assert hash_parameters(model) == digest


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_no_stored_tensor_is_of_two_groups_or_layers(name: str) -> None:
    """So that a restriction may choose tensors and needn't cut them."""
    _, _, pieces = _family(name)
    of: dict[str, set[Any]] = {}
    for piece in pieces:
        groups = tuple(g for g in GROUPS if Restriction((g,)).admits(piece))
        of.setdefault(piece.tensor, set()).add((groups, piece.layer))
    assert {len(places) for places in of.values()} == {1}


@pytest.mark.parametrize("name", ["qwen2", "phi3", "gpt2", "gpt_neox", "mixtral", "qwen2_moe"])
@pytest.mark.parametrize("group", GROUPS)
def test_a_restriction_changes_its_modules_alone(name: str, group: str) -> None:
    model, vectors, pieces = _family(name)
    before = oracle.modules(model)
    embedding = model.get_input_embeddings().weight.detach().clone()
    of = {
        "attention": set("qkvo"),
        "mlp": {"gate", "up", "down", "fc_in", "fc_out", "router"},
    }
    with Sweep(model, vectors, pieces) as sweep:
        sweep.set(make({"b": 1}, KNOWN))  # what is left over from here must go
        sweep.set(make({"a": 1}, KNOWN), restrict(f"{group},1"))
        for place, tensors in oracle.modules(model).items():
            changed = [
                not np.array_equal(x, y) for x, y in zip(tensors, before[place], strict=True)
            ]
            assert set(changed) == {place[0] == 1 and place[1] in of[group]}, place
        assert torch.equal(model.get_input_embeddings().weight, embedding)
    with Sweep(model, vectors, pieces) as sweep, pytest.raises(StudyError, match="layer 2"):
        sweep.set(make({"a": 1}, KNOWN), restrict("2"))


def test_steps_do_not_pile_up() -> None:
    model, vectors, pieces = _family("llama", torch.bfloat16)
    with Sweep(model, vectors, pieces) as sweep:
        sweep.set(make({"a": 0.3}, KNOWN))
        once = hash_parameters(model)
        for value in (0.9, -2, 0.1, 0.3):
            sweep.set(make({"a": value}, KNOWN))
        assert hash_parameters(model) == once


def test_every_method_gives_the_same_again_and_the_base_back() -> None:
    """Whatever was set between, and with thresholds found before for other coefficients."""
    model, vectors, pieces = _family("mixtral", torch.bfloat16)
    before, half = hash_parameters(model), restrict("mlp")
    methods = [m for m in get_args(Method) if m not in ("removal", "transfer")]
    with Sweep(model, vectors, pieces) as sweep:
        by_method: dict[str, str] = {}
        for turn in range(2):
            for method in methods if turn else reversed(methods):
                sweep.set(make({"a": 2.0, "b": -1.0}, KNOWN, method), half if turn else EVERYTHING)
                sweep.set(make({"a": 0.5, "b": 1.0}, KNOWN, method))
                made = hash_parameters(model)
                assert by_method.setdefault(method, made) == made, method
        assert len({before, *by_method.values()}) == 1 + len(methods)
    assert hash_parameters(model) == before


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_kernels_write_what_operations_write(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[fused.Form] = []

    def plain(key: fused.Key) -> Any:
        def kernel(*tensors: Any) -> None:
            written.append(key.form)
            fused._function(key.form)(*tensors)

        return kernel

    monkeypatch.setattr(fused, "_compiled", plain)
    model, vectors, pieces = _family(name, torch.bfloat16)
    kernels, digest = fused.Kernels("cpu"), hash_parameters(model)
    with Sweep(model, vectors, pieces, kernels=kernels) as sweep:
        for text, fuses in (
            ("a=0.7,b=-0.4", True), ("removal:a=0.3", True), ("ties(density=0.2):a=1,b=0.5", True),
            ("breadcrumbs:a=1,b=1", True), ("dare:a=1,b=1", False), ("a=1e38", False),
        ):  # fmt: skip
            point = parse(text, KNOWN)
            sweep.set(point)
            expected = hash_parameters(model)
            for _ in range(2):
                written.clear()
                sweep.set(BASE)
                sweep.set(point, measured=False)
                assert hash_parameters(model) == expected, text
                kernels.join()  # compiled behind, from the first block on
            assert bool(written) == fuses, text
        with pytest.raises(RunError, match="not finite"):
            sweep.set(make({"a": 1e39}, KNOWN), measured=False)
    assert hash_parameters(model) == digest


def test_a_sum_beyond_float32_is_noticed_in_a_wider_model() -> None:
    model, vectors, pieces = _family("llama", torch.float64)
    with Sweep(model, vectors, pieces) as sweep, pytest.raises(RunError, match="not finite"):
        sweep.set(make({"a": 1e45}, KNOWN), measured=False)


def test_a_process_ends_after_the_kernel_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slowly(key: fused.Key) -> Any:
        began.set()
        go_on.wait(60)
        return lambda *_: None

    monkeypatch.setattr(fused, "_compiled", slowly)
    kernels = fused.Kernels("cpu")
    cpu = torch.device("cpu")
    keys = [fused.Key(fused.Form(vectors), (torch.float32,) * 5, cpu) for vectors in (1, 2, 3)]
    for key in keys:
        kernels.prepare(key)
    assert began.wait(60)
    threading.Timer(0.1, go_on.set).start()
    kernels._leave()
    assert not any(thread.is_alive() for thread in kernels._threads)
    assert [kernels.ready([key]) for key in keys] == [True, False, False]
    assert list(kernels.complaints()) == []


def test_many_kernels_are_compiled_once_each_unseen_by_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled, seen = torch.compile, list[bool]()

    def traced(function: Any, *, fullgraph: bool, options: dict[str, Any]) -> Any:
        def backend(graph: Any, _: Any, **__: Any) -> Any:
            seen.append(torch.compiler.is_compiling())
            return graph.forward

        keep = {"guard_filter_fn": options.pop("guard_filter_fn")}  # as torch takes it
        return compiled(function, fullgraph=fullgraph, backend=backend, options=keep)

    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr(fused, "_EXAMPLE", 64)
    kernels, cpu = fused.Kernels("cpu"), torch.device("cpu")
    keys = [
        fused.Key(fused.Form(vectors), (dtype,) * (vectors + 2), cpu)
        for dtype in (torch.bfloat16, torch.float16, torch.float32)
        for vectors in (1, 2, 3, 4)
    ]
    for key in keys:
        kernels._compile(key)
    assert list(kernels.complaints()) == []
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        for key in keys:
            base, *tuned, out = (torch.randn(96).to(dtype) for dtype in key.dtypes)
            numbers = torch.randn(3, key.form.vectors)
            expected = torch.empty_like(out)
            fused._function(key.form)(base, tuned, numbers, expected)
            with torch.inference_mode():
                assert kernels.write(key.form, base, tuned, numbers, out)
            assert torch.equal(out, expected)
    finally:
        torch.set_num_threads(threads)
    assert seen == [False] * len(keys)  # compiled once each


def test_a_kernel_that_can_not_be_compiled_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(key: fused.Key) -> Any:
        raise RuntimeError("There is no C compiler.")

    monkeypatch.setattr(fused, "_compiled", refused)
    model, vectors, pieces = _family("llama")
    kernels = fused.Kernels("cpu")
    with Sweep(model, vectors, pieces, kernels=kernels) as sweep:
        for value in (0.5, 0.7):
            sweep.set(make({"a": value}, KNOWN))
            expected = hash_parameters(model)
            sweep.set(make({"a": value}, KNOWN), measured=False)
            assert hash_parameters(model) == expected
            kernels.join()
    assert [" C compiler" in words for words in kernels.complaints()] == [True]
    assert list(kernels.complaints()) == []


def test_the_base_comes_back_when_something_goes_wrong() -> None:
    model, vectors, pieces = _family("llama")
    before = hash_parameters(model)
    with pytest.raises(ZeroDivisionError), Sweep(model, vectors, pieces) as sweep:
        _ = sweep.set(make({"a": 0.5}, KNOWN)), 1 / 0
    assert hash_parameters(model) == before
    with pytest.raises(RunError, match="a=1e39"), Sweep(model, vectors, pieces) as sweep:
        sweep.set(make({"a": 1e39}, KNOWN))
    assert hash_parameters(model) == before


def test_weights_that_someone_else_changes_are_noticed() -> None:
    model, vectors, pieces = _family("llama")
    without_norms = tuple(p for p in pieces if p.module != "norm")
    with (
        pytest.raises(RunError, match="do not equal the weights before"),
        Sweep(model, vectors, without_norms),
        torch.no_grad(),
    ):
        model.model.norm.weight[3] += 1e-6


def test_the_hash_covers_every_byte() -> None:
    model, _, _ = _family("gpt2", torch.bfloat16)
    seen = {hash_parameters(model)}
    for parameter in model.parameters():
        flat = parameter.detach().view(-1).view(torch.int16)
        for place in (0, -1):
            flat[place] ^= 1
            seen.add(hash_parameters(model))
            flat[place] ^= 1
    assert len(seen) == 1 + 2 * len(list(model.parameters()))
    assert hash_parameters(model) in seen


def test_tied_embeddings_are_one() -> None:
    model, vectors, pieces = _family("gemma2")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    with Sweep(model, vectors, pieces) as sweep:
        sweep.set(make({"a": 1}, KNOWN))
        assert torch.equal(model.lm_head.weight, vectors["a"]["model.embed_tokens.weight"])


def test_rows_beyond_the_common_vocabulary_stay_the_base_s() -> None:
    model, vectors, pieces = _family("llama")
    name = "model.embed_tokens.weight"
    before = _weights(model)[name]
    vectors["a"][name] = vectors["a"][name][:30]
    vectors["b"][name] = torch.cat([vectors["b"][name], torch.ones(3, 32)])
    with Sweep(model, vectors, pieces) as sweep:
        sweep.set(make({"a": 1}, KNOWN))
        weights = model.model.embed_tokens.weight
        assert torch.equal(weights, torch.cat([vectors["a"][name], before[30:]]))
        sweep.set(make({"a": 0.5, "b": 1}, KNOWN))
        assert torch.equal(weights[30:], vectors["b"][name][30:40])


def test_a_threshold_is_of_the_whole_vector() -> None:
    """Some tensors lose more of theirs than others."""
    model, vectors, pieces = _family("llama")
    before = _weights(model)
    name = "model.layers.0.mlp.up_proj.weight"
    vectors["a"][name] = before[name] + 10
    with Sweep(model, vectors, pieces) as sweep:
        sweep.set(parse("ties(density=0.3):a=1", KNOWN))
        changed = {n: float((p != before[n]).float().mean()) for n, p in model.named_parameters()}
        size = sum(t.numel() for t in before.values())
        assert changed[name] == 1
        count = sum(changed[n] * t.numel() for n, t in before.items())
        assert count == pytest.approx(0.3 * size, abs=2)
        sweep.set(parse("ties(density=0.3):a=1", KNOWN), restrict("attention"))
        attention = [t.numel() for n, t in before.items() if "self_attn" in n]
        count = sum(int((p != before[n]).sum()) for n, p in model.named_parameters())
        assert count == pytest.approx(0.3 * sum(attention), abs=2), "of what takes part"


def test_drops_are_cached_for_one_restriction_at_a_time() -> None:
    """Those of each may take a quarter of the free memory."""
    base, vectors, pieces = _family("llama")
    cached: list[weakref.ref[Drops]] = []
    with Sweep(base, vectors, pieces) as sweep:
        for group in ("attention", "mlp", "attention"):
            for value in (0.5, 1):
                sweep.set(parse(f"della:a={value}", KNOWN), restrict(group))
            (drops,) = [c[Drops] for c in sweep._thresholds.values() if Drops in c]
            cached.append(weakref.ref(drops))
            del drops
        assert [each() is None for each in cached] == [True, True, False]


def test_models_that_do_not_fit_are_named() -> None:
    model, vectors, pieces = _family("llama")
    name = "model.layers.1.mlp.down_proj.weight"
    lacking = {n: t for n, t in vectors["a"].items() if n != name}
    with pytest.raises(FamilyError, match=f"'a' lacks 1 parameter of.*{name}"):
        Sweep(model, {"a": lacking}, pieces)
    embedding = "model.embed_tokens.weight"
    for parameter, shape in (
        (name, (32, 47)),
        (name, (31, 48)),
        (embedding, (40, 31)),
        (embedding, (40,)),
    ):
        with pytest.raises(FamilyError, match=f"'a': parameter {parameter} is"):
            Sweep(model, {"a": vectors["a"] | {parameter: torch.ones(shape)}}, pieces)
    with torch.device("meta"):
        away = hf.AutoModelForCausalLM.from_config(zoo.CONFIGS["llama"]())
    with pytest.raises(RunError, match="not wholly in memory"):
        Sweep(away, vectors, pieces)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "dare") for name in sorted(zoo.CONFIGS)),
        *(("mixtral", m) for m in ("ties", "plain", "della", "breadcrumbs", "sce", "tsv_m")),
        *((name, "iso_c") for name in ("gpt2", "gpt_neox", "phi3", "mixtral")),
    ],
)
def test_a_merge_is_what_the_sweep_measured(name: str, method: str, tmp_path: Path) -> None:
    """Also where experts are stacked in memory and single on disk."""
    from core.models.family import open_family
    from core.study import intake
    from core.vectors.merging import merge

    zoo.build(name, tmp_path, models=2, dtype=torch.bfloat16)
    folders = {
        n: str(tmp_path / f) for n, f in (("base", "base"), ("a", "tuned0"), ("b", "tuned1"))
    }
    model, *tuned = (
        hf.AutoModelForCausalLM.from_pretrained(f, dtype=torch.bfloat16) for f in folders.values()
    )
    vectors = dict(zip(KNOWN, (_weights(t) for t in tuned), strict=True))
    point = parse(f"{method}:a=0.5,b=1", KNOWN)
    models = intake.of_models(folders["base"], [folders["a"], folders["b"]]).models
    family = open_family(
        models.model_copy(update={"tuned": {n: Model(path=folders[n]) for n in KNOWN}})
    )
    merged = merge(family, point, tmp_path / "merged")
    loaded = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.bfloat16)
    with Sweep(model, vectors, _pieces(model)) as sweep:
        loss = sweep.set(point)
        assert loss == pytest.approx(merged.rounding_loss, rel=1e-6)
        assert hash_parameters(loaded) == hash_parameters(model)
