"""Probe sets: documents as token ids, the same for every model of a family, in padded batches.

Owns the cutting, sorting and padding of documents; core.texts.documents reads them from files.
Loads no tokeniser and no model: callers pass the function from a text to ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ProbeError, did_you_mean
from core.sizes import among, counted
from core.texts import encoding
from core.texts.documents import source
from core.texts.documents.fields import Document

Ids = NDArray[np.int64]
Encode = Callable[[str], Sequence[int]]
"""A function from a text to its token ids, with the tokeniser's special tokens around it."""

BUILTIN = ("code", "general", "maths", "medical")
"""The built-in sets, in `core/texts/builtin`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents side by side, padded on the right.

    `documents`: their indices in the probe set; `ids` [B, T] int64; `lengths`: their numbers of
    tokens; `following` [B, T] int64: the token after each; `scored` [B, T] bool: the positions with
    a prediction of the next token that counts in a loss.
    """

    documents: tuple[int, ...]
    ids: Tensor
    lengths: tuple[int, ...]
    following: Tensor
    scored: Tensor

    @property
    def mask(self) -> Tensor:
        """[B, T] int64: 1 for a token, 0 for padding."""
        lengths = torch.tensor(self.lengths)[:, None]
        return (torch.arange(self.ids.shape[1])[None, :] < lengths).long()


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Documents as token ids. `scored_from[i]` is the first token of document i in a loss, that of
    its answer if it has a prompt.

    `texts` are whole, with the prompts. `prompts` has "" for a document without one; it is empty if
    no document has one. `after[i]` is a last token of document i that is predicted but never an
    input; an empty `after` means that there is none. `notes` report omitted and cut documents.
    """

    texts: tuple[str, ...]
    ids: tuple[Ids, ...]
    scored_from: tuple[int, ...]
    notes: tuple[str, ...] = ()
    after: tuple[int, ...] = ()
    prompts: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """All tokens of all documents."""
        return sum(len(ids) for ids in self.ids)

    @property
    def fingerprint(self) -> str:
        """sha256 of the models' input."""
        digest = hashlib.sha256()
        for ids, start in zip(self.ids, self.scored_from, strict=True):
            digest.update(f"{len(ids)} {start} ".encode() + ids.tobytes())
        return digest.hexdigest()

    def first(self, documents: int) -> ProbeSet:
        """Its first documents."""
        return ProbeSet(
            self.texts[:documents], self.ids[:documents], self.scored_from[:documents],
            self.notes, self.after[:documents], self.prompts[:documents],
        )  # fmt: skip

    def order(self) -> list[int]:
        """The documents, longest first: padding is short, and a lack of memory shows early."""
        return sorted(range(len(self.ids)), key=lambda i: (-len(self.ids[i]), i))

    def batches(self, size: int, skip: int = 0) -> Iterator[Batch]:
        """The documents in batches of at most `size`, without the first `skip` of the order."""
        order = self.order()[skip:]
        for start in range(0, len(order), size):
            yield self._batch(order[start : start + size])

    def _batch(self, chosen: Sequence[int]) -> Batch:
        lengths = tuple(len(self.ids[i]) for i in chosen)
        ids = torch.zeros(len(chosen), max(lengths), dtype=torch.int64)
        following, scored = torch.zeros_like(ids), torch.zeros(ids.shape, dtype=torch.bool)
        for row, i in enumerate(chosen):
            shown = torch.from_numpy(self.ids[i])
            whole = torch.cat((shown, torch.tensor(self.after[i : i + 1], dtype=torch.int64)))
            ids[row, : len(shown)] = shown
            following[row, : len(whole) - 1] = whole[1:]
            scored[row, max(1, self.scored_from[i]) - 1 : len(whole) - 1] = True
        return Batch(tuple(chosen), ids, lengths, following, scored)


def builtin(name: str) -> list[Document]:
    """The documents of a built-in set. Raises ProbeError with the nearest name."""
    if name not in BUILTIN:
        raise ProbeError(
            f"There is no built-in probe set '{name}'.", hint=did_you_mean(name, BUILTIN)
        )
    return source.read(Path(str(files("core.texts.builtin") / f"{name}.jsonl")))


def encoded(
    given: Sequence[Document],
    encode: Encode,
    *,
    documents: int,
    max_tokens: int,
    context: int | None,
) -> ProbeSet:
    """The first documents as token ids, cut to `max_tokens` and to the context of the models.

    A prompt and its answer are split as `core.texts.encoding.pair` does. Leaves out documents
    without a text or tokens, and documents whose prompt leaves no token to the answer. Notes
    count them and the repeated documents. Raises ProbeError if none is left.
    """
    limit = min(max_tokens, context or max_tokens)
    chosen: list[tuple[Document, Ids, int]] = []
    empty = cut = unanswered = 0
    for each in given[:documents]:
        ids, start = _ids_of(each, encode) if each.text.strip() else (np.zeros(0, np.int64), 1)
        if not len(ids):
            empty += 1
        elif each.prompt and len(ids[:limit]) <= start:
            unanswered += 1
        else:
            cut += len(ids) > limit
            chosen.append((each, ids[:limit], start))
    if not chosen:
        raise ProbeError(
            f"No document of the probe set has any tokens: all {empty} are empty."
            if not unanswered
            else f"No answer of the probe set has a token among the first {limit}.",
            hint="Set other texts under [probe].",
        )
    notes = []
    if empty:
        left = "has no tokens and is" if empty == 1 else "have no tokens and are"
        notes.append(f"{counted(empty, 'document')} {left} left out.")
    if unanswered:
        notes.append(
            f"{counted(unanswered, 'document')} without a token of the answer among the first "
            f"{counted(limit, 'token')}: left out."
        )
    again = len(chosen) - len({each for each, _, _ in chosen})
    if again:
        phrase = among(again, len(chosen), "document", "repeats", "repeat")
        notes.append(f"{phrase} an earlier one; each counts.")
    twice = sum(bool(each.prompt) and each.text.startswith(each.prompt) for each, _, _ in chosen)
    if twice:
        phrase = among(twice, len(chosen), "text", "begins", "begin")
        notes.append(
            f"{phrase} with the prompt, which stands before the text too: a text beside a prompt "
            "is the answer alone."
        )
    if context is not None and context < max_tokens and (cut or unanswered):
        notes.append(f"probe.max_tokens is {max_tokens}, but the models' context is {context}.")
    if cut:
        phrase = among(cut, len(chosen), "document", "is", "are")
        notes.append(f"{phrase} cut to the first {counted(limit, 'token')}.")
    prompts = tuple(each.prompt for each, _, _ in chosen)
    return ProbeSet(
        tuple(each.prompt + each.text for each, _, _ in chosen),
        tuple(ids for _, ids, _ in chosen),
        tuple(start for _, _, start in chosen),
        tuple(notes),
        prompts=prompts if any(prompts) else (),
    )


def _ids_of(document: Document, encode: Encode) -> tuple[Ids, int]:
    """The ids of a document, and the first of them in a loss."""
    if not document.prompt:
        return np.asarray(encode(document.text), dtype=np.int64), 1
    prompt, answer = encoding.split(encode, document.prompt, document.text)
    return np.asarray([*prompt, *answer], dtype=np.int64), max(1, len(prompt))


def of_pairs(pairs: Iterable[tuple[Sequence[int], Sequence[int]]], context: int) -> ProbeSet:
    """Prompts and their right answers as documents; a loss counts only the answers.

    The input is that of scoring the answer: all but the last token, cut to the last `context`
    tokens. Raises ProbeError if no answer has a token that can be predicted.
    """
    chosen: list[tuple[Ids, int, int]] = []
    for prompt, answer in pairs:
        whole = np.asarray([*prompt, *answer], dtype=np.int64)[-(context + 1) :]
        start = max(1, len(whole) - len(answer))
        if start < len(whole):
            chosen.append((whole[:-1], start, int(whole[-1])))
    if not chosen:
        raise ProbeError("No item has an answer with a token to predict.")
    ids, starts, last = zip(*chosen, strict=True)
    return ProbeSet(("",) * len(ids), tuple(ids), tuple(starts), after=tuple(last))


def split_otherwise(probe: ProbeSet, encode: Encode, limit: int) -> int:
    """The number of documents that another tokeniser splits differently, among the first
    `limit`."""
    prompts = probe.prompts or ("",) * len(probe.texts)
    given = (
        Document(text[len(prompt) :], prompt)
        for text, prompt in zip(probe.texts, prompts, strict=True)
    )
    return sum(
        not np.array_equal(_ids_of(document, encode)[0][:limit], ids)
        for document, ids in zip(given, probe.ids, strict=True)
    )
