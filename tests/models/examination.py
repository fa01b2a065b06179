"""What tauscope says of a family, held against the truth: a verdict for each part of its work.

A refusal is a verdict too, with its words. Knows how tauscope is asked; what is true it takes from
`tests.models.truth`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.engine import runner
from core.engine.subject import open_subject
from core.errors import TauscopeError
from core.models import family as families
from core.models import hooks, loading
from core.models.opening import anatomy_of
from core.neurons.ablation import ablated
from core.study.study import Study
from core.vectors import arithmetic, merging
from tests.conftest import MemorySink
from tests.core import oracle
from tests.models import activity, truth
from tests.models.families import Family
from tests.models.isolation import one_line

PROBE = (
    "the quick brown fox jumps over the lazy dog",
    "a neuron is one input",
    "what the tuning wrote can be read from the weights alone",
)
WEIGHTS = ("tuning_vectors", "vector_cosine", "alignment")
ALIGNMENT = ("write", "read", "two_sided", "gain", "diagonal_energy")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One part of the work: done rightly, or why not. `note`: what is worth knowing of it."""

    good: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """The verdicts on one family, and the share of its layers' parameters that have a role."""

    name: str
    class_name: str = ""
    parameters: int = 0
    weights: Verdict = Verdict(False)
    study: Verdict = Verdict(False)
    merge: Verdict = Verdict(False)
    share: float | None = None
    seconds: float = 0.0


class WrongError(Exception):
    """A number is not what it should be."""


def examine(family: Family) -> Row:
    """The verdicts on a family. Raises whatever transformers can't load."""
    started = time.monotonic()
    base, tuned = truth.load(family.base), truth.load(family.tuned)
    sink = MemorySink()
    weights = _judged(lambda: check_weights(family, base, tuned, sink))
    merge = _judged(lambda: check_merge(family, base, tuned))
    if family.mute:
        study = Verdict(False, f"transformers computes nothing from text alone: {family.mute}")
    else:
        study = _judged(lambda: check_study(family, base, tuned))
    return Row(
        family.name, family.class_name, family.parameters, weights, study, merge, share(sink),
        time.monotonic() - started,
    )  # fmt: skip


def _judged(check: Callable[[], str]) -> Verdict:
    try:
        return Verdict(True, check())
    except WrongError as error:
        return Verdict(False, f"wrong: {error}")
    except TauscopeError as error:
        return Verdict(False, f"refused: {error}")
    except Exception as error:
        return Verdict(False, one_line(error))


def check_weights(family: Family, base: Any, tuned: Any, sink: MemorySink) -> str:
    """Relative norm and n over all and by layer; one output's alignment by head, one expert's."""
    runner.run(study_of(family), sink, WEIGHTS)
    sizes = truth.sizes(truth.state(base), truth.state(tuned))
    try:
        where, _ = truth.layers(base)
    except LookupError as error:
        scope = _check_whole(sink, truth.scopes(base, sizes, set()))
        return "; ".join(note for note in (scope, str(error)) if note)
    scope = _check_whole(sink, truth.scopes(base, sizes, truth.text_names(base, where)))
    _check_layers(sink, base, sizes)
    heads = _check_heads(sink, truth.outputs(base, tuned))
    _check_expert(sink, truth.experts(base, tuned))
    return "; ".join(note for note in (scope, heads) if note)


def _check_whole(sink: MemorySink, scopes: Mapping[str, truth.Size]) -> str:
    row = sink.value("relative_norm", layer=None, module="all")
    near = [scope for scope, size in scopes.items() if size.count == row.n]
    if not near:
        wanted = ", ".join(f"{size.count} ({scope})" for scope, size in scopes.items())
        raise WrongError(f"{row.n} parameters are compared, there are {wanted}")
    _same(row.value, scopes[near[0]].relative_norm, 1e-6, "the relative norm of the whole")
    return "" if near[0] == "all tensors" else near[0]


def _check_layers(sink: MemorySink, base: Any, sizes: Mapping[str, truth.Size]) -> None:
    where, blocks = truth.layers(base)
    for number in range(len(blocks)):
        rows = sink.rows("relative_norm", layer=number, module="blocks")
        if len(rows) != 1:
            raise WrongError(f"layer {number} has {len(rows)} rows of its relative norm")
        size = truth.total(s for n, s in sizes.items() if n.startswith(f"{where}.{number}."))
        parameters = truth.total(
            sizes[n]
            for n, _ in base.named_parameters()
            if n.startswith(f"{where}.{number}.") and n in sizes
        )
        matching = [s for s in (size, parameters) if s.count == rows[0].n]
        if not matching:
            raise WrongError(f"layer {number} counts {rows[0].n} parameters, it has {size.count}")
        _same(rows[0].value, matching[0].relative_norm, 1e-6, f"the norm of layer {number}")


def _check_heads(sink: MemorySink, outputs: truth.Outputs | None) -> str:
    if outputs is None:
        return "no output projection by head"
    width = outputs.base.shape[1] // outputs.heads
    rows = sink.rows("write", layer=outputs.layer, module="o", expert=None)
    count = sum(row.head is not None for row in rows)
    if count == 0 or count % outputs.heads:  # a layer may have several attentions
        raise WrongError(f"o of layer {outputs.layer} has {count} heads, not {outputs.heads}")
    for head in (0, outputs.heads - 1):
        columns = slice(head * width, (head + 1) * width)
        wanted = oracle.alignment(outputs.base[:, columns], outputs.delta[:, columns])
        for metric in ALIGNMENT:
            row = sink.value(metric, layer=outputs.layer, module="o", head=head)
            _same(row.value, wanted[metric], 1e-6, f"{metric} of head {head}")
    return ""


def _check_expert(sink: MemorySink, experts: truth.Experts | None) -> None:
    if experts is None:
        return
    for module, (matrix, delta) in experts.matrices.items():
        wanted = oracle.alignment(matrix, delta)
        for metric in ALIGNMENT:
            rows = sink.rows(metric, layer=experts.layer, module=module, expert=0, head=None)
            if len(rows) != 1:
                raise WrongError(f"{module} of expert 0 has {len(rows)} rows of {metric}")
            _same(rows[0].value, wanted[metric], 1e-6, f"{metric} of {module} of expert 0")


def check_study(family: Family, base: Any, tuned: Any) -> str:
    """Activated shares against the model's own products; all neurons ablated.

    Documents are looked at in batches, then, where that gives other numbers, one by one.
    """
    try:
        return _check_study(family, base, tuned, batch_size=8)
    except WrongError as error:
        try:
            note = _check_study(family, base, tuned, batch_size=1)
        except WrongError:
            raise error from None
        return "; ".join(n for n in (note, f"right one by one, in batches {error}") if n)


def _check_study(family: Family, base: Any, tuned: Any, *, batch_size: int) -> str:
    with tempfile.TemporaryDirectory() as room:
        study = _probed(family, Path(room), batch_size)
        sink = MemorySink()
        runner.run(study, sink, ("activation", "edit_distance"))
        subject = open_subject(study, ("probe",))
        ids = subject.probed.ids
        notes = [_check_activity(sink, n, m, ids) for n, m in (("base", base), ("tuned", tuned))]
        if activity.down_projections(base):
            _check_silence(subject, study, ids[0])
    return notes[0]


def _check_activity(sink: MemorySink, name: str, model: Any, ids: Any) -> str:
    with activity.watching(model) as seen:
        for document in ids:
            activity.logits(model, document)
    if not seen:
        if sink.rows("activated_percent", model=name):
            raise LookupError("the examination knows no down projection of this model")
        return "it has no neurons"
    if any("has no MLP" in words for _, words in sink.warnings):
        raise LookupError("tauscope recognises no neurons in it, and a warning says so")
    tokens = sum(len(document) for document in ids)
    # The product stands in for a gate that can't be seen, and a warning says so.
    hidden = any(about == name and "out of sight" in words for about, words in sink.warnings)
    unseen = []
    for layer, layer_activity in seen.items():
        if not layer_activity.seen:
            continue  # a layer that looks at images alone computes nothing
        _same_share(sink, name, layer, "product", layer_activity.percent(tokens))
        gated = layer_activity.gated_percent(tokens)
        if hidden and gated is not None and gated != layer_activity.percent(tokens):
            unseen.append(layer)
        elif gated is not None:
            _same_share(sink, name, layer, "", gated)
    return f"gates not seen in layers {unseen}" if unseen else ""


def _same_share(sink: MemorySink, name: str, layer: int, setting: str, wanted: float) -> None:
    rows = sink.rows("activated_percent", model=name, layer=layer, setting=setting)
    criterion = setting or "gate"
    if len(rows) != 1:
        raise WrongError(f"layer {layer} has {len(rows)} rows of activated neurons ({criterion})")
    _same(rows[0].value, wanted, 5e-7, f"{name}, active in layer {layer} ({criterion})")


def _check_silence(subject: Any, study: Study, document: Any) -> None:
    base = truth.load(subject.family.base.folder)
    with loading.loaded(subject.family.base, study.run) as model:
        outlets = anatomy_of(subject.family.base.checkpoint).outlets
        neurons = hooks.locate(model.module, outlets)
        everything = [np.arange(width) for width in neurons.widths]
        with ablated(neurons, everything):
            ours = activity.logits(model.module, document)
    for parameters in activity.down_projections(base).values():
        for parameter, _ in parameters.values():
            parameter.zero_()
    wanted = activity.logits(base, document)
    worst = float((ours - wanted).abs().max() / wanted.abs().max().clamp(min=1))
    if worst > 1e-5:
        raise WrongError(f"with all neurons ablated, logits are off by {worst:.1e}")


def check_merge(family: Family, base: Any, tuned: Any) -> str:
    """The merged model at 1 is the tuned one, at 0 the base, in every tensor."""
    opened = families.open_family(study_of(family).models)
    for coefficient, model in ((1.0, tuned), (0.0, base)):
        point = arithmetic.make({"tuned": coefficient}, ["tuned"])
        with tempfile.TemporaryDirectory() as room:
            folder = Path(room) / "merged"
            merging.merge(opened, point, folder)
            _check_equal(truth.load(folder), model, f"merged at {coefficient:g}")
    return ""


def _check_equal(actual: Any, wanted: Any, what: str) -> None:
    state, other = actual.state_dict(), wanted.state_dict()
    if state.keys() != other.keys():
        raise WrongError(f"{what}: other tensors, {sorted(state.keys() ^ other.keys())[:3]}")
    odd = [n for n, t in other.items() if not torch.equal(state[n], t)]
    if odd:
        raise WrongError(f"{what}: {len(odd)} of {len(other)} tensors differ, {odd[:3]}")


def share(sink: MemorySink) -> float | None:
    """The share of the layers' parameters that have a role finer than `other`."""
    rows = [row for row in sink.rows("relative_norm") if row.layer is not None]
    whole = sum(row.n or 0 for row in rows if row.module == "blocks")
    other = sum(row.n or 0 for row in rows if row.module == "other")
    return 1 - other / whole if whole else None


def study_of(family: Family, **more: Any) -> Study:
    """A study of the family's two models, the tuned one named `tuned`."""
    return Study.model_validate({
        "name": family.name,
        "models": {"base": str(family.base), "tuned": {"tuned": str(family.tuned)}},
        "run": {"device": "cpu", "dtype": "float32"},
        **more,
    })  # fmt: skip


def _probed(family: Family, room: Path, batch_size: int) -> Study:
    file = room / "probe.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in PROBE))
    return study_of(
        family,
        probe={"file": str(file)},
        analyses={"activation": {"criteria": ["gate", "product"], "scores": False}},
        run={"device": "cpu", "dtype": "float32", "batch_size": batch_size},
    )


def _same(actual: float | None, wanted: float, tolerance: float, what: str) -> None:
    if actual is None or abs(actual - wanted) > tolerance * max(1.0, abs(wanted)):
        raise WrongError(f"{what} is {actual}, not {wanted:.9g}")
