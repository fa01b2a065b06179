"""All analyses of states and predictions in one pass, against a plain forward pass; memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from tests.benchmarks import activations
from tests.benchmarks.report import Row
from tests.benchmarks.workload import family

DOCUMENTS = 12


def rows(folder: Path) -> Iterator[Row]:
    """Every row about states, as it is measured."""
    folders = family(folder, tuned=1, layers=2)
    yield _pass(folders)
    yield _memory(folders)


def _pass(folders: list[Path]) -> Row:
    """The readers of all analyses in the pass of a tuned model, in turn with the plain pass."""
    from core.states import forward

    read = forward.read
    seconds: list[float] = []

    def timed(session: Any, probe: Any, readers: Any, **more: Any) -> None:
        if session.model.name == "base":
            return read(session, probe, readers, **more)
        seconds.extend(
            activations.in_turn(
                lambda: plain(session, probe), lambda: read(session, probe, readers, **more), 3
            )
        )
        return None

    with mock.patch.object(forward, "read", timed):
        run(folders, shared())
    less, more = seconds
    return Row(
        f"{', '.join(shared())} in one pass, over a plain forward pass with the head's product",
        more / less, "≤", 1.3,
        f"{more:.2f} s against {less:.2f} s, {DOCUMENTS} × {activations.TOKENS} tokens, 2 layers, "
        "bfloat16",
    )  # fmt: skip


def shared() -> tuple[str, ...]:
    """The analyses that read one pass together."""
    from core.engine import registry

    return tuple(name for name in registry.names() if registry.get(name).reader is not None)


def plain(session: Any, probe: Any) -> None:
    """A forward pass over the probe set, with the logits of all tokens in blocks."""
    from core.neurons.activity import last_logits
    from core.states.head import seeing_final

    for batch in probe.batches(session.batch_size):
        seen: list[torch.Tensor] = []
        with torch.inference_mode(), seeing_final(session.head, seen.append):
            last_logits(session.model, batch)
        states = seen[0].flatten(0, 1)
        for start in range(0, len(states), size := session.head.block):
            session.head.logits(states[start : start + size])


def run(folders: list[Path], names: tuple[str, ...]) -> None:
    """A run of analyses of a base and a tuned model on random tokens."""
    from core.engine import probes, runner
    from core.study import intake, study
    from tests.conftest import MemorySink

    opened: Any = {"probe": activations.probe_set(DOCUMENTS)}, []
    models = intake.of_models(str(folders[0]), [str(folders[1])]).models
    where = study.Run(device="cpu", batch_size=activations.DOCUMENTS)
    of = study.Study(name="s", models=models, probe=study.Probe(builtin="maths"), run=where)
    with mock.patch.object(probes, "open_sets", return_value=opened):
        runner.run(of, MemorySink(), names)


_ONE = """
from unittest import mock
from core.states import forward
from tests.benchmarks import states
def read(session, probe, readers, **more):
    states.plain(session, probe)
    raise SystemExit(print(open('/proc/self/status').read()))
with mock.patch.object(forward, "read", read):
    states.run(folders, states.shared())
"""
_ALL = """
from tests.benchmarks import states
states.run(folders, states.shared())
"""


def _memory(folders: list[Path]) -> Row:
    """Of a process for the plain pass of the base, and of one for a whole pair."""
    one, pair = (activations.peak(script, folders) for script in (_ONE, _ALL))
    return Row(
        "peak memory of a pair's states and predictions, over a plain forward pass of one model",
        pair / one, "≤", 1.3, f"{pair:.2f} GB against {one:.2f} GB, whole processes",
    )  # fmt: skip
