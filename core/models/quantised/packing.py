"""Small unsigned integers out of 32-bit words and out of bytes. Knows no format."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def from_words(words: Tensor, bits: int, count: int) -> Tensor:
    """`count` numbers of `bits` bits out of each row of words [rows, n] int32; int32 [rows, count].

    A row is one run of bits, lowest first: a number may begin in one word and end in the next.
    """
    if 32 % bits == 0:
        shifts = torch.arange(0, 32, bits, dtype=torch.int32)
        spread: Tensor = (words[:, :, None] >> shifts) & (2**bits - 1)
        return spread.flatten(1)[:, :count]
    begin = torch.arange(count) * bits
    word, shift = begin // 32, begin % 32
    wide = torch.nn.functional.pad(words.long() & 0xFFFFFFFF, (0, 1))
    run = wide[:, word] | (wide[:, word + 1] << 32)
    numbers: Tensor = (run >> shift) & (2**bits - 1)
    return numbers.int()


def from_words_in_order(words: Tensor, order: Sequence[int]) -> Tensor:
    """Eight 4-bit numbers per word, the k-th in nibble order[k]; int32 [rows, 8n]."""
    shifts = 4 * torch.tensor(order, dtype=torch.int32)
    spread: Tensor = (words[:, :, None] >> shifts) & 15
    return spread.flatten(1)


def from_bytes(packed: Tensor, *, high_first: bool = False) -> Tensor:
    """Two 4-bit numbers out of each byte [rows, n] uint8; uint8 [rows, 2n]."""
    low, high = packed & 15, packed >> 4
    return torch.stack((high, low) if high_first else (low, high), dim=-1).flatten(1)


def words_needed(count: int, bits: int) -> int:
    """The number of words of a row of `count` numbers."""
    return -(-count * bits // 32)
