"""What is said is said in one way, wherever it is said: sizes, causes, hints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from core.errors import LONGEST, InputError, TauscopeError, reason

N = TypeVar("N", bound=ast.AST)
ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for room in ("core", "storage", "app")
    for file in sorted((ROOT / room).rglob("*.py"))
}


def test_bytes_are_put_into_words_in_one_place() -> None:
    """Other ways of doing it round a small amount to 0.0 GB."""
    form = re.compile(r"\{[^{}]*(?:1e[369]|2 ?\*\* ?[123]0|>> ?[123]0|1024)[^{}]*\} ?[KMG]i?B")
    others = SOURCES.keys() - {"core/sizes.py", "app/results/wording.py"}
    assert [name for name in others if form.search(SOURCES[name])] == []


GUESSES = (
    r"[Pp]robably", r"[Pp]erhaps", r"[Dd]ownload (or copy \S+ \S+ )?again", r"is damaged",
    r"belongs? to another (base|model)", r"[Ii]s this the", r"[Dd]on't belong together",
    r"not whole", r"may have (been|changed)",
)  # fmt: skip
"""Causes that nobody checked: a hint says what was found, and what to do."""

KINDS: tuple[type[TauscopeError], ...] = (
    TauscopeError,
    InputError,
    *TauscopeError.__subclasses__(),
    *InputError.__subclasses__(),
)


def test_no_hint_is_a_guess() -> None:
    guess = re.compile("|".join(GUESSES))
    offences = []
    for name, call in _of(ast.Call):
        hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
        for part in [*hints, *(call.args if _is_error(call) else ())]:
            text = " ".join(_texts(part))
            if guess.search(text):
                offences.append((name, call.lineno, text))
    assert offences == []


def test_no_hint_is_empty() -> None:
    """One that is left out says the same."""
    hints = [
        (name, call.lineno, str(keyword.value.value).strip())
        for name, call in _of(ast.Call)
        for keyword in call.keywords
        if keyword.arg == "hint" and isinstance(keyword.value, ast.Constant)
    ]
    assert len(hints) > 50
    assert [hint for hint in hints if not hint[-1].endswith((".", "?"))] == []


def test_the_words_of_another_error_are_never_empty() -> None:
    """`…: {error}` ends in nothing where an error has no message; core.errors.reason says its kind
    then. Errors of the system, of TOML and of Unicode always have a message."""
    offences = []
    for name, handler in _of(ast.ExceptHandler):
        if not _takes_any(handler):
            continue
        for call in filter(_is_error, _walk(handler, ast.Call)):
            gaps = [gap.value for gap in _walk(call, ast.FormattedValue)]
            if any(isinstance(gap, ast.Name) and gap.id == handler.name for gap in gaps):
                offences.append((name, call.lineno))
    assert offences == []


def test_an_error_without_words_is_called_by_its_kind() -> None:
    assert reason(AssertionError()) == "AssertionError"
    assert reason(KeyError("text")) == "there is no 'text'"
    assert reason(ValueError("one\n  two")) == "one two"
    assert len(reason(ValueError("x" * 5000))) == 401


def test_an_error_is_not_longer_than_anybody_reads() -> None:
    error = TauscopeError("x" * 5000, hint="y" * 5000)
    assert str(error) == error.title == "x" * LONGEST + " …"
    assert error.hint == "y" * LONGEST + " …"
    assert TauscopeError("x" * LONGEST, hint="y").title == "x" * LONGEST


def _of(kind: type[N]) -> Iterator[tuple[str, N]]:
    """Every node of a kind in all sources, and the file that it is in."""
    for name, tree in _trees().items():
        yield from ((name, node) for node in _walk(tree, kind))


@cache
def _trees() -> dict[str, ast.Module]:
    return {name: ast.parse(text) for name, text in SOURCES.items()}


def _walk(tree: ast.AST, kind: type[N]) -> Iterator[N]:
    return (node for node in ast.walk(tree) if isinstance(node, kind))


def _texts(node: ast.AST) -> list[str]:
    """The literal texts in an expression, those between the gaps of an f-string among them."""
    return [each.value for each in _walk(node, ast.Constant) if isinstance(each.value, str)]


def _is_error(call: ast.Call) -> bool:
    called = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    return called in {kind.__name__ for kind in KINDS}


def _takes_any(handler: ast.ExceptHandler) -> bool:
    """Does it take errors that may come without a message?"""
    wide = {"Exception", "BaseException", "RuntimeError", "ValueError", "KeyError", "ImportError"}
    return handler.type is None or bool({n.id for n in _walk(handler.type, ast.Name)} & wide)
