"""The documents stay true: what the program has is named where its readers look for it."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

import app
from app.tui.keys import ACTIONS
from core.engine import forms, registry

ROOT = Path(__file__).resolve().parents[2]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def readme() -> str:
    return _text("README.md")


@pytest.mark.parametrize("analysis", registry.names())
def test_the_method_names_every_metric_and_parameter(analysis: str) -> None:
    method, declared = _text("docs/method.md"), registry.get(analysis)
    assert f"## `{analysis}`" in method
    named = [*(m.name for m in declared.metrics), *declared.parameters.model_fields]
    assert [name for name in named if f"`{name}`" not in method] == []


def test_the_readme_is_short(readme: str) -> None:
    assert 0 < len(readme.splitlines()) <= 150


def test_the_guide_to_usage_names_every_command() -> None:
    from app.cli.main import cli

    names = [
        command.name or (command.callback.__name__ if command.callback else "")
        for command in cli.registered_commands
    ]
    assert len(names) >= 8
    usage = _text("docs/usage.md")
    assert [n for n in names if not re.search(rf"^tauscope {n}\b", usage, re.MULTILINE)] == []


def test_the_commands_of_the_documents_exist(readme: str) -> None:
    from app.cli.main import cli

    names = {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in cli.registered_commands
    }
    text = readme + _text("docs/usage.md")
    blocks = "\n".join(re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    named = re.findall(r"^(?:\$ )?tauscope (\w+)", blocks, re.MULTILINE)
    named += re.findall(r"`tauscope (\w+)", text)
    assert len(named) > 20
    assert set(named) <= names


def test_the_readme_says_where_each_analysis_is(readme: str) -> None:
    numbers = {topic: number for number, topic in enumerate(registry.TOPICS, start=1)}
    for analysis in map(registry.get, registry.names()):
        tab = f"{numbers[analysis.topic]} {analysis.title}"
        row = f"| {tab} | `tauscope show latest {analysis.name}` |"
        assert row in readme, row


def test_the_study_of_the_guide_is_valid(tmp_path: Path) -> None:
    from core.study import intake

    match = re.search(r"```toml\n(.*?)```", _text("docs/usage.md"), re.DOTALL)
    assert match
    file = tmp_path / "study.toml"
    file.write_text(match[1], encoding="utf-8")
    (tmp_path / "tasks").mkdir()
    assert intake.read(file).name == "qwen2.5-domains"


def test_the_hooks_run_the_checks_of_make() -> None:
    import yaml

    hooks = yaml.safe_load(_text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    checks = _text("Makefile").partition("check: ")[2].partition("$(PYTEST)")[0]
    tools = re.findall(r"\$\(BIN\)/(\S+)", checks)
    assert [hook["entry"].split()[0] for hook in hooks] == [f".venv/bin/{tool}" for tool in tools]


def test_the_guide_to_reading_has_every_figure() -> None:
    guide = _text("docs/reading.md")
    views = [(a, view.title) for a in registry.names() for view in registry.get(a).views]
    assert [(a, title) for a, title in views if f"**{title}.**" not in guide] == []


def test_the_method_describes_the_arrays_of_items_and_neurons() -> None:
    """Every array with the kind and the axes that it is checked for when it is read."""
    text = _text("docs/method.md").replace("\\|", "¦")
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| (\w+) \| (.*?) ?\| .+ \|$", text, re.MULTILINE)
    described: dict[str, dict[str, str]] = {}
    for artifact, name, dtype, axes in rows:
        kind = "byte" if dtype == "uint8" else dtype.rstrip("0123456789")
        words = [kind, *axes.split(", ")] if axes else [kind]
        described.setdefault(artifact, {})[name.replace("¦", "|")] = " ".join(words)
    names = ("items", "prompts", "answers", "chosen", "contexts")
    assert described == {name: forms._FORMS[name] for name in names}


def test_the_map_of_the_code_names_every_package() -> None:
    named = set(re.findall(r"^\| `([^`]+)/`", _text("docs/code.md"), re.MULTILINE))
    rooms = ("core", "storage", "app")
    packages = {p.parent for room in rooms for p in (ROOT / room).rglob("__init__.py")}
    assert named == {str(package.relative_to(ROOT)) for package in packages}


def test_the_page_of_keys_has_those_of_the_registry() -> None:
    keys, page = runpy.run_path(str(ROOT / "docs" / "keys.py")), _text("docs/keys.md")
    assert keys["written"](page) == page, "python docs/keys.py --write puts it right"
    shown = re.findall(r"`([^`\s]+)`", keys["table"]())
    for action in ACTIONS:
        assert set(action.shown.replace(" to ", " ").split()) <= set(shown), action.id


def test_the_ten_keys_of_the_readme_exist(readme: str) -> None:
    table = readme.partition("## Ten keys")[2].partition("##")[0]
    keys = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert len(keys) == 10
    shown = {word for action in ACTIONS for word in (action.shown, *action.shown.split())}
    assert {key.replace("`", "") for key in keys} <= shown


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
    heading = re.search(
        r"^## \[?v?(\d+\.\d+\.\d+\S*?)\]?(\s|$)", _text("CHANGELOG.md"), re.MULTILINE
    )
    assert heading, "CHANGELOG.md has no heading '## VERSION'"
    assert heading[1] == app.__version__


DOCUMENTS = (
    "README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")),
)  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", _text(document)):
        assert (ROOT / document).parent.joinpath(target).exists(), target
