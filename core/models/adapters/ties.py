"""Tied output heads, and the adapters that untie them.

In training PEFT adapts or replaces one module at a time. If only the embedding is trained, a tied
head keeps the base's embedding, unless the settings keep the tie. Rows of single tokens, and
embeddings that were saved because they were resized, stay tied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.models.adapters.names import AdapterNames, bare
from core.models.checkpoint import Checkpoint

HEADS = ("lm_head.weight", "embed_out.weight")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")


@dataclass(frozen=True, slots=True)
class Tie:
    """The names of a tied embedding and of the output head tied to it."""

    embedding: str
    head: str

    @classmethod
    def of(cls, over: Checkpoint, names: AdapterNames) -> Tie | None:
        """The tie of the model under an adapter; None if the head is a separate tensor."""
        aliases: Mapping[str, str] | None = getattr(over, "aliases", None)
        if aliases is not None:  # the aliases were read from the files
            ties = [(t, s) for t, s in aliases.items() if bare(t) in HEADS and s in over.tensors]
            return cls(ties[0][1], ties[0][0]) if ties else None
        if not _is_tied(over.config) or any(names.find(head) for head in HEADS):
            return None
        embedding = next((name for each in EMBEDDINGS if (name := names.find(each))), None)
        if embedding is None:
            return None
        return cls(embedding, HEADS[embedding.endswith("embed_in.weight")])

    def is_head(self, name: str) -> bool:
        return bare(name) in (*HEADS, bare(self.head))

    def trains(self, settings: Mapping[str, Any], name: str) -> bool:
        """Is the module of this tensor trained as a whole?"""
        module = bare(name).removesuffix(".weight")
        saved = settings.get("modules_to_save") or ()
        return any(bare(s) == module or module.endswith(f".{s}") for s in saved)

    def follows(self, settings: Mapping[str, Any], path: str) -> bool:
        """Does this head use the transposed factors of the embedding?"""
        return bool(settings.get("ensure_weight_tying")) and self.is_head(f"{path}.weight")

    def parts(
        self,
        settings: Mapping[str, Any],
        modules: Sequence[str],
        saved: Sequence[str],
        tokens: Mapping[str, tuple[int, ...]],
        names: AdapterNames,
    ) -> bool:
        """Does the adapter untie head and embedding?

        `modules` are adapted; `saved` are replaced tensors; `tokens` gives replaced rows.
        """
        if settings.get("ensure_weight_tying"):
            return False
        adapted = [f"{path}.weight" for path in modules]
        if any(self._is_either(name, names) for name in adapted):
            return True
        if tokens and all(self.is_head(f"{path}.weight") for path in tokens):
            return True
        if len(set(tokens.values())) > 1:
            return True
        ours = [name for name in saved if self._is_either(name, names)]
        return any(self.trains(settings, name) for name in ours)

    def _is_either(self, name: str, names: AdapterNames) -> bool:
        return self.is_head(name) or names.find(name) == self.embedding


def _is_tied(config: Mapping[str, Any]) -> bool:
    """Does a configuration tie the output head to the embedding? The default is yes."""
    text = config.get("text_config") or {}
    return bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", True)))


def untied(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with an untied output head."""
    settings = {**config, "tie_word_embeddings": False}
    if isinstance(config.get("text_config"), Mapping):
        settings["text_config"] = {**config["text_config"], "tie_word_embeddings": False}
    return settings
