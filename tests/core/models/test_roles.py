"""Which module a parameter is, by its name, its shape and the facts about its module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from core.errors import FamilyError
from core.models import outline, roles
from core.models.body import Body, Trait
from core.models.layer import LayerParameters
from core.models.plausibility import Extent


def _read(shapes: dict[str, tuple[int, ...]], traits: dict[str, Trait] | None = None) -> Any:
    named = {f"model.layers.0.{name}": shape for name, shape in shapes.items()}
    inside = {f"model.layers.0.{name}": trait for name, trait in (traits or {}).items()}
    body = Body(layers="model.layers", count=1, query=4, key_value=2, traits=inside)
    return roles.read(named, body)


def _modules(shapes: dict[str, tuple[int, ...]], **more: Any) -> dict[str, set[str]]:
    by_name: dict[str, set[str]] = {}
    for piece in _read(shapes, **more).pieces:
        name = piece.tensor.removeprefix("model.layers.0.")
        by_name.setdefault(name, set()).add(piece.module)
    return by_name


def test_latent_attention_keeps_its_projections_under_the_module_that_they_serve() -> None:
    modules = _modules(
        {
            "self_attn.q_a_proj.weight": (6, 16), "self_attn.q_b_proj.weight": (24, 6),
            "self_attn.kv_a_proj_with_mqa.weight": (6, 16), "self_attn.kv_b_proj.weight": (32, 4),
            "self_attn.o_proj.weight": (16, 16), "self_attn.q_a_layernorm.weight": (6,),
        }
    )  # fmt: skip
    assert modules == {
        "self_attn.q_a_proj.weight": {"q"}, "self_attn.q_b_proj.weight": {"q"},
        "self_attn.kv_a_proj_with_mqa.weight": {"latent"}, "self_attn.kv_b_proj.weight": {"latent"},
        "self_attn.o_proj.weight": {"o"}, "self_attn.q_a_layernorm.weight": {"norm"},
    }  # fmt: skip


def test_a_gate_beside_decides_what_the_others_are_called() -> None:
    gated = _modules({f"mlp.{n}_proj.weight": (8, 8) for n in ("gate", "up", "down")})
    assert set.union(*gated.values()) == {"gate", "up", "down"}
    plain = _modules({f"mlp.{n}_proj.weight": (8, 8) for n in ("up", "down")})
    assert set.union(*plain.values()) == {"fc_in", "fc_out"}
    twice = _modules({"mlp.fc1.weight": (16, 4), "mlp.fc2.weight": (4, 8)})
    assert twice == {"mlp.fc1.weight": {"gate", "up"}, "mlp.fc2.weight": {"down"}}


def test_experts_that_all_tokens_pass_are_numbered_after_the_routed_ones() -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "mlp.experts.gate_up_proj": (3, 8, 16), "mlp.experts.down_proj": (3, 16, 4),
        "mlp.shared_experts.gate_proj.weight": (5, 16), "mlp.gate.weight": (3, 16),
        "mlp.shared_experts.up_proj.weight": (5, 16),
        "mlp.shared_experts.down_proj.weight": (16, 5),
    }  # fmt: skip
    anatomy = _read(shapes, {"mlp.experts": Trait(kind="XExperts", is_experts=True)})
    numbers = {(p.module, p.expert) for p in anatomy.pieces}
    assert {e for m, e in numbers if m == "down"} == {0, 1, 2, 3}
    assert ("router", None) in numbers
    outlets = {o.module: (o.width, o.experts, o.gated) for o in anatomy.outlets}
    assert outlets == {
        "model.layers.0.mlp.experts": (4, 3, True),
        "model.layers.0.mlp.shared_experts.down_proj": (5, 0, True),
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mamba.in_proj", ""), ("linear_attn.in_proj_qkvz", ""), ("conv.conv", ""),
     ("mixer.in_proj", "XMamba2Mixer"), ("self_attn.qkv_proj", "XLightningAttention")],
)  # fmt: skip
def test_state_spaces_convolutions_and_linear_attention_are_mixers(name: str, kind: str) -> None:
    part = name.partition(".")[0]
    traits = {part: Trait(kind=kind, is_recurrent=False)}
    assert _modules({f"{name}.weight": (48, 16)}, traits=traits) == {f"{name}.weight": {"mixer"}}


class _Counted(dict[str, tuple[int, ...]]):
    """Shapes that count how often they are gone through."""

    passes = 0

    def __iter__(self) -> Any:
        self.passes += 1
        return super().__iter__()

    def items(self) -> Any:
        self.passes += 1
        return super().items()


def test_a_layer_is_not_gone_through_again_for_each_expert() -> None:
    def passes(experts: int) -> int:
        shapes = _Counted(
            {
                f"model.layers.0.mlp.experts.{i}.{name}.weight": shape
                for i in range(experts)
                for name, shape in (
                    ("gate_proj", (8, 4)), ("up_proj", (8, 4)), ("down_proj", (4, 8))
                )
            }
        )  # fmt: skip
        reader = LayerParameters(0, "model.layers.0", shapes, Body(layers="model.layers", count=1))
        pieces = {name: reader.pieces(name) for name in list(shapes)}
        assert [outlet.gated for outlet in reader.outlets(pieces)] == [True] * experts
        return shapes.passes

    assert passes(16) == passes(4)


def test_layers_beyond_the_decoders_own_are_other() -> None:
    names = {f"model.layers.{i}.mlp.down_proj.weight": (4, 8) for i in range(3)}
    anatomy = roles.read(names, Body(layers="model.layers", count=2, inside="model."))
    assert [(p.layer, p.module) for p in anatomy.pieces] == [
        (0, "fc_out"), (1, "fc_out"), (None, "other"),
    ]  # fmt: skip


def test_heads_are_those_that_the_shapes_hold() -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj.weight": (32, 16), "self_attn.k_proj.weight": (8, 16),
        "self_attn.v_proj.weight": (8, 16), "self_attn.o_proj.weight": (16, 32),
    }  # fmt: skip
    stated = {"self_attn": Trait(kind="XAttention", heads=8)}
    heads = {p.module: p.heads for p in _read(shapes, stated).pieces}
    assert heads == {"q": 8, "k": 2, "v": 2, "o": 8}
    odd = {**shapes, "self_attn.o_proj.weight": (16, 31)}
    assert {p.module: p.heads for p in _read(odd, stated).pieces}["o"] == 0


def _folder(folder: Path, config: Any, **more: Any) -> tuple[Path, dict[str, Any]]:
    folder.mkdir()
    given = {**config.to_dict(), **more}
    (folder / "config.json").write_text(json.dumps(given))
    return folder, given


@pytest.mark.parametrize(
    ("config", "words"),
    [(hf.BertConfig(architectures=["BertForMaskedLM"]), "Bert is an encoder;"),
     (hf.T5Config(architectures=["T5ForConditionalGeneration"]),
      "T5 is an encoder-decoder model;"),
     (hf.ViTConfig(architectures=["ViTModel"]), "ViT is no causal language model;")],
)  # fmt: skip
def test_models_of_other_kinds_are_refused_by_their_kind(
    tmp_path: Path, config: Any, words: str
) -> None:
    folder, given = _folder(tmp_path / "x", config)
    with pytest.raises(FamilyError, match=words):
        outline.outline(folder, given, extent=Extent(100, 64))


def test_code_of_a_model_does_not_run_unasked(tmp_path: Path) -> None:
    auto_map = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
    folder, given = _folder(tmp_path / "x", hf.LlamaConfig(), model_type="own", auto_map=auto_map)
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    assert outline.outline(folder, given, extent=Extent(100, 64)) is None
    with pytest.raises(SystemExit, match="it ran"):
        outline.outline(folder, given, extent=Extent(100, 64), trust_remote_code=True)
