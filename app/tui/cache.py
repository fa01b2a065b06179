"""Answers that were made before, for as long as what they were made of is the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class AnswerCache:
    """The answers that were wanted last, `most` of them. One is made at a time: whoever wants one
    that is being made waits for it, and does not make it again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._making = threading.RLock()
        self._answers: OrderedDict[Hashable, tuple[object, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable, edition: object, make: Callable[[], Answer]) -> Answer:
        """The answer to `key`, made now unless it was made of the same edition before."""
        with self._making:
            known = self._answers.get(key)
            if known is not None and known[0] == edition:
                self._answers.move_to_end(key)
                answer: Answer = known[1]
                return answer
            made = make()
            self.put(key, edition, made)
            return made

    def put(self, key: Hashable, edition: object, answer: object) -> None:
        """Keep an answer."""
        with self._making:
            self._answers[key] = edition, answer
            self._answers.move_to_end(key)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
