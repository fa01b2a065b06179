"""Every test can fail, and stands alone: no test module is imported by another.

A test asserts if its body does, if it expects an error or a warning, or if it calls a helper of
the tests that asserts. The helper is found by its name and the imports of the module.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODES = {
    str(file.relative_to(ROOT)): tuple(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    for file in sorted((ROOT / "tests").rglob("*.py"))
}
EXPECTING = {"raises", "warns", "deprecated_call", "fail"}
"""What pytest offers to say what must happen."""
WAITING = {"rest"}
"""Helpers that assert only that something ends in time: a test asserts more."""
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
Names = dict[str, tuple[str, str]]


def test_every_test_asserts() -> None:
    assert len(TESTS) > 1000
    helpers = _asserting()
    silent = [function for function in TESTS if function not in helpers]
    assert [f"{f.file}:{f.line} {f.name}" for f in silent] == []


def test_no_assertion_is_always_true() -> None:
    offences = [
        f"{file}:{node.lineno} {ast.unparse(node)}"
        for file, nodes in NODES.items()
        for node in nodes
        if isinstance(node, ast.Assert) and _always_true(node.test)
    ]
    assert offences == []


def test_no_filter_may_match_nothing() -> None:
    """`all` of nothing is true: a set of the values that are there says that there are some."""
    offences = [
        f"{file}:{node.lineno} {ast.unparse(node)}"
        for file, nodes in NODES.items()
        for node in nodes
        if isinstance(node, ast.Assert) and _filters_all(node.test)
    ]
    assert offences == []


def test_no_test_module_is_imported() -> None:
    """What several tests use stands in a module of its own, or in conftest."""
    offences = [
        f"{file} imports {module}"
        for file, nodes in NODES.items()
        for module, name in _names(nodes).values()
        if any(part.startswith("test_") for part in (*module.split("."), name))
    ]
    assert offences == []


@pytest.mark.parametrize(
    "condition",
    [
        "True", "1", "'text'", "(x, 'is left')", "(each > 1 for each in x)", "lambda: x",
        "x or True", "x == x", "x.a is x.a", "x <= x", "len(x) >= 0", "0 <= len(x)", "len(x) > -1",
        "isinstance(x, object)", "f'{x}!'", "all([])", "[x]", "x and 1 or 2", "not None",
    ],
)  # fmt: skip
def test_what_is_always_true_is_found(condition: str) -> None:
    assert _always_true(ast.parse(condition, mode="eval").body)


@pytest.mark.parametrize(
    "condition",
    [
        "x", "x or y", "x == y", "f(x) == f(x)", "x != x", "x < x", "len(x) > 0", "len(x) >= 1",
        "isinstance(x, str)", "all(x)", "()", "not x", "False or x", "[*x]", "f'{x}'", "{**x}",
    ],
)  # fmt: skip
def test_what_can_fail_is_left_alone(condition: str) -> None:
    assert not _always_true(ast.parse(condition, mode="eval").body)


@pytest.mark.parametrize(
    ("body", "asserts"),
    [
        ("f(1)", False), ("assert f(1)", True), ("def inner(): assert 1 > 2", False),
        ("def inner(): assert 1 > 2\n    f(inner)", True),
        ("with pytest.raises(OSError): f(1)", True),
        ("torch.testing.assert_close(a, b)", True), ("with open(a): pass", False),
    ],
)  # fmt: skip
def test_what_asserts_is_known(body: str, asserts: bool) -> None:
    tree = ast.parse(f"def test_x():\n    {body}")
    assert isinstance(tree.body[0], FUNCTION)
    assert _Function("x.py", tree.body[0], {}).asserts is asserts


class _Function:
    """A function of the tests: whether its own body asserts, and which helpers it calls."""

    def __init__(
        self, file: str, node: ast.FunctionDef | ast.AsyncFunctionDef, names: Names
    ) -> None:
        self.file, self.line, self.name = file, node.lineno, node.name
        self.key = (file.removesuffix(".py").replace("/", "."), node.name)
        self.asserts = False
        self.calls: set[tuple[str, str]] = set()
        for part in _own_parts(node):
            self.asserts |= isinstance(part, ast.Assert)
            if isinstance(part, ast.Call):
                self._call(ast.unparse(part.func).split("."), names)

    def _call(self, called: list[str], names: Names) -> None:
        *owner, name = called
        compared = owner[-1:] == ["testing"] and name.startswith("assert_")
        if compared or (owner == ["pytest"] and name in EXPECTING):
            self.asserts = True
        elif owner in ([], ["self"]):
            self.calls |= {(self.key[0], name), names.get(name, ("", ""))}
        elif owner[0] in names:
            self.calls.add((".".join(names[owner[0]]), name))
        else:  # a method of what a helper made
            self.calls |= {(module, name) for module, _ in names.values()}


def _asserting() -> set[_Function]:
    """The functions that assert, themselves or through a helper."""
    asserting = {function for function in FUNCTIONS if function.asserts}
    more = asserting
    while more:
        helpers = {function.key for function in asserting if function.name not in WAITING}
        more = {f for f in FUNCTIONS if f not in asserting and f.calls & helpers}
        asserting |= more
    return asserting


def _own_parts(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without functions inside it that nothing there names."""
    parts = list(ast.walk(function))[1:]
    if not any(isinstance(node, FUNCTION) for node in parts):
        yield from parts
        return
    named = {node.id for node in parts if isinstance(node, ast.Name)}
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, FUNCTION) or node.name in named:
            yield node
            waiting += ast.iter_child_nodes(node)


def _names(nodes: Iterable[ast.AST]) -> Names:
    """What a module takes from the tests: its name there, with the module and the name it has."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests")
        for alias in node.names
    }


def _always_true(node: ast.expr) -> bool:
    """Is a condition true whatever its names stand for?"""
    match node:
        case ast.Constant(value):
            return bool(value)
        case ast.GeneratorExp() | ast.Lambda():
            return True
        case ast.Tuple(parts) | ast.List(parts) | ast.Set(parts):
            return any(not isinstance(part, ast.Starred) for part in parts)
        case ast.JoinedStr(parts):
            return any(isinstance(part, ast.Constant) and part.value for part in parts)
        case ast.UnaryOp(ast.Not(), ast.Constant(value)):
            return not value
        case ast.BoolOp(ast.Or(), parts):
            return any(map(_always_true, parts))
        case ast.BoolOp(ast.And(), parts):
            return all(map(_always_true, parts))
        case ast.Call(ast.Name("isinstance"), [_, ast.Name("object")]):
            return True
        case ast.Call(ast.Name("all"), [ast.List([]) | ast.Tuple([])]):
            return True
        case ast.Compare(left, [operator], [right]):
            return _holds(left, operator, right)
    return False


def _filters_all(node: ast.expr) -> bool:
    match node:
        case ast.Call(ast.Name("all"), [ast.GeneratorExp(generators=parts)]):
            return any(part.ifs for part in parts)
    return False


def _holds(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> bool:
    # Calling twice and comparing can fail: it asks whether a result can be repeated.
    calls = any(isinstance(n, ast.Call | ast.Await) for n in ast.walk(left))
    if ast.unparse(left) == ast.unparse(right) and not calls:
        return isinstance(operator, ast.Eq | ast.Is | ast.LtE | ast.GtE)
    if isinstance(operator, ast.Lt | ast.LtE):
        left, right = right, left
    elif not isinstance(operator, ast.Gt | ast.GtE):
        return False
    least = 0 if isinstance(operator, ast.GtE | ast.LtE) else -1
    return ast.unparse(left).startswith("len(") and ast.unparse(right) == str(least)


FUNCTIONS = tuple(
    _Function(file, node, names)
    for file, nodes in NODES.items()
    for names in [_names(nodes)]
    for node in nodes
    if isinstance(node, FUNCTION)
)
TESTS = tuple(function for function in FUNCTIONS if function.name.startswith("test_"))
