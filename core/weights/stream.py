"""One pass over the weights of a family, shared by every analysis of weights.

A slice is one layer, or all parameters outside of layers. Each of its modules is read once from the
base and from every wanted tuned model, and passed to all readers: first the updates, matrix by
matrix and model by model, then the moments of the whole module. Memory holds one matrix of each
model, never a model; embeddings are streamed by rows. Knows no analysis.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch

from core.errors import CheckpointError
from core.models import cards
from core.models.family import Family, Member
from core.models.naming import ORDER
from core.models.pieces import Piece
from core.models.transfers import arrived
from core.weights import bases, card_moments
from core.weights.moments import Moments, accumulate
from core.weights.pairs import Pairing
from core.weights.parts import SliceParts, step_of
from core.weights.store import Store, in_order
from core.weights.uploads import Uploads
from core.weights.views import MatrixView, ModuleMoments, Pending, Reader, UpdateView

STREAMED = ("embedding", "unembedding")
"""Modules too large for memory: read by blocks of rows."""

UNSETTLED = 5.0
"""Seconds after which the results on a card are taken, and may be saved, before the slice's end."""

RELATIVE = "{model}|{parent}"
"""Name of the extra row of moments for a model's vector from its tuned parent."""


def read_slice(
    family: Family,
    layer: int | None,
    readers: Sequence[Reader],
    *,
    device: torch.device,
    pause: Callable[[], None],
    parts: SliceParts,
) -> None:
    """Read one slice of the family once and pass it to the readers.

    Saved `parts` are neither read nor measured again. `pause` is called between matrices and may
    raise. Raises CheckpointError on values that are not finite.
    """
    wanted = {m for reader in readers for m in (*reader.moments_of, *reader.updates_of)}
    members = [family.tuned[name] for name in family.tuned if name in wanted]
    ordered = in_order(family.pieces(layer))
    store = Store(family, members, ordered)
    lacking = frozenset((m.name, tensor) for m in members for tensor in m.lacks)
    pairing = next(filter(None, (getattr(r, "pairing", None) for r in readers)), None)
    by_module: dict[str, list[tuple[Piece, Moments]]] = {}
    waiting: list[Callable[[], None]] = []

    def settle() -> None:
        """Take the results that were asked for."""
        if waiting and store.uploads is not None:
            arrived(device)
        for take in waiting:
            take()
        waiting.clear()

    with ThreadPoolExecutor(_threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        if device.type == "cuda":
            store.uploads = Uploads(device, pool, _threads())
        settled = time.monotonic()
        tasks = [_Task.of(family, members, piece, readers, parts, pairing) for piece in ordered]
        for task, following in zip(tasks, [*tasks[1:], None], strict=True):
            task.hold(store)
            if following is not None and store.uploads is not None:
                following.hold(store)  # it is read while this one is computed
            if task.known is None:
                sums = _moments(family, store, members, task.piece, pool, pairing, device)
                waiting.append(partial(task.sum, family, members, sums, parts))
            waiting.append(partial(task.note, by_module))
            try:
                if task.missing:
                    waiting += _measure(family, store, task, device, pause, parts, settle)
            except (RuntimeError, ValueError, IndexError):
                settle()  # which names values that are not finite
                raise
            waiting.append(partial(task.take, parts))
            store.drop(task.piece)
            if store.uploads is None or time.monotonic() - settled > UNSETTLED:
                settle()
                settled = time.monotonic()
            pause()
        settle()
    for module in sorted(by_module, key=ORDER.index):
        total = Moments.zero(_rows(family, members), pairing)
        for _, moments in by_module[module]:
            total += moments
        for reader in readers:
            reader.see_module(
                ModuleMoments(layer, module, total, tuple(by_module[module]), lacking)
            )


def _threads() -> int:
    return max(1, min(8, os.cpu_count() or 1))


@dataclass(slots=True)
class _Task:
    """One piece of a slice, and what is left to compute of it. `known`: its moments."""

    piece: Piece
    known: Moments | None
    steps: list[_Step]
    missing: list[_Step]

    @classmethod
    def of(
        cls,
        family: Family,
        members: Sequence[Member],
        piece: Piece,
        readers: Sequence[Reader],
        parts: SliceParts,
        pairing: Pairing | None,
    ) -> _Task:
        seeing = [r for r in readers if r.updates_of and r.wants_updates(piece.module)]
        shown = seeing if piece.is_matrix and piece.module not in STREAMED else []
        steps = _steps(family, piece, shown)
        known = Moments.of_part(_rows(family, members), parts.find(_summing(piece)), pairing)
        missing = [step for step in steps if parts.find(step.name) is None]
        return cls(piece, known, steps, missing)

    def hold(self, store: Store) -> None:
        if self.missing or self.known is None:
            store.hold(self.piece, whole=bool(self.missing))

    def sum(
        self,
        family: Family,
        members: Sequence[Member],
        sums: Callable[[], Moments],
        parts: SliceParts,
    ) -> None:
        """Take the moments."""
        self.known = sums()
        for row, name in enumerate(("base", *(m.name for m in members))):
            if not self.known.finite(row):
                _refuse_non_finite(family, name, self.piece)
        parts.add(_summing(self.piece), self.known.as_part())

    def note(self, by_module: dict[str, list[tuple[Piece, Moments]]]) -> None:
        assert self.known is not None
        by_module.setdefault(self.piece.module, []).append((self.piece, self.known))

    def take(self, parts: SliceParts) -> None:
        """Pass the measured parts to their readers."""
        for step in self.steps:
            known = parts.find(step.name)
            assert known is not None
            step.reader.take(self.piece, step.model, known)


def _rows(family: Family, members: Sequence[Member]) -> tuple[str, ...]:
    """The rows of moments: every wanted model, then the models relative to a wanted tuned
    parent."""
    names = [m.name for m in members]
    relative = [
        RELATIVE.format(model=n, parent=family.parent(n))
        for n in names
        if family.parent(n) in names
    ]
    return (*names, *relative)


def _moments(
    family: Family,
    store: Store,
    members: Sequence[Member],
    piece: Piece,
    pool: ThreadPoolExecutor,
    pairing: Pairing | None,
    device: torch.device,
) -> Callable[[], Moments]:
    rows = _common(family, piece)
    names = [m.name for m in members]
    relative = [
        (1 + names.index(n), 1 + names.index(p))
        for n in names
        if (p := family.parent(n)) is not None and p in names
    ]
    names_of_rows, base = _rows(family, members), store.columns(family.base, piece)
    tuned = [store.columns(member, piece) for member in members]
    if store.uploads is not None:
        return card_moments.accumulate(
            names_of_rows, base, tuned, rows, piece.width, relative, pairing, device
        )
    return partial(
        accumulate, names_of_rows, base, tuned, rows, piece.width, pool, _threads(), relative,
        pairing,
    )  # fmt: skip


def _refuse_non_finite(family: Family, name: str, piece: Piece) -> None:
    member = family.base if name == "base" else family.tuned[name]
    raise CheckpointError(
        f"'{name}' ({member.where}): tensor {member.names[piece.tensor]} contains values that are "
        "not finite.",
        hint="Leave the model out, or use another checkpoint of it.",
    )


def _common(family: Family, piece: Piece) -> Sequence[tuple[int, int]]:
    common = family.common_rows.get(piece.tensor)
    return piece.rows if common is None else ((0, common),)


@dataclass(frozen=True, slots=True)
class _Step:
    """A reader's measurement of one matrix and model."""

    name: str
    reader: Reader
    model: str


def _steps(family: Family, piece: Piece, readers: Sequence[Reader]) -> list[_Step]:
    return [
        _Step(step_of(reader.name, model, piece), reader, model)
        for model in family.tuned
        for reader in readers
        if model in reader.updates_of
    ]


def _summing(piece: Piece) -> str:
    return step_of("moments", "all", piece)


def _measure(
    family: Family,
    store: Store,
    task: _Task,
    device: torch.device,
    pause: Callable[[], None],
    parts: SliceParts,
    settle: Callable[[], None],
) -> list[Callable[[], None]]:
    """Call the readers' `measure` for one matrix's update, model by model; returns what takes the
    results. On the processor they are taken at once, so that a kill loses little."""
    piece = task.piece
    later: list[Callable[[], None]] = []
    if store.uploads is None:
        settle()
    base, narrow = store.matrix(store.columns(family.base, piece), piece, device)
    solve = partial(
        bases.solve, memory=parts.sink, base=family.base.fingerprint, piece=piece,
        terms=int(narrow),
    )  # fmt: skip
    view = MatrixView(piece, base, solve, len(family.tuned), int(narrow))
    for model, steps in groupby(task.missing, key=lambda step: step.model):
        given = store.columns(family.tuned[model], piece)
        matrix, is_narrow = store.matrix(given, piece, device)
        delta = matrix if given.is_update else matrix - base
        factors = store.factors(family.tuned[model], piece)
        both = narrow and is_narrow and not given.is_update
        update = UpdateView(model, delta, factors, both)
        for step in steps:
            pending = step.reader.measure(view, update)
            if store.uploads is None:
                parts.add(step.name, pending())
            else:
                later.append(partial(_take, step, pending, parts))
        pause()
    return later


def _take(step: _Step, pending: Pending, parts: SliceParts) -> None:
    parts.add(step.name, pending())


def choose_device(wanted: str) -> torch.device:
    """The device of the linear algebra; auto chooses CUDA if available (of several cards the one
    with most free memory), else the CPU.

    MPS has no float64 for the sums, so the CPU replaces it.
    """
    if wanted == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", cards.roomiest() or 0)
    if wanted == "mps":
        return torch.device("cpu")
    return torch.device(wanted)
