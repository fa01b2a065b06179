"""The examples of CONTRIBUTING.md work as written."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from safetensors.torch import load_file

from core.engine import registry, runner
from core.study import intake
from storage.database import Database, open_database
from storage.runs import claim, create_run
from storage.sink import RunSink
from tests.conftest import (
    WEIGHTS,
    MemorySink,
    tiny_config,
    tiny_tensors,
    tuned_from,
    write_model,
)
from tests.contracts.guide import EXAMPLES, GUIDE, ROOT


def _section(title: str) -> str:
    return GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def _example(section: str, ending: str) -> tuple[str, str]:
    """The file and the code of the example of a section whose file ends so."""
    [file] = [f for f in EXAMPLES if f.endswith(ending) and f"# {f}\n" in _section(section)]
    return file, EXAMPLES[file]


def _module(file: str, code: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with this code, under the name that its file would give it, for one test."""
    name = file.removesuffix(".py").replace("/", ".")
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, file, "exec"), module.__dict__)
    return module


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    base = write_model(tmp_path / "base", tiny_config(), tiny_tensors())
    tuned = write_model(tmp_path / "tuned", tiny_config(), tuned_from(tiny_tensors(), 1))
    return str(base), str(tuned)


@pytest.fixture
def db(tmp_path: Path, models: tuple[str, str]) -> Database:
    """A database with one run over the weights of two tiny models."""
    database = open_database(str(tmp_path / "runs.db"))
    study = intake.of_models(models[0], [models[1]])
    run = create_run(database, study, WEIGHTS)
    runner.run(study, RunSink(database, run, claim(database, run)), WEIGHTS)
    return database


def test_the_example_of_an_analysis(
    models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, code = _example("Add an analysis", "mean_change.py")
    _module(file, code, monkeypatch)
    monkeypatch.setattr(registry, "_NAMES", (*registry.names(), "mean_change"))
    sink = MemorySink()
    runner.run(intake.of_models(models[0], [models[1]]), sink, ["mean_change"])

    before, after = (load_file(Path(folder) / "model.safetensors") for folder in models)
    name = "model.layers.1.mlp.up_proj.weight"
    truth = math.sqrt((after[name].double() - before[name].double()).square().mean())
    row = sink.value("rms_change", model="tuned", layer=1, module="up")
    assert row.value == pytest.approx(truth, rel=1e-6)
    assert row.n == before[name].numel()
    squares = sum((after[n].double() - before[n].double()).square().sum() for n in before)
    size = sum(tensor.numel() for tensor in before.values())
    whole = sink.value("rms_change", model="tuned", layer=None, module="all")
    assert whole.value == pytest.approx(math.sqrt(squares / size), rel=1e-6)


def test_the_example_of_an_export_format(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, code = _example("Add an export format", "jsonl.py")
    _module(file, code, monkeypatch)
    table, function = _example("Add an export format", "folder.py")
    [entry] = re.findall(r'Add `("jsonl": \w+)` to `_WRITERS`', _section("Add an export format"))
    source = (ROOT / table).read_text(encoding="utf-8")
    head = "_WRITERS: dict[str, Writer] = {\n"
    assert source.count(head) == 1
    edited = source.replace(head, f"{function}\n\n{head}    {entry},\n")
    folder: Any = _module(table, edited, monkeypatch)

    assert "jsonl" in folder.FORMATS
    folder.export(db, "latest", tmp_path / "out", ["jsonl", "csv"])
    written = (tmp_path / "out" / "measurements.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in written]
    lines = (tmp_path / "out" / "measurements.csv").read_text().splitlines()
    assert list(rows[0]) == lines[0].split(",")
    assert len(rows) == len(lines) - 1 > 100


def test_the_files_that_a_view_kind_touches_exist() -> None:
    named = re.findall(r"^- \[ \] (.*?):", _section("Add a view kind"), re.MULTILINE)
    files = [file for words in named for file in re.findall(r"`([^`]+)`", words)]
    assert len(files) >= 12
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_guide_names_every_file_that_the_last_view_kinds_touched() -> None:
    """Boxes and texts: each file with their plots, and each that asks for a text."""
    named = re.compile(r"\b(BoxesPlot|PassagesPlot)\b|isinstance\(.*\bPassages\b")
    touched = {
        str(path.relative_to(ROOT))
        for room in ("core/figures/plots", "app/render", "app/tui/widgets")
        for path in (ROOT / room).rglob("*.py")
        if named.search(path.read_text(encoding="utf-8"))
    }
    section = _section("Add a view kind")
    assert len(touched) > 12
    assert [file for file in sorted(touched) if f"`{file}`" not in section] == []


def test_every_file_that_the_guide_names_exists() -> None:
    named = set(re.findall(r"`((?:core|storage|app|tests|docs)/[\w/.]+)`", GUIDE))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
