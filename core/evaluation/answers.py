"""Prompts and answers of a model, item by item, in a form that can be stored.

Owns the arrays of prompts and answers, and their bounds. Computes no score. Texts are stored as
UTF-8 bytes end to end: an array of text would take the longest one's room for each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engine.measurement import Artifact

PROMPTS, ANSWERS = "prompts", "answers"
"""The names of the artifacts: of a task, and of a model on it."""

LONGEST = 4_000
"""Characters of one stored text."""
MOST = 3_000_000
"""Characters of all stored texts of a task together; many items have shorter ones."""
CUT = "[…]"
"""Stands where a text was cut."""

Arrays = Mapping[str, NDArray[Any]]
Right = Callable[[Mapping[str, Any]], Collection[int]]
After = Callable[[Mapping[str, Any], str], str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One item: its prompt (cut at the beginning where it is long), the choices or the one text
    that was scored, which of them are right, the log-likelihood of each in nats, and for generated
    text the `target` and the model's text, `said`.

    `continuation`: the right answer as it follows the prompt, if it is no choice by itself:
    generated text, or the common end of choices that differ in their prompts.
    """

    index: int
    prompt: str
    choices: tuple[str, ...] = ()
    right: tuple[bool, ...] = ()
    likelihoods: tuple[float, ...] = ()
    target: str = ""
    said: str | None = None
    continuation: str = ""

    @property
    def scored(self) -> dict[str, str]:
        """The `prompt` and the right answer as it follows there, the `continuation`; of a running
        text, `alone` too, as in `core.texts.encoding`."""
        good = [text for text, good in zip(self.choices, self.right, strict=False) if good]
        right = good[0] if good else ""
        if not self.prompt and len(self.choices) == 1:
            return {"prompt": "", "continuation": right, "alone": "text"}
        prompt, follows = self.prompt, self.continuation or right
        if not follows and self.target:  # an older database has no continuation
            follows = f"{'' if prompt[-1:].isspace() else ' '}{self.target}"
        if not prompt and self.continuation:
            prompt = right.removesuffix(self.continuation)
        return {"prompt": prompt, "continuation": follows}


def read(
    rows: Iterable[Mapping[str, Any]], right: Right | None = None, after: After | None = None
) -> list[Answer]:
    """The answers in the harness's rows of samples, each item once and in ascending order.

    `right` gives the indices of a document's right choices; None finds them by the row's target.
    `after` gives the right answer to a document to be generated, as it follows the prompt.
    """
    by_index: dict[int, Answer] = {}
    for row in rows:
        index = int(row["doc_id"])
        if index not in by_index:
            by_index[index] = _answer(index, row, right, after)
    return [by_index[index] for index in sorted(by_index)]


def artifacts(
    answers: Sequence[Answer], *, prompts: bool, setting: str = "", **coordinates: Any
) -> list[Artifact]:
    """The answers as an artifact with these coordinates, after that of their prompts if asked."""
    name = f"{ANSWERS}.{setting}" if setting else ANSWERS
    result = [Artifact(name=name, arrays=_answered(answers), **coordinates)]
    if prompts:
        result.insert(0, Artifact(name=PROMPTS, arrays=_asked(answers), **coordinates))
    return result


def stored(prompts: Arrays | None, answers: Arrays | None) -> dict[int, Answer]:
    """Answers by item, of stored arrays; without prompts, or without answers, those are empty."""
    items = prompts if prompts is not None else answers
    if items is None:
        return {}
    likelihoods = dict(_likelihoods(answers)) if answers is not None else {}
    responses = dict(_said(answers)) if answers is not None else {}
    texts = _texts(prompts, "prompt") if prompts is not None else None
    targets = _texts(prompts, "target") if prompts is not None else None
    choices = list(_choices(prompts)) if prompts is not None else None
    known = prompts is not None and "continuation.bytes" in prompts
    continuations = _texts(prompts or {}, "continuation") if known else None
    by_index = {}
    for row, index in enumerate(map(int, items["index"])):
        options, right = choices[row] if choices is not None else ((), ())
        by_index[index] = Answer(
            index, texts[row] if texts else "", options, right, likelihoods.get(index, ()),
            targets[row] if targets else "", responses.get(index),
            continuations[row] if continuations else "",
        )  # fmt: skip
    return by_index


def _answer(
    index: int, row: Mapping[str, Any], right_of: Right | None, after: After | None
) -> Answer:
    asked = [tuple(each) for each in row["arguments"]]
    given = [each[0] for each in row["resps"]]
    target = row.get("target")
    first = asked[0]
    if len(first) > 1 and isinstance(first[1], Mapping):  # settings of generation
        follows = "" if after is None else after(row["doc"], str(first[0]))
        return Answer(
            index, str(first[0]), target=_named(target), said=str(given[0]), continuation=follows
        )
    if len(first) == 1:  # a running text, scored as a whole
        return Answer(index, "", (str(first[0]),), (True,), (float(_number(given[0])),))
    half = len(asked) // 2
    if len(asked) > 2 and not any(context for context, *_ in asked[half:]) and asked[0][0]:
        asked, given = asked[:half], given[:half]  # the rest: choices without their question
    alike = len({context for context, *_ in asked}) == 1
    choices = tuple(str(each[1]) if alike else f"{each[0]}{each[1]}" for each in asked)
    if right_of is None:
        right = tuple(_is_right(n, each[1], target, len(asked)) for n, each in enumerate(asked))
    else:
        known = right_of(row["doc"])
        right = tuple(position in known for position in range(len(asked)))
    likelihoods = tuple(float(_number(each)) for each in given)
    if alike:
        return Answer(index, str(first[0]), choices, right, likelihoods)
    good = right.index(True) if True in right else 0
    return Answer(index, "", choices, right, likelihoods, continuation=str(asked[good][1]))


def _number(given: Any) -> Any:
    """The log-likelihood in a response of the harness."""
    return given[0] if isinstance(given, tuple | list) else given


def _is_right(position: int, choice: Any, target: Any, count: int) -> bool:
    if count == 1:
        return True
    targets = target if isinstance(target, list | tuple) else [target]
    return any(
        position == each if isinstance(each, int) else str(choice).strip() == str(each).strip()
        for each in targets
    )


def _named(target: Any) -> str:
    several = isinstance(target, list | tuple)
    return " | ".join(map(str, target)) if several else str(target)


# --- texts as bytes ---------------------------------------------------------------------------


def _asked(answers: Sequence[Answer]) -> dict[str, NDArray[Any]]:
    choices = [choice for each in answers for choice in each.choices]
    texts = len(answers) * 2 + len(choices) + sum(bool(each.continuation) for each in answers)
    room = min(LONGEST, max(80, MOST // max(1, texts)))
    right = [right for each in answers for right in each.right]
    return {
        "index": np.array([each.index for each in answers], np.int64),
        "counts": np.array([len(each.choices) for each in answers], np.int64),
        "right": np.array(right, np.uint8),
        **_bytes("prompt", (_end(each.prompt, room) for each in answers)),
        **_bytes("choice", (_beginning(choice, room) for choice in choices)),
        **_bytes("target", (_beginning(each.target, room) for each in answers)),
        **_bytes("continuation", (_beginning(each.continuation, room) for each in answers)),
    }


def _answered(answers: Sequence[Answer]) -> dict[str, NDArray[Any]]:
    room = min(LONGEST, max(80, MOST // max(1, len(answers))))
    values = [value for each in answers for value in each.likelihoods]
    arrays = {
        "index": np.array([each.index for each in answers], np.int64),
        "counts": np.array([len(each.likelihoods) for each in answers], np.int64),
        "likelihood": np.array(values, np.float64),
    }
    if any(each.said is not None for each in answers):
        arrays |= _bytes("said", (_beginning(each.said or "", room) for each in answers))
    return arrays


def _end(text: str, room: int) -> str:
    """The end of a long prompt, where the item itself stands."""
    return text if len(text) <= room else f"{CUT}{text[-room:]}"


def _beginning(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[:room]}{CUT}"


def _bytes(name: str, texts: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Texts end to end, and where each ends."""
    parts = [text.encode(errors="backslashreplace") for text in texts]
    return {
        f"{name}.bytes": np.frombuffer(b"".join(parts), np.uint8),
        f"{name}.ends": np.cumsum([len(part) for part in parts], dtype=np.int64),
    }


def _texts(arrays: Arrays, name: str) -> list[str]:
    whole, ends = arrays[f"{name}.bytes"].tobytes(), arrays[f"{name}.ends"]
    starts = [0, *map(int, ends[:-1])]
    pairs = zip(starts, map(int, ends), strict=True) if len(ends) else ()
    return [whole[start:end].decode(errors="replace") for start, end in pairs]


def _choices(prompts: Arrays) -> Iterator[tuple[tuple[str, ...], tuple[bool, ...]]]:
    texts, right = _texts(prompts, "choice"), prompts["right"]
    start = 0
    for count in map(int, prompts["counts"]):
        yield tuple(texts[start : start + count]), tuple(map(bool, right[start : start + count]))
        start += count


def _likelihoods(answers: Arrays) -> Iterator[tuple[int, tuple[float, ...]]]:
    start = 0
    for index, count in zip(answers["index"], map(int, answers["counts"]), strict=True):
        yield int(index), tuple(map(float, answers["likelihood"][start : start + count]))
        start += count


def _said(answers: Arrays) -> Iterator[tuple[int, str]]:
    if "said.bytes" in answers:
        texts = _texts(answers, "said")
        yield from zip(map(int, answers["index"]), texts, strict=True)
