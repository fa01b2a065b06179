"""The settings of written texts on the bench, and their typed form.

Knows no screen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import StudyError
from core.sizes import counted
from core.texts.encoding import WAYS, Alone


@dataclass(frozen=True, slots=True)
class Settings:
    """A `temperature` of 0 is greedy. `template`: the prompt is a user's turn in the chat
    template, after `system` if there is one. `alone`: the encoding of a scored text without a
    prompt (`core.texts.encoding.alone`)."""

    tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    template: bool = False
    system: str = ""
    alone: Alone = "item"

    @property
    def words(self) -> str:
        """All settings in a line."""
        how = "greedy"
        if self.temperature:
            how = f"temperature {self.temperature:g} · top-p {self.top_p:g} · seed {self.seed}"
        stop = f" · stops at {counted(len(self.stop), 'text')}" if self.stop else ""
        return f"{counted(self.tokens, 'token')} · {how}{stop} · {self.chat}"

    @property
    def chat(self) -> str:
        """Whether and how the chat template is used."""
        if not self.template:
            return "no template"
        return "chat template, with a system prompt" if self.system else "chat template"


FIELDS: Mapping[str, tuple[str, str]] = {
    "tokens": ("tokens", "maximum number of generated tokens, 1 to 4096"),
    "temperature": ("temperature", "0 is greedy"),
    "top_p": (
        "top-p",
        "above 0, at most 1: draws from the likeliest tokens with this total probability",
    ),
    "seed": ("seed", "a whole number; the same seed draws the same texts"),
    "stop": (
        "stop",
        "texts at which generation stops, separated by |; \\n is a line break, <|end|> is one text",
    ),
    "template": ("template", "on or off: the model's chat template"),
    "system": ("system", "the system prompt; needs template on"),
    "alone": (
        "no prompt",
        "how a scored text without a prompt is encoded: item, text or document",
    ),
}
"""Each setting: its name and the text that it accepts."""


_STOPS = re.compile(r"(?:<\|[^|<>]*\|>|[^|])+")
"""One of the texts between bars; the bars of a special token are a part of its text."""


def typed(settings: Settings) -> dict[str, str]:
    """Each setting as it is typed."""
    return {
        "tokens": str(settings.tokens),
        "temperature": f"{settings.temperature:g}",
        "top_p": f"{settings.top_p:g}",
        "seed": str(settings.seed),
        "stop": "|".join(each.replace("\n", "\\n") for each in settings.stop),
        "template": "on" if settings.template else "off",
        "system": settings.system.replace("\n", "\\n"),
        "alone": settings.alone,
    }


def read(words: Mapping[str, str]) -> Settings:
    """The settings that were typed. Raises StudyError, naming the first one at fault."""
    if words["template"].strip() not in ("on", "off"):
        raise StudyError("template must be on or off.")
    if words["alone"].strip() not in WAYS:
        raise StudyError("no prompt must be item, text or document.")
    stop = (each.replace("\\n", "\n") for each in _STOPS.findall(words["stop"]))
    return Settings(
        tokens=int(_number(words, "tokens", 1, 4096, whole=True)),
        temperature=_number(words, "temperature", 0, 100),
        top_p=_number(words, "top_p", 1e-6, 1),
        seed=int(_number(words, "seed", 0, 2**53 - 1, whole=True)),
        stop=tuple(stop),
        template=words["template"].strip() == "on",
        system=words["system"].replace("\\n", "\n"),
        alone=WAYS[words["alone"].strip()],
    )


def _number(
    words: Mapping[str, str], name: str, least: float, most: float, *, whole: bool = False
) -> float:
    text = words[name].strip()
    try:
        number = float(int(text)) if whole else float(text.replace(",", "."))
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        kind = "a whole number" if whole else "a number"
        raise StudyError(
            f"{FIELDS[name][0]} must be {kind} from {least:g} to {most:g}, not '{text}'."
        )
    return number
