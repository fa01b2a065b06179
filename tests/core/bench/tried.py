"""Benches over tiny families, and what transformers computes of the same models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import decoders
from transformers import PreTrainedTokenizerFast

from core.bench.bench import Bench, open_bench
from core.bench.messages import Event, Prompt, Request, Score, Scored
from tests.core import state_family, zoo

PROMPT, CONTINUATION = Prompt(text="the"), " of them"
LETTERS = zoo.LETTERS + "012345678"  # the models have 40 tokens
IDS = [1, *(3 + LETTERS.index(letter) for letter in PROMPT.text + CONTINUATION)]
START = 1 + len(PROMPT.text)


def opened(folder: Path, *tuned: str, **given: Any) -> Bench:
    """The bench of a family in a folder, after its tokeniser and probe set are written."""
    zoo.write_tokenizer(folder / "base", letters=LETTERS)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "base")
    tokenizer.backend_tokenizer.decoder = decoders.Fuse()  # texts without spaces between letters
    tokenizer.save_pretrained(folder / "base")
    (folder / "probe.txt").write_text("\n".join(state_family.TEXTS))
    study = state_family.study_of(folder, *(tuned or ("tuned0", "tuned1")))
    return open_bench(study, say=lambda words: None, **given)[1]


def asked(bench: Bench, request: Request, pause: Callable[[], None] = lambda: None) -> list[Any]:
    """The events of an answer."""
    events: list[Event] = []
    bench.answer(request, events.append, pause)
    return events


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def scored(bench: Bench, *columns: str) -> list[Scored]:
    """The scores of columns, in their order."""
    request = Score(prompt=PROMPT, continuation=CONTINUATION, columns=columns)
    by_column = {event.column: event for event in of(Scored, asked(bench, request))}
    return [by_column[column] for column in range(len(columns))]


def logs(model: Any, ids: list[int] = IDS) -> torch.Tensor:
    """The log-probabilities [tokens, vocabulary] that a model has before the continuation's
    tokens."""
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits
    return torch.log_softmax(logits[0, START - 1 : -1].float(), 1)


def said(logs: torch.Tensor, ids: list[int] = IDS) -> torch.Tensor:
    """The log-probabilities [tokens] of the continuation's tokens."""
    return logs.gather(1, torch.tensor(ids[START:])[:, None])[:, 0]


def close(actual: Any, wanted: Any, rtol: float = 1e-4, atol: float = 2e-5) -> None:
    if wanted is None:
        assert actual is None
    else:
        wanted = torch.as_tensor(wanted).detach()
        torch.testing.assert_close(
            torch.as_tensor(actual), wanted, rtol=rtol, atol=atol, check_dtype=False
        )
