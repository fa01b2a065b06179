"""Prompts and continuations as token ids, cut to the model's context, and tokens as texts.

Owns the model's input for a request, encoded as in the scores and texts of tasks
(`core.texts.encoding`). Knows no column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core import libraries
from core.bench.messages import Prompt
from core.errors import StudyError, reason
from core.neurons import readout
from core.texts import encoding, templates

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids whose continuation begins at `start`; `cut`: tokens left out at the beginning."""

    ids: tuple[int, ...]
    start: int
    cut: int = 0


class Reader:
    """A study's tokeniser with the context and the vocabulary of its base."""

    def __init__(self, tokenizer: Any, context: int | None, vocabulary: int) -> None:
        self.tokenizer, self.context, self._vocabulary = tokenizer, context, vocabulary
        ordinary = encoding.ids(tokenizer, "a", special=False)
        self._before = ordinary[-1] if ordinary else 0
        self._known: dict[int, str] = {}

    def continued(
        self, prompt: Prompt, continuation: str, warn: Warn, *, whole: bool = False
    ) -> Text:
        """A prompt and a given continuation. The model predicts the last token, but reads it only
        if `whole`. Raises StudyError if it can't read them."""
        written = self._written(prompt, warn)
        if written:
            before, after = encoding.pair(self.tokenizer, written, continuation)
        else:
            before, after = encoding.alone(self.tokenizer, continuation, prompt.alone)
        unread = 1 if after and not whole else 0
        room = None if self.context is None else self.context + unread - len(after)
        return self._text(before, after, room, warn)

    def opened(self, prompt: Prompt, tokens: int, warn: Warn) -> Text:
        """A prompt with room for a text of `tokens` tokens. Raises StudyError as `continued`."""
        written = self._written(prompt, warn)
        ids = encoding.ids(self.tokenizer, written)
        prefix = encoding.prefix(self.tokenizer)
        if not ids and prefix is not None:
            ids = [prefix]
        return self._text(ids, [], None if self.context is None else self.context - tokens, warn)

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The text of each token, as it stands inside a text."""
        new = [token for token in dict.fromkeys(ids) if token not in self._known]
        texts = readout.texts_of(self.tokenizer, new, after=self._before)
        self._known |= dict(zip(new, texts, strict=True))
        return tuple(self._known[token] for token in ids)

    def joined(self, before: Sequence[int], ids: Sequence[int]) -> str:
        """The text of the tokens `ids` after the tokens `before`."""
        near = list(before[-4:])
        lead = self._decoded(near)
        whole = self._decoded([*near, *ids])
        return whole[len(lead) :] if whole.startswith(lead) else self._decoded(ids)

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _written(self, prompt: Prompt, warn: Warn) -> str:
        """The text before the continuation, in the chat template if the prompt asks for it."""
        if not prompt.template:
            if prompt.system:
                warn("A system prompt is part of the chat template, which is off: it is left out.")
            return prompt.text
        if not self.tokenizer.chat_template:
            raise StudyError(
                "The study's tokeniser has no chat template.",
                hint="Switch the template off, or name a tokeniser that has one with "
                "models.tokenizer.",
            )
        system = {"role": "system", "content": prompt.system}
        messages = [*([system] if prompt.system else []), {"role": "user", "content": prompt.text}]
        refused: list[str] = []
        try:
            with libraries.heard(refused.append):
                text = templates.chat(self.tokenizer, messages, add_generation_prompt=True)
        except ValueError as error:
            raise StudyError(
                f"The prompt can't be written: {reason(error)}.", hint="Switch the template off."
            ) from error
        if refused:
            warn("The chat template accepts no system prompt: it is left out.")
        return text

    def _text(self, before: list[int], after: list[int], room: int | None, warn: Warn) -> Text:
        if not before:
            raise StudyError(
                "The prompt is empty, and the tokeniser has no token to begin with.",
                hint="Write a prompt.",
            )
        if room is not None and room < 1:
            raise StudyError(
                f"The model's context of {self.context} tokens leaves no room for a prompt.",
                hint="Shorten the continuation." if after else "Ask for fewer tokens.",
            )
        cut = 0 if room is None else max(0, len(before) - room)
        if cut:
            warn(f"The prompt is longer than the context: its first {cut} tokens are left out.")
        ids = (*before[cut:], *after)
        if max(ids) >= self._vocabulary:
            raise StudyError(
                f"The text has the token {max(ids)}, but the base embeds {self._vocabulary}.",
                hint="Name a tokeniser that fits the base with models.tokenizer.",
            )
        return Text(ids, len(before) - cut, cut)
