"""Changed columns against models of transformers whose weights or states are changed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.bench.bench import Bench
from core.bench.messages import Compare, Differing, Generate, Lens, LensGrid, Score, Written
from core.engine import runner
from core.errors import StudyError
from core.neurons import ranking
from tests.conftest import MemorySink
from tests.core import state_family, zoo
from tests.core.bench.tried import (
    CONTINUATION,
    IDS,
    LETTERS,
    PROMPT,
    START,
    asked,
    close,
    logs,
    of,
    opened,
    said,
    scored,
)  # fmt: skip

Family = tuple[Bench, Any, Any, Path]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    """A bench over a Llama, its base and its tuned model as transformers has them, its folder."""
    folder = tmp_path_factory.mktemp("family")
    base, tuned = zoo.build("llama", folder)
    with opened(folder, "tuned0") as bench:
        yield bench, base.eval(), tuned.eval(), folder


def expect(bench: Bench, column: str, model: Any) -> None:
    """The column's scores are the model's."""
    (result,) = scored(bench, column)
    close(result.logprobs, said(logs(model)))


def without(model: Any, neurons: dict[int, list[int]]) -> Any:
    """A copy of a Llama without these neurons of its layers."""
    made = deepcopy(model)
    for layer, units in neurons.items():
        made.model.layers[layer].mlp.down_proj.weight.data[:, units] = 0
    return made


def test_neurons_heads_and_layers_are_ablated(tried: Family) -> None:
    bench, base, tuned, _ = tried
    expect(bench, "ablate(tuned0):neurons=0.3,1.17", without(tuned, {0: [3], 1: [17]}))
    expect(bench, "ablate(base):layers=1", without(base, {1: list(range(48))}))
    headless = deepcopy(tuned)
    headless.model.layers[1].self_attn.o_proj.weight.data[:, 16:24] = 0
    expect(bench, "ablate(tuned0):heads=1.2", headless)


def test_a_selection_is_that_of_the_scores_on_the_probe_set(tried: Family) -> None:
    bench, _, tuned, folder = tried
    sink = MemorySink()
    study = state_family.study_of(folder, "tuned0")
    runner.run(study, sink, ["activation"])
    by_layer: dict[str, Any] = {"scores": {}, "neurons": {}}
    for unit, result in sink.units.values():
        if unit.model == "base":
            for artifact in result.artifacts:
                by_layer.get(artifact.name, {})[artifact.layer] = artifact.arrays
    scores = [by_layer["scores"][layer]["attribution"] for layer in (0, 1)]
    rates = [by_layer["neurons"][layer]["rate"] for layer in (0, 1)]
    name = "top-20%-active"
    chosen = ranking.choose(ranking.parse(name), scores, rates, per_layer=False)
    assert 0 < sum(map(len, chosen)) < 96
    column = f"ablate(tuned0,by=base):{name}"
    wanted = without(tuned, {layer: units.tolist() for layer, units in enumerate(chosen)})
    expect(bench, column, wanted)
    loaded: list[str] = []

    def load(key: str) -> Any:
        loaded.append(key)
        return sink.load(key)

    with opened(folder, "tuned0", load=load) as other:  # from results of the run
        expect(other, column, wanted)
    assert len(loaded) == 2


def test_grafts_take_parts_and_ranks(tried: Family) -> None:
    bench, base, tuned, _ = tried
    base_state, other = base.state_dict(), tuned.state_dict()
    made, cut = deepcopy(base), deepcopy(base)
    for name in base_state:
        if ".layers.0.mlp" in name:
            made.get_parameter(name).data.copy_(other[name])
            u, s, v = torch.linalg.svd(
                (other[name] - base_state[name]).double(), full_matrices=False
            )
            low = (u[:, :2] * s[:2]) @ v[:2]
            cut.get_parameter(name).data.copy_(base_state[name] + low)
    expect(bench, "graft(tuned0):mlp,0", made)
    expect(bench, "graft(tuned0,rank=2):mlp,0", cut)
    expect(bench, "graft(tuned0):", tuned)


def test_steering_adds_the_mean_difference_of_states(tried: Family) -> None:
    bench, base, tuned, folder = tried
    means = []
    for ids in state_family.probe_of(folder).ids:
        with torch.no_grad():
            states = [
                model(input_ids=torch.tensor([ids.tolist()]), output_hidden_states=True)
                .hidden_states[1][0].mean(0) for model in (base, tuned)
            ]  # fmt: skip
        means.append(states[1] - states[0])
    direction = torch.stack(means).mean(0)
    steered = deepcopy(base)
    steered.model.layers[0].register_forward_hook(lambda m, given, out: out + 40.0 * direction)
    expect(bench, "steer(tuned0,layer=0):40", steered)
    assert (logs(steered) - logs(base)).abs().max() > 0.01
    expect(bench, "steer(tuned0,layer=0):0", base)


def test_amplified_logits_are_moved_away_from_the_bases(tried: Family) -> None:
    bench, base, tuned, _ = tried
    with torch.no_grad():
        logits, other = (
            model(input_ids=torch.tensor([IDS])).logits[0, START - 1 : -1]
            for model in (tuned, base)
        )
    (result,) = scored(bench, "amplify(tuned0):1.5")
    close(result.logprobs, said(torch.log_softmax(logits + 1.5 * (logits - other), 1)))
    expect(bench, "amplify(tuned0):0", tuned)


def test_changed_columns_write_what_they_score(tried: Family) -> None:
    bench, *_ = tried
    columns = ("ablate(tuned0):layers=0", "amplify(tuned0):3", "steer(tuned0,layer=1):9", "base")
    events = asked(bench, Generate(prompt=PROMPT, columns=columns, tokens=4))
    texts = {event.column: event.text for event in of(Written, events)}
    for index, column in enumerate(columns):
        result = asked(
            bench,
            Score(prompt=PROMPT, continuation=texts[index].rstrip(), columns=(column,), top=1),
        )[-1]
        for piece, ((best, _),) in zip(texts[index].rstrip(), result.likeliest, strict=True):
            assert piece == best


def test_the_lens_reads_each_layer_with_the_models_own_head(tried: Family) -> None:
    bench, _, tuned, _ = tried
    (result,) = of(
        LensGrid, asked(bench, Lens(prompt=PROMPT, continuation=CONTINUATION, column="tuned0"))
    )
    with torch.no_grad():
        whole = tuned(input_ids=torch.tensor([IDS]), output_hidden_states=True)
        first = tuned.lm_head(tuned.model.norm(whole.hidden_states[1]))[0]
    for row, logits in zip(result.rows, (first, whole.logits[0]), strict=True):
        best = torch.softmax(logits, 1).max(1)
        close([share for _, share in row], best.values)
        names = dict(enumerate(LETTERS, start=3))
        for (text, _), token in zip(row, best.indices.tolist(), strict=True):
            assert text == names.get(token, text)


def test_neurons_that_differ_most_are_compared(tried: Family) -> None:
    bench, base, tuned, _ = tried
    position, seen = 6, []
    for model in (deepcopy(base), deepcopy(tuned)):
        for layer in model.model.layers:
            layer.mlp.down_proj.register_forward_pre_hook(
                lambda m, g: seen.append(g[0][0, position])
            )
        logs(model)
    values = torch.cat(seen).view(2, -1).numpy()
    (result,) = of(Differing, asked(bench, Compare(
        prompt=PROMPT, continuation=CONTINUATION, columns=("base", "tuned0"), position=position,
        count=7,
    )))  # fmt: skip
    order = np.argsort(-np.abs(values[0] - values[1]), kind="stable")[:7]
    assert [(layer, n) for layer, n, _, _ in result.neurons] == [divmod(int(i), 48) for i in order]
    close([value for _, _, value, _ in result.neurons], values[0][order])
    close([value for _, _, _, value in result.neurons], values[1][order])


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("steer(tuned0,layer=2):1", "layers 0 to 1"),
        ("ablate(tuned0):neurons=1.48", "neurons 0 to 47"),
        ("ablate(tuned0):neurons=2.0", "has none"),
        ("ablate(tuned0):heads=0.4", "heads 0 to 3"),
        ("ablate(tuned0):layers=1-2", "up to layer 1"),
        ("graft(tuned0,rank=1):5", "layers 0 to 1"),
    ],
)
def test_missing_parts_are_named(tried: Family, column: str, words: str) -> None:
    bench, base, _, _ = tried
    with pytest.raises(StudyError) as refused:
        scored(bench, column)
    assert words in refused.value.hint
    expect(bench, "base", base)


def test_a_column_of_two_models_has_no_lens(tried: Family) -> None:
    with pytest.raises(StudyError, match="has no states"):
        asked(tried[0], Lens(prompt=PROMPT, continuation="a", column="amplify(tuned0):1"))
