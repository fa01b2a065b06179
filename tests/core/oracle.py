"""Brute force over the live models of transformers, independent of the program's code.

Modules are found by the attributes of the model's classes, alignment by full singular value
decompositions with numpy, neurons from an MLP's inputs and weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.activations import ACT2FN

Matrices = dict[tuple[int, str, int | None], Any]
"""(layer, module, expert) to [weight as d_out × d_in, then biases and the like]."""


def _double(parameter: Any) -> Any:
    return parameter.detach().double().numpy()


def modules(model: Any) -> Matrices:
    """Every tensor inside the layers by layer, module and expert."""
    kind = model.config.model_type
    matrices: Matrices = {}

    def put(layer: int, module: str, *tensors: Any, expert: int | None = None) -> None:
        present = [t for t in tensors if t is not None]
        matrices.setdefault((layer, module, expert), []).extend(present)

    def linear(layer: int, module: str, part: Any, expert: int | None = None) -> None:
        bias = getattr(part, "bias", None)
        put(layer, module, _double(part.weight), None if bias is None else _double(bias),
            expert=expert)  # fmt: skip

    for i, block in enumerate(_blocks(model)):
        for name, part in block.named_modules():
            if "norm" in name.lower() or name in ("ln_1", "ln_2"):
                put(i, "norm", *[_double(p) for p in part.parameters(recurse=False)])
        _ATTENTION.get(kind, _separate_attention)(i, block, linear, put, model.config)
        _MLP.get(kind, _gated)(i, block, linear, put, model.config)
    return matrices


def _blocks(model: Any) -> Any:
    body = getattr(model, "model", None) or getattr(model, "transformer", None) or model.gpt_neox
    body = getattr(body, "decoder", body)
    return body.h if hasattr(body, "h") else body.layers


def _separate_attention(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    attention = block.self_attn
    for module in ("q", "k", "v"):
        linear(i, module, getattr(attention, f"{module}_proj"))
    linear(i, "o", getattr(attention, "o_proj", None) or attention.out_proj)


def _phi3_attention(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    width = config.hidden_size // config.num_attention_heads
    fused = _double(block.self_attn.qkv_proj.weight)
    q, kv = config.num_attention_heads * width, config.num_key_value_heads * width
    for module, part in zip("qkv", np.split(fused, [q, q + kv]), strict=True):
        put(i, module, part)
    linear(i, "o", block.self_attn.o_proj)


def _gpt2_attention(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    weight = _double(block.attn.c_attn.weight).T
    bias = _double(block.attn.c_attn.bias)
    for module, w, b in zip("qkv", np.split(weight, 3), np.split(bias, 3), strict=True):
        put(i, module, w, b)
    put(i, "o", _double(block.attn.c_proj.weight).T, _double(block.attn.c_proj.bias))


def _neox_attention(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    fused = block.attention.query_key_value
    heads = config.num_attention_heads
    weight = _double(fused.weight)
    weight = weight.reshape(heads, 3, -1, weight.shape[-1])
    bias = _double(fused.bias).reshape(heads, 3, -1)
    for part, module in enumerate("qkv"):
        put(i, module, weight[:, part].reshape(-1, weight.shape[-1]), bias[:, part].reshape(-1))
    linear(i, "o", block.attention.dense)


def _gated(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    for module in ("gate", "up", "down"):
        linear(i, module, getattr(block.mlp, f"{module}_proj"))


def _phi3_mlp(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    gate, up = np.split(_double(block.mlp.gate_up_proj.weight), 2)
    put(i, "gate", gate)
    put(i, "up", up)
    linear(i, "down", block.mlp.down_proj)


def _gpt2_mlp(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    put(i, "fc_in", _double(block.mlp.c_fc.weight).T, _double(block.mlp.c_fc.bias))
    put(i, "fc_out", _double(block.mlp.c_proj.weight).T, _double(block.mlp.c_proj.bias))


def _neox_mlp(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    linear(i, "fc_in", block.mlp.dense_h_to_4h)
    linear(i, "fc_out", block.mlp.dense_4h_to_h)


def _opt_mlp(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    linear(i, "fc_in", block.fc1)
    linear(i, "fc_out", block.fc2)


def _experts(i: int, block: Any, linear: Any, put: Any, config: Any) -> None:
    mlp = block.mlp
    put(i, "router", _double(mlp.gate.weight))
    experts = mlp.experts
    for e in range(experts.gate_up_proj.shape[0]):
        gate, up = np.split(_double(experts.gate_up_proj[e]), 2)
        put(i, "gate", gate, expert=e)
        put(i, "up", up, expert=e)
        put(i, "down", _double(experts.down_proj[e]), expert=e)
    if hasattr(mlp, "shared_expert"):
        e = experts.gate_up_proj.shape[0]
        for module in ("gate", "up", "down"):
            linear(i, module, getattr(mlp.shared_expert, f"{module}_proj"), e)
        put(i, "router", _double(mlp.shared_expert_gate.weight)[0])


_ATTENTION = {"phi3": _phi3_attention, "gpt2": _gpt2_attention, "gpt_neox": _neox_attention}
_MLP = {
    "phi3": _phi3_mlp, "gpt2": _gpt2_mlp, "gpt_neox": _neox_mlp, "opt": _opt_mlp,
    "mixtral": _experts, "qwen2_moe": _experts, "qwen3_moe": _experts,
}  # fmt: skip


def alignment(W: Any, D: Any, energy: float = 0.9, r: int = 4, top: int = 10) -> dict[str, float]:
    """The measures of alignment of one matrix, by full singular value decompositions."""
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    cumulative = np.cumsum(s**2) / np.sum(s**2)
    k = int(np.searchsorted(cumulative, energy - 1e-12) + 1)
    norm = np.linalg.norm(D)
    core = U.T @ D @ Vt.T
    A, _, Bt = np.linalg.svd(D, full_matrices=False)
    tuned = np.linalg.svd(W + D, full_matrices=False)[0][:, :top]
    return {
        "rank_k": k,
        "write": float(np.linalg.norm(U[:, :k].T @ D) / norm),
        "read": float(np.linalg.norm(D @ Vt[:k].T) / norm),
        "two_sided": float(np.linalg.norm(core[:k, :k]) / norm),
        "new_energy": float(1 - (np.linalg.norm(core[:k, :k]) / norm) ** 2),
        "gain": float(np.sum(s[:k] * np.diag(core)[:k]) / np.sum(s[:k] ** 2)),
        "diagonal_energy": float(np.sum(np.diag(core)[:k] ** 2) / norm**2),
        "amplification": float(norm / np.linalg.norm(A[:, :r].T @ W @ Bt[:r].T)),
        "intruders": int((np.abs(U.T @ tuned).max(axis=0) < 0.5).sum()),
    }


@dataclass
class Neurons:
    """The neurons of one layer, [B, T, neurons] each; 0 at tokens that an expert does not see.

    `gate` is the activation, `product` what goes into the down projection.
    """

    gate: Any
    product: Any


def neurons(model: Any, ids: Any, mask: Any) -> list[Neurons]:
    """The neurons of every layer, computed from what comes into its MLP and from its weights."""
    inputs: dict[int, Any] = {}
    handles = []
    for i, block in enumerate(_blocks(model)):
        entry = getattr(block, "mlp", None) or block.fc1

        def keep(module: Any, given: Any, i: int = i) -> None:
            inputs[i] = given[0].detach()

        handles.append(entry.register_forward_pre_hook(keep))
    with torch.no_grad():
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    for handle in handles:
        handle.remove()
    layers = []
    for i, block in enumerate(_blocks(model)):
        with torch.no_grad():
            gate, product = neurons_of(model, block, inputs[i].reshape(ids.numel(), -1))
        layers.append(Neurons(gate.reshape(*ids.shape, -1), product.reshape(*ids.shape, -1)))
    return layers


def neurons_of(model: Any, block: Any, x: Any) -> tuple[Any, Any]:
    """Activations and products [tokens, neurons] of an MLP for its inputs [tokens, d]."""
    config, kind = model.config, model.config.model_type
    names = ("hidden_activation", "hidden_act", "activation_function")
    act = ACT2FN[next(getattr(config, n) for n in names if getattr(config, n, None))]
    if kind in ("mixtral", "qwen2_moe", "qwen3_moe"):
        return _of_experts(block.mlp, x, act, config)
    if kind in ("gpt2", "gpt_neox", "opt"):
        if kind == "gpt2":
            raw = torch.addmm(block.mlp.c_fc.bias, x, block.mlp.c_fc.weight)
        else:
            raw = (block.mlp.dense_h_to_4h if kind == "gpt_neox" else block.fc1)(x)
        h = act(raw) if kind != "opt" else torch.relu(raw)
        return h, h
    if kind == "phi3":
        width = block.mlp.down_proj.in_features
        fused = x @ block.mlp.gate_up_proj.weight.T
        gate, up = act(fused[:, :width]), fused[:, width:]
    else:
        gate, up = act(x @ block.mlp.gate_proj.weight.T), x @ block.mlp.up_proj.weight.T
    return gate, gate * up


def routed(mlp: Any, x: Any, config: Any) -> Any:
    """The weight of every expert at every token [tokens, experts], 0 where it is not called."""
    shares = torch.softmax(x @ mlp.gate.weight.T, dim=-1)
    count = config.num_experts_per_tok
    least = shares.sort(dim=-1, descending=True).values[:, count - 1 : count]
    top = torch.where(shares >= least, shares, 0)
    normed = getattr(config, "norm_topk_prob", True)
    return top / top.sum(-1, keepdim=True) if normed else top


def _of_experts(mlp: Any, x: Any, act: Any, config: Any) -> tuple[Any, Any]:
    """Every expert at every token; those not called are set to 0. The shared one comes last."""
    called = (routed(mlp, x, config) > 0).to(x.dtype)
    gates, products = [], []
    for e in range(mlp.experts.gate_up_proj.shape[0]):
        gate_weight, up_weight = mlp.experts.gate_up_proj[e].chunk(2)
        gate = act(x @ gate_weight.T)
        gates.append(gate * called[:, e : e + 1])
        products.append(gate * (x @ up_weight.T) * called[:, e : e + 1])
    if hasattr(mlp, "shared_expert"):
        gate = act(x @ mlp.shared_expert.gate_proj.weight.T)
        gates.append(gate)
        products.append(gate * (x @ mlp.shared_expert.up_proj.weight.T))
    return torch.cat(gates, -1), torch.cat(products, -1)


def down_projections(model: Any) -> list[list[Any]]:
    """The parameters that take neurons in, layer by layer (no biases)."""
    matrices = []
    for block in _blocks(model):
        mlp = getattr(block, "mlp", block)
        if hasattr(mlp, "experts"):
            weights = [mlp.experts.down_proj]
            if hasattr(mlp, "shared_expert"):
                weights.append(mlp.shared_expert.down_proj.weight)
        else:
            names = ("down_proj", "c_proj", "dense_4h_to_h", "fc2")
            weights = [next(getattr(mlp, n) for n in names if hasattr(mlp, n)).weight]
        matrices.append(weights)
    return matrices


def products_with_gradients(model: Any, ids: Any, mask: Any, loss: Any) -> list[tuple[Any, Any]]:
    """Each layer's products [B, T, neurons] and the gradient of `loss(logits)` with respect to
    them, by plain autograd: every layer's neurons go through one tensor that keeps its gradient."""
    captured: dict[int, Any] = {}
    undo = [_keep_products(model, i, block, captured) for i, block in enumerate(_blocks(model))]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    try:
        loss(model(input_ids=ids, attention_mask=mask, use_cache=False).logits).backward()
    finally:
        for each in undo:
            each()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
    shape = (*ids.shape, -1)
    return [
        (captured[i].detach().reshape(shape), captured[i].grad.reshape(shape))
        for i in sorted(captured)
    ]


def _keep_products(model: Any, i: int, block: Any, captured: dict[int, Any]) -> Any:
    """Let a layer's MLP be computed from a tensor of products that retains its gradient."""
    mlp = getattr(block, "mlp", None)
    if mlp is not None and hasattr(mlp, "experts"):

        def whole(hidden: Any) -> Any:
            x = hidden.reshape(-1, hidden.shape[-1])
            _, products = neurons_of(model, block, x)
            products.retain_grad()
            captured[i] = products
            weights, column = routed(mlp, x, model.config), 0
            out = torch.zeros_like(x)
            for e, down in enumerate(mlp.experts.down_proj):
                out = out + weights[:, e : e + 1] * (
                    products[:, column : column + down.shape[1]] @ down.T
                )
                column += down.shape[1]
            if hasattr(mlp, "shared_expert"):
                share = torch.sigmoid(x @ mlp.shared_expert_gate.weight.T)
                out = out + share * (products[:, column:] @ mlp.shared_expert.down_proj.weight.T)
            return out.reshape(hidden.shape)

        mlp.forward = whole
        return lambda: delattr(mlp, "forward")
    names = ("down_proj", "c_proj", "dense_4h_to_h", "fc2")
    down = next(getattr(mlp or block, n) for n in names if hasattr(mlp or block, n))

    def entering(module: Any, given: Any) -> None:
        given[0].retain_grad()
        captured[i] = given[0]

    return down.register_forward_pre_hook(entering).remove
