"""The documents stay true: what the program has is named where its readers look for it."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

import app
from app.tui.keys import ACTIONS
from core.engine import registry

ROOT = Path(__file__).resolve().parents[2]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def readme() -> str:
    text = _text("README.md")
    if not text.strip():
        pytest.skip("README.md is empty")
    return text


@pytest.mark.parametrize("analysis", registry.names())
def test_the_method_names_every_metric_and_parameter(analysis: str) -> None:
    method, declared = _text("docs/method.md"), registry.get(analysis)
    assert f"## `{analysis}`" in method
    named = [*(m.name for m in declared.metrics), *declared.parameters.model_fields]
    assert [name for name in named if f"`{name}`" not in method] == []


def test_the_readme_names_every_command(readme: str) -> None:
    from app.cli.main import cli

    names = [
        command.name or (command.callback.__name__ if command.callback else "")
        for command in cli.registered_commands
    ]
    assert len(names) >= 8
    assert [n for n in names if not re.search(rf"(tauscope |`){n}\b", readme)] == []


def test_the_guide_to_reading_has_every_figure() -> None:
    guide = _text("docs/reading.md")
    views = [(a, view.title) for a in registry.names() for view in registry.get(a).views]
    assert [(a, title) for a, title in views if f"**{title}.**" not in guide] == []


def test_the_map_of_the_code_names_every_package() -> None:
    named = set(re.findall(r"^\| `([^`]+)/`", _text("docs/code.md"), re.MULTILINE))
    rooms = ("core", "storage", "app")
    packages = {p.parent for room in rooms for p in (ROOT / room).rglob("__init__.py")}
    assert named == {str(package.relative_to(ROOT)) for package in packages}


def test_the_readme_has_the_keys_of_the_registry(readme: str) -> None:
    keys = runpy.run_path(str(ROOT / "docs" / "keys.py"))
    assert keys["written"](readme) == readme, "python docs/keys.py --write puts it right"
    told = re.findall(r"`([^`\s]+)`", keys["table"]())
    for action in ACTIONS:
        assert set(action.shown.replace(" to ", " ").split()) <= set(told), action.id


@pytest.mark.parametrize(
    "package",
    [p for room in ("core", "storage", "app") for p in sorted((ROOT / room).rglob("__init__.py"))],
    ids=lambda path: str(path.parent.relative_to(ROOT)),
)
def test_every_package_maps_its_modules(package: Path) -> None:
    words = (ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or "").split()
    named = {word.strip(".,;:()") for word in words}
    modules = {file.name for file in package.parent.glob("*.py")} - {package.name}
    assert [name for name in sorted(modules) if not {name, name[:-3]} & named] == []


def test_the_change_log_begins_with_this_version() -> None:
    found = re.search(r"^## \[?v?(\d+\.\d+\.\d+\S*?)\]?(\s|$)", _text("CHANGELOG.md"), re.MULTILINE)
    assert found, "CHANGELOG.md has no heading '## VERSION'"
    assert found[1] == app.__version__


@pytest.mark.parametrize("document", ["docs/method.md", "docs/decisions.md"])
def test_links_between_documents_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", _text(document)):
        assert (ROOT / document).parent.joinpath(target).exists(), target
