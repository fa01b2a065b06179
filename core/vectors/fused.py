"""Points written in one pass over the memory of a card, by kernels that torch compiles.

Owns the kernels: the points that they compute, and whether they are ready. A thread compiles them,
so that nobody waits; until then, and where torch can't compile, callers compute without them.
Knows neither files nor models.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.errors import reason

_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
_ALIGNED = 16  # bytes; the compiled code copies tensors at other addresses
_EXAMPLE = 1 << 20  # elements that a kernel is compiled with; it takes any number
_PARTING = 60.0  # seconds that a process waits at its end for the kernel being compiled
_OPTIONS: dict[str, Any] = {
    # One rounding for each operation, as without a compiler: no product fused with a sum, no
    # approximate quotient, no small number taken as zero.
    "emulate_precision_casts": True,
    "eager_numerics.division_rounding": True,
    "eager_numerics.disable_ftz": True,
    # All in one kernel, compiled in this process.
    "realize_reads_threshold": 1 << 10,
    "realize_opcount_threshold": 1 << 10,
    "compile_threads": 1,
    # A `Key` and `Kernels.write` say all that a kernel depends on. Other checks, such as of the
    # number of threads, would compile it again in the thread that calls it.
    "guard_filter_fn": lambda guards: [False for _ in guards],
}


@dataclass(frozen=True, slots=True)
class Form:
    """A sum base + Σ scale·(tuned − base) of so many `vectors`.

    `trims`: without the elements of a vector outside of least ≤ |τ| < most. `elects`: the disjoint
    mean (Yadav et al. 2023) in place of the sum.
    """

    vectors: int
    trims: bool = False
    elects: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """One kernel. `dtypes`: of the base, of each vector, and of the result."""

    form: Form
    dtypes: tuple[torch.dtype, ...]
    device: torch.device


_Kernel = Callable[[Tensor, Sequence[Tensor], Tensor, Tensor], None]


class Kernels:
    """The kernels for devices of one type, compiled as they are asked for."""

    def __init__(self, device: str = "cuda") -> None:
        self.device = device
        self._ready: dict[Key, _Kernel] = {}
        self._asked: set[Key] = set()
        self._compiling, self._threads = threading.Lock(), list[threading.Thread]()
        self._trouble: str | None = None
        self._missed = False

    def ready(self, keys: Iterable[Key]) -> bool:
        """Are all these kernels compiled?"""
        return all(key in self._ready for key in keys)

    def prepare(self, key: Key) -> None:
        """Compile a kernel in a thread, unless it was asked for before."""
        if key not in self._asked and self._trouble is None:
            if not self._asked:
                atexit.register(self._leave)
            self._asked.add(key)
            self._threads.append(threading.Thread(target=self._compile, args=(key,), daemon=True))
            self._threads[-1].start()

    def join(self) -> None:
        """Wait for the kernels that are being compiled."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Begin to compile no further kernel."""
        self._trouble = self._trouble or ""

    def complaints(self) -> Iterator[str]:
        """The reason why a kernel that was asked for can't be compiled or started, once."""
        if self._trouble and self._missed:
            yield (
                "Mixes on the GPU take longer than they need, since no kernel writes them: "
                f"{self._trouble}"
            )
            self._trouble = ""

    def write(
        self, form: Form, base: Tensor, tuned: Sequence[Tensor], numbers: Tensor, out: Tensor
    ) -> bool:
        """Fill `out` with a sum. False if there is no kernel yet, none fits, or it fails.

        All tensors are flat and of equal size. `numbers` [3, vectors] float32: scale, least and
        most of each vector. Each number equals the result of torch's single operations in float32,
        rounded once.
        """
        tensors = (base, *tuned, out)
        if out.numel() < 2 or not all(map(self._takes, tensors)):
            return False
        key = Key(form, tuple(t.dtype for t in tensors), out.device)
        kernel = self._ready.get(key)
        if kernel is None:
            self.prepare(key)
            self._missed = True
            return False
        try:
            with torch.no_grad():
                kernel(base, tuned, numbers, out)
        except RuntimeError as error:  # a card that lacks what the kernel needs
            del self._ready[key]
            self._trouble, self._missed = self._trouble or reason(error), True
            return False
        return True

    def _leave(self) -> None:
        """Let the kernel in hand be completed: Python ends threads in a way that aborts the process
        if they run torch's code."""
        self.stop()
        end = time.monotonic() + _PARTING
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _takes(self, tensor: Tensor) -> bool:
        placed = tensor.device.type == self.device and tensor.dtype in _DTYPES
        return placed and tensor.data_ptr() % _ALIGNED == 0

    def _compile(self, key: Key) -> None:
        with self._compiling:
            if self._trouble is not None:
                return
            try:
                self._ready[key] = _compiled(key)
            except Exception as error:  # of torch, Triton or a C compiler
                self._trouble = reason(error)


def _compiled(key: Key) -> _Kernel:
    function: Any = _function(key.form)
    # torch finds compiled code by its source code, and has a limit of eight for each: a copy.
    function.__code__ = function.__code__.replace()
    # torch takes an option out of the mapping that it is given: a copy as well.
    kernel: _Kernel = torch.compile(function, fullgraph=True, options={**_OPTIONS})
    base, *tuned, out = (
        torch.zeros(_EXAMPLE, dtype=dtype, device=key.device) for dtype in key.dtypes
    )
    for tensor in (base, *tuned, out):
        torch._dynamo.mark_dynamic(tensor, 0)
    with torch.no_grad(), _unseen():
        kernel(base, tuned, torch.ones(3, key.form.vectors, device=key.device), out)
    return kernel


@contextmanager
def _unseen() -> Iterator[None]:
    """Compile without telling the process: transformers computes attention masks and experts in
    another way while `torch.compiler.is_compiling()`, also in other threads."""
    compiler: Any = torch.compiler
    telling = getattr(compiler, "_compile_session_context", None)
    if telling is None:  # an earlier torch, which tells nobody
        yield
        return
    compiler._compile_session_context = nullcontext
    try:
        yield
    finally:
        compiler._compile_session_context = telling


def _function(form: Form) -> _Kernel:
    def written(base: Tensor, tuned: Sequence[Tensor], numbers: Tensor, out: Tensor) -> None:
        start = base.float()
        votes = [
            _change(form, stored.float() - start, *numbers[:, i]) for i, stored in enumerate(tuned)
        ]
        out.copy_(start + (_elected(votes) if form.elects else _sum(votes)))

    return written


def _change(form: Form, update: Tensor, scale: Tensor, least: Tensor, most: Tensor) -> Tensor:
    if form.trims:
        sizes = update.abs()
        update = update.masked_fill((sizes < least) | (sizes >= most), 0)
    return update * scale


def _sum(terms: Sequence[Tensor]) -> Tensor:
    """In the order of the terms; `sum` would begin with 0, which changes the sign of −0."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _elected(votes: Sequence[Tensor]) -> Tensor:
    """As `combination._elect` without weights."""
    sign = _sum(votes).sign()
    agree = [(vote.sign() == sign) & (vote != 0) for vote in votes]
    total = count = torch.zeros_like(sign)
    for vote, agrees in zip(votes, agree, strict=True):
        total = total + torch.where(agrees, vote, 0)
        count = count + agrees
    return total / count.masked_fill(count == 0, 1)
