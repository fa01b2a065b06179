"""Copies on their way between the host and a pretended card, which copies later than it is asked.

Until the host has waited for the card, memory that goes up must stay as it was, and memory that
comes down has other bytes than it will have. Knows no operation and counts no wait.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class _Flight:
    """`memory`: the bytes of a tensor of the host; `value`: what they are for the card. `number`:
    counted from 1, in the order of asking."""

    number: int
    card: int
    tensor: Tensor
    memory: NDArray[np.uint8]
    value: NDArray[np.uint8]
    where: str


@dataclass
class Flights:
    """`changed`: copies whose memory changed before they went up, each by the line that asked.
    `asked`: the number of copies so far."""

    changed: list[str] = field(default_factory=list)
    asked: int = 0
    _up: list[_Flight] = field(default_factory=list)
    _down: list[_Flight] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.RLock)

    def rise(self, card: int, tensor: Tensor, where: str) -> None:
        """A tensor of the host goes up."""
        memory = _bytes(tensor)
        with self._lock:
            self.asked += 1
            self._up.append(_Flight(self.asked, card, tensor, memory, memory.copy(), where))

    def fall(self, card: int, tensor: Tensor) -> None:
        """A tensor of the host comes down, whole; its values are taken away until it lands."""
        memory = _bytes(tensor)
        with self._lock:
            self.asked += 1
            self._down.append(_Flight(self.asked, card, tensor, memory, memory.copy(), ""))
            # A flag is turned over, a number becomes NaN or -1.
            memory[:] = memory ^ 1 if tensor.element_size() == 1 else 255

    def meet(self, card: int, tensor: Tensor) -> None:
        """Land what comes down from a card into the memory of a tensor that the same card reads:
        it copies in the order in which it is asked."""
        self._land(lambda flight: flight.card == card and _share(flight.tensor, tensor), up=False)

    def land(self, card: int, last: int | None = None) -> None:
        """The host has waited for a card, or for its copies up to the `last`."""
        last = self.asked if last is None else last
        self._land(lambda flight: flight.card == card and flight.number <= last)

    def _land(self, chosen: Any, *, up: bool = True) -> None:
        with self._lock:
            for flight in filter(chosen, self._down):
                flight.memory[:] = flight.value
            self._down = [flight for flight in self._down if not chosen(flight)]
            if not up:
                return
            for flight in filter(chosen, self._up):
                if not np.array_equal(flight.memory, flight.value):
                    self.changed.append(flight.where)
            self._up = [flight for flight in self._up if not chosen(flight)]


def _bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """The memory from a tensor's first element to its last one."""
    spans = ((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    size = (1 + sum(spans)) * tensor.element_size() if tensor.numel() else 0
    memory: NDArray[np.uint8] = np.zeros(0, np.uint8)
    if size:
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(tensor.data_ptr()))
    return memory


def _share(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
