"""Messages of libraries: captured, reworded, and reported once.

Owns listening to `warnings`, `logging` and stdout, and our words for known messages. Unknown
messages are reported verbatim with the library's name. Knows no model and no task: the listener
names the subject. Meanwhile no library message reaches the terminal.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

Tell = Callable[[str], None]

_LONGEST = 300
"""Most characters of a library's message; some list every weight of a model."""

_MOST = 3
"""Most reported lines of stdout."""

_UNTOLD = re.compile(
    # Reported by tauscope elsewhere, with details: cut items, templates, missing weights.
    r"Left truncation applied|Truncating \d+ tokens|longer than the specified maximum|"
    r"removing the system role|has_training_docs and has_validation_docs are False|"
    r"fewshot_split is None|missing adapter keys|newly initialized|LOAD REPORT|"
    # About tauscope's calls of the library, which users can't change.
    r"`pretrained` model kwarg is not of type|Passed an already-initialized model|"
    r"Custom kwargs can be passed|chat_template was called with|`use_cache=True` is|"
    r"generation flags are not valid|Setting `pad_token_id` to|DISABLE_MULTIPROC|"
    r"unauthenticated requests|is deprecated|will be removed in"
)
"""Messages to drop."""

_WORDS = (
    (
        r"^Mean of empty slice|^Degrees of freedom <= 0",
        "a mean was taken over no values: it is empty",
    ),
    (r"^overflow encountered", "a number was too large for its precision: results may be infinite"),
    (r"^divide by zero encountered", "something was divided by 0: results may be infinite"),
    (r"^invalid value encountered", "a number is not defined: results may be empty"),
    (
        r"Duplicate (?:task|group) name '(.+)' found\..* from: (.+)\. Skipping .* from: (.+)",
        r"two files describe the task '\1': \2 is used, \3 is not",
    ),
    (
        r"Tag '(.+)' references unknown task '(.+)', skipping",
        r"the tag '\1' names the task '\2', which does not exist: the task is left out",
    ),
    (
        r"\[Task: (.+)\] metric (\S+) is defined, but (aggregation|higher_is_better) is not",
        r"the task '\1' sets no \3 for its metric \2: the harness's default is used",
    ),
    (
        r"Label index was not in within range",
        "an item's right answer is not among its choices: it counts as wrong",
    ),
)
"""Known messages, and our words for them."""


class _Listener:
    """The current listener, and the messages already reported."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def hear(self, library: str, message: str) -> None:
        self.tell(in_our_words(library, message))

    def tell(self, words: str) -> None:
        if words and words not in self._told:
            self._told.add(words)
            self._tell(words)

    def repeat(self) -> None:
        self._told.clear()


_listeners: list[_Listener] = []


@contextlib.contextmanager
def heard(tell: Tell) -> Iterator[None]:
    """Report libraries' messages of the block to `tell`, each once (see `repeat`); see `quiet`."""
    _listeners.append(_Listener(tell))
    try:
        with quiet(printed=False):
            yield
    finally:
        _listeners.pop()


@contextlib.contextmanager
def quiet(*, printed: bool = True) -> Iterator[None]:
    """Send libraries' warnings and logs to the listener instead of the terminal.

    With `printed`, also their stdout. stderr stays free for the run's progress.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.showwarning = _warned
        for logger in _with_handlers():
            stack.enter_context(_overheard(logger))
        if printed:
            stack.enter_context(_taken())
        yield


def tell(words: str) -> None:
    """Report our own message about a library's work to the listener, once."""
    if _listeners:
        _listeners[-1].tell(words)


def repeat() -> None:
    """Report messages again from now on that were already reported."""
    if _listeners:
        _listeners[-1].repeat()
    with warnings.catch_warnings():
        pass  # Python, too, shows a warning again once its filters were replaced


def in_our_words(library: str, message: str) -> str:
    """A library's message as a run's warning; empty if it is to be dropped."""
    text = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    if not text or _UNTOLD.search(text):
        return ""
    for pattern, words in _WORDS:
        match = re.search(pattern, text)
        if match:
            return f"{match.expand(words)}."
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return f"{library} says: {cut}"


def _hear(library: str, message: str) -> None:
    if _listeners:
        _listeners[-1].hear(library, message)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        _hear(_library_of(filename), str(message))


def _library_of(filename: str) -> str:
    """The package of a file, by the folder of installed packages."""
    parts = Path(filename).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "Python"


class _Ear(logging.Handler):
    """Passes every record from WARNING on to the listener."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a library's own mistake in formatting
            _hear(record.name.partition(".")[0], record.getMessage())


def _with_handlers() -> list[logging.Logger]:
    """The root logger, and all loggers with their own handlers."""
    known = list(logging.root.manager.loggerDict.values())
    loggers = [x for x in known if isinstance(x, logging.Logger) and x.handlers]
    return [logging.root, *loggers]


@contextlib.contextmanager
def _overheard(logger: logging.Logger) -> Iterator[None]:
    """Replace a logger's terminal handlers by an ear; file handlers stay."""
    before = list(logger.handlers)
    terminal = [h for h in before if type(h) is logging.StreamHandler]
    if terminal or logger is logging.root:
        logger.handlers = [h for h in before if h not in terminal] + [_Ear(logging.WARNING)]
    try:
        yield
    finally:
        logger.handlers = before


@contextlib.contextmanager
def _taken() -> Iterator[None]:
    """Send stdout to the listener, line by line."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            yield
    finally:
        for line in list(dict.fromkeys(output.getvalue().splitlines()))[:_MOST]:
            _hear("a library", line)
