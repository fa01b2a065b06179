"""A cache of answers, each valid for one edition of its source."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class AnswerCache:
    """The `most` last requested answers. A second request for an answer that is being made waits
    for it instead of making it again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._making = threading.RLock()
        self._answers: OrderedDict[Hashable, tuple[object, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable, edition: object, make: Callable[[], Answer]) -> Answer:
        """The answer to `key`: cached for this edition, or made now."""
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
