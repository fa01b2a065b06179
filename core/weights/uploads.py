"""Rows of checkpoints sent to a card while it computes.

Several threads read rows into pinned buffers, which are used again and again. A separate CUDA
stream sends them. Owns the buffers and the order of events. Knows no model and no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor

from core.models.transfers import pinned

BUFFER = 1 << 24
"""Bytes of a pinned buffer: enough for the full speed of a bus."""

RowReader = Callable[[int, int, Tensor | None], Tensor]
"""Rows start:stop of a tensor on the host, perhaps in the given buffer (uint8)."""


class Sent:
    """Rows on their way to a card."""

    def __init__(self, rows: Tensor, parts: Sequence[Future[Any]]) -> None:
        self._rows = rows
        self._parts: Sequence[Future[Any]] = parts

    @property
    def rows(self) -> Tensor:
        """The rows, for use on the card's current stream. Waits for the readers, not for the card.

        Raises the error of a reader.
        """
        current = torch.cuda.current_stream(self._rows.device)
        for part in self._parts:
            current.wait_event(part.result())
        if self._parts:
            # Allocated on the stream of copies: reusable only when the current stream is done.
            self._rows.record_stream(current)
            self._parts = ()
        return self._rows


class Uploads:
    """Sends rows to a card. `pool`: the readers' threads, each of which uses one buffer."""

    def __init__(self, device: torch.device, pool: ThreadPoolExecutor, threads: int) -> None:
        self.device, self._pool = device, pool
        self._stream = _stream(device)
        self._buffers: SimpleQueue[_Buffer] = SimpleQueue()
        for _ in range(2 * threads):  # one is filled while another is sent
            self._buffers.put(_Buffer())

    def send(
        self, read: RowReader, start: int, stop: int, columns: int, dtype: torch.dtype
    ) -> Sent:
        """Rows start:stop, [rows, columns], in the dtype that `read` gives, or a wider one."""
        with self._copying():
            rows = torch.empty(stop - start, columns, dtype=dtype, device=self.device)
        step = max(1, BUFFER // max(1, columns * dtype.itemsize))
        return Sent(
            rows,
            [
                self._pool.submit(self._part, read, first, rows[first - start :][:step])
                for first in range(start, stop, step)
            ],
        )

    def _part(self, read: RowReader, first: int, target: Tensor) -> Any:
        buffer = self._buffers.get()
        try:
            with self._copying():
                pinned = buffer.free(target.nbytes)
                rows = read(first, first + len(target), pinned)
                if rows.dtype != target.dtype or not _lies_in(rows, pinned):
                    # The reader decoded into other memory: the buffer held at most the stored
                    # bytes.
                    staged = pinned[: target.nbytes].view(target.dtype).view(target.shape)
                    rows = staged.copy_(rows.to(target.dtype).contiguous())
                target.copy_(rows, non_blocking=True)
                buffer.sent = self._stream.record_event()
            return buffer.sent
        finally:
            self._buffers.put(buffer)

    @contextmanager
    def _copying(self) -> Iterator[None]:
        """The stream of copies, with its card as the thread's own. A thread begins with card 0:
        waiting for an event there, or going back from a stream to it, would take memory of it."""
        with torch.cuda.device(self._stream.device), torch.cuda.stream(self._stream):
            yield


@cache
def _stream(device: torch.device) -> Any:
    """The stream of copies to a card, the same for all slices: torch keeps the memory that one
    stream has freed from all others."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class _Buffer:
    """Pinned memory, and the event after which it may be overwritten."""

    def __init__(self) -> None:
        self.sent: Any = None
        self._memory = torch.empty(0, dtype=torch.uint8)

    def free(self, nbytes: int) -> Tensor:
        """At least `nbytes` of it; waits until its last contents have been sent."""
        if self.sent is not None:
            self.sent.synchronize()
        if self._memory.numel() < nbytes:
            self._memory = pinned(max(nbytes, BUFFER))
        return self._memory


def _lies_in(rows: Tensor, memory: Tensor) -> bool:
    return rows.is_contiguous() and (
        rows.untyped_storage().data_ptr() == memory.untyped_storage().data_ptr()
    )
