"""The built-in probe sets are whole, varied, and right where a machine can tell."""

from __future__ import annotations

import doctest
import json
import sys
from importlib import resources
from types import ModuleType

import pytest

FOLDER = resources.files("core.texts.builtin")
SETS = ("code", "general", "maths", "medical")
MODULE_OPENS_WITH = '"""'


def _documents(name: str) -> list[str]:
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert all(record.keys() == {"text"} for record in records)
    return [record["text"] for record in records]


def _python_modules() -> list[str]:
    return [text for text in _documents("code") if text.startswith(MODULE_OPENS_WITH)]


def test_the_folder_holds_these_sets_and_no_other() -> None:
    names = {file.name for file in FOLDER.iterdir() if file.name.endswith(".jsonl")}
    assert names == {f"{name}.jsonl" for name in SETS}


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_forty_documents_of_like_length(name: str) -> None:
    documents = _documents(name)
    assert len(documents) == 40
    assert {text for text in documents if not 60 <= len(text.split()) <= 220} == set()
    assert {text for text in documents if text != text.strip()} == set()


@pytest.mark.parametrize("name", SETS)
def test_no_two_documents_of_a_set_begin_alike(name: str) -> None:
    openings = [tuple(text.lower().split()[:5]) for text in _documents(name)]
    assert len(set(openings)) == len(openings)


def test_no_document_is_in_two_places() -> None:
    documents = [text for name in SETS for text in _documents(name)]
    assert len(set(documents)) == len(documents)


def test_there_are_whole_python_modules() -> None:
    assert len(_python_modules()) == 12


@pytest.mark.parametrize("source", _python_modules(), ids=lambda source: source.split("\n")[0])
def test_a_python_module_compiles_and_its_examples_hold(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("probe_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look it up there
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    assert doctest.testmod(module).failed == 0
