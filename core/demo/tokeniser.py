"""The family's own tokeniser: one token for each word of its texts, bytes for anything else.

Owns the vocabulary and the tokenizer files of a model directory. Imports only the tokenizers
library, and knows nothing of models. Lossless on any text: unknown words are spelt in bytes, so the
family can be probed with a user's own documents too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SEPARATOR = "<|endoftext|>"


def make(texts: Iterable[str]) -> Tokenizer:
    """A byte-level tokeniser whose vocabulary is the bytes and every distinct word of `texts`.

    Words are looked up whole before merging (`ignore_merges`), and there are no merges, so a fact's
    parts are single tokens and the model stays small.
    """
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = {piece for text in texts for piece, _ in splitter.pre_tokenize_str(text)}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [SEPARATOR, *alphabet, *sorted(words.difference(alphabet))]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(SEPARATOR, special=True, normalized=False)])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, *, context: int) -> None:
    """Write the files of a fast tokeniser for transformers."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SEPARATOR,
        "eos_token": SEPARATOR,
        "pad_token": SEPARATOR,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text, no separator added."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def separator_id(tokenizer: Tokenizer) -> int:
    number = tokenizer.token_to_id(SEPARATOR)
    assert number is not None, "the vocabulary begins with the separator"
    return int(number)
