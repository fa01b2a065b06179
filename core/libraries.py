"""Messages of libraries: captured, put into our words, and told once.

Owns the listening to `warnings`, to `logging` and to what is printed, and the words for what is
known. What is not known is told as it is, with the library's name. Knows no model and no task: who
listens says what it is about. Nothing that a library says reaches the terminal meanwhile.
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
"""Characters of a library's own words; some list every weight of a model."""

_MOST = 3
"""Lines that are told of what is printed."""

_UNTOLD = re.compile(
    # Told by us elsewhere, with more: what is cut, whose template, what is missing.
    r"Left truncation applied|Truncating \d+ tokens|longer than the specified maximum|"
    r"removing the system role|has_training_docs and has_validation_docs are False|"
    r"fewshot_split is None|missing adapter keys|newly initialized|LOAD REPORT|"
    # Of how we call the library, which nobody else can change.
    r"`pretrained` model kwarg is not of type|Passed an already-initialized model|"
    r"Custom kwargs can be passed|chat_template was called with|`use_cache=True` is|"
    r"generation flags are not valid|Setting `pad_token_id` to|DISABLE_MULTIPROC|"
    r"unauthenticated requests|is deprecated|will be removed in"
)
"""What need not be passed on."""

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
        r"the tag '\1' names the task '\2', which does not exist: it is left out",
    ),
    (
        r"\[Task: (.+)\] metric (\S+) is defined, but (aggregation|higher_is_better) is not",
        r"the task '\1' gives no \3 for its metric \2: the harness's default is used",
    ),
    (
        r"Label index was not in within range",
        "an item names a right answer that is none of its choices: it counts as wrong",
    ),
)
"""What is known, and our words for it."""


class _Listener:
    """Whoever is told now, and what was told already."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def hear(self, library: str, said: str) -> None:
        self.tell(in_our_words(library, said))

    def tell(self, words: str) -> None:
        if words and words not in self._told:
            self._told.add(words)
            self._tell(words)


_listeners: list[_Listener] = []


@contextlib.contextmanager
def heard(tell: Tell) -> Iterator[None]:
    """What libraries say meanwhile is told to `tell`, each thing once; see `quiet`."""
    _listeners.append(_Listener(tell))
    try:
        with quiet(printed=False):
            yield
    finally:
        _listeners.pop()


@contextlib.contextmanager
def quiet(*, printed: bool = True) -> Iterator[None]:
    """Nothing that libraries warn of or log reaches the terminal; whoever listens is told.

    With `printed`, neither does what they print. Only stdout is taken from them: progress of the
    run may be drawn on stderr meanwhile.
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
    """Tell whoever listens, once, what was found about a library's work; words of our own."""
    if _listeners:
        _listeners[-1].tell(words)


def in_our_words(library: str, said: str) -> str:
    """What a library said, as a run's warning; nothing where it need not be told."""
    text = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    if not text or _UNTOLD.search(text):
        return ""
    for pattern, words in _WORDS:
        found = re.search(pattern, text)
        if found:
            return f"{found.expand(words)}."
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return f"{library} says: {cut}"


def _hear(library: str, said: str) -> None:
    if _listeners:
        _listeners[-1].hear(library, said)


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
    """The package that a file is of, by the folder that packages are installed in."""
    parts = Path(filename).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "Python"


class _Ear(logging.Handler):
    """Hands every record of weight to whoever listens."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a library's own mistake in formatting
            _hear(record.name.partition(".")[0], record.getMessage())


def _with_handlers() -> list[logging.Logger]:
    """The root, where all end up that have no handlers, and the loggers that have their own."""
    known = list(logging.root.manager.loggerDict.values())
    own = [x for x in known if isinstance(x, logging.Logger) and x.handlers]
    return [logging.root, *own]


@contextlib.contextmanager
def _overheard(logger: logging.Logger) -> Iterator[None]:
    """A logger whose handlers for a terminal are replaced by an ear; those of files stay."""
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
    """What is printed meanwhile goes to whoever listens, line by line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        for line in list(dict.fromkeys(said.getvalue().splitlines()))[:_MOST]:
            _hear("a library", line)
