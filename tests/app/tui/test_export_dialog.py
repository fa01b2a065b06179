"""What is taken from a screen: to the clipboard, and into files written by another process."""

from __future__ import annotations

import csv
import io
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from textual.widgets import Input

from app.commands import name_database
from app.drafts import building, studyfile
from app.jobs.environment import child_environment
from app.render.data.clippings import Clipping, as_csv, as_markdown, clipping
from app.render.data.single import Request, _file_name, serve
from app.tui.app import TauscopeApp
from app.tui.screens.pick import PickScreen
from core.errors import StudyError
from core.figures.figure import Cell, Grid
from core.figures.views import Choice
from core.study import intake
from storage.database import Database
from storage.runs import list_runs
from tests.app.tui.conftest import HOSTILE
from tests.app.tui.display import SMALL, opened
from tests.app.tui.rest import until


def test_csv_holds_the_very_numbers() -> None:
    value = 1 / 3
    grid = Grid(
        title="", measure="m", unit="", row_name="layer", column_name="module", rows=("0", "1"),
        columns=("q", "k"), cells=((Cell(value, value), None), (Cell(None, None), Cell(2, 2))),
    )  # fmt: skip
    rows = list(csv.reader(io.StringIO(as_csv(clipping(grid)))))
    assert rows[0] == ["layer \\ module", "q", "k"]
    assert float(rows[1][1]) == value
    assert rows[1][2] == rows[2][1] == ""
    assert clipping(grid).row(["1"]).rows == (("1", None, 2),)


def test_markdown_of_hostile_words_is_one_row_each() -> None:
    lines = as_markdown(Clipping(("a", "b|c"), ((HOSTILE, 1.5),))).splitlines()
    assert len(lines) == 3
    assert "\x1b" not in lines[2]
    assert "b\\|c" in lines[0]


async def test_a_small_choice_copies_the_value_the_row_or_the_table(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "v", "down")
        for letter in "vrcm":
            await pilot.press("Y")
            assert isinstance(app.screen, PickScreen)
            await pilot.press(letter)
            await until(pilot, lambda: app.screen is screen)
        await until(pilot, lambda: len(copied) == 4)
    value, row, table, markdown = copied
    assert value.startswith("layer 1")
    assert row.count("\n") == 2
    assert row.splitlines()[1].startswith("1,")
    assert row.splitlines()[1] in table
    assert markdown.startswith("| layer")


@pytest.mark.parametrize("kind", ["svg", "png", "txt", "csv", "md", "parquet"])
def test_a_picture_is_one_file(filled: Database, tmp_path: Path, kind: str) -> None:
    choice = asdict(Choice(measure="relative_norm", model="medical"))
    run = list_runs(filled)[0].id
    wanted = Request(
        db=filled.url, run=run, format=kind, folder=str(tmp_path / "out"),
        analysis="tuning_vectors", view="modules", choice=choice,
    )  # fmt: skip
    path = serve(wanted)
    assert path.name == f"tuning_vectors-modules-medical-relative_norm-raw-{run}.{kind}"
    assert list((tmp_path / "out").iterdir()) == [path]
    assert path.stat().st_size > 100


def test_no_two_choices_have_the_same_file() -> None:
    assert _file_name(["cosine-matrix", "", "cosine", "layer-3"]) == "cosine-matrix-cosine-layer-3"
    alike = (["layer:1-3"], ["layer:1 3"], ["層" * 200], ["層" * 201], ["a" * 151], ["a" * 152])
    names = list(map(_file_name, alike))
    assert len({*names, *(name.casefold() for name in names)}) == len(alike)
    assert max(len(name.encode()) for name in names) < 200
    assert all("/" not in name for name in map(_file_name, (["a/b"], ["../.."])))


def test_a_figure_as_text_says_what_it_is_of(filled: Database, tmp_path: Path) -> None:
    run = list_runs(filled)[0]
    wanted = Request(
        db=filled.url, run=run.id, format="txt", folder=str(tmp_path), analysis="tuning_vectors",
        view="modules", choice=asdict(Choice(measure="relative_norm", model="medical")),
    )  # fmt: skip
    text = serve(wanted).read_text()
    assert f"run {run.id}" in text
    assert run.name.splitlines()[0][:10] in text
    assert "Vectors: Size by layer and module" in text
    assert "Relative norm" in text, "what the measure is"
    assert "chance" in text
    assert "\x1b" not in text


def test_values_as_parquet_are_those_of_the_csv(filled: Database, tmp_path: Path) -> None:
    choice = asdict(Choice(measure="relative_norm", model="medical"))
    given: dict[str, Any] = {
        "db": filled.url,
        "run": list_runs(filled)[0].id,
        "folder": str(tmp_path),
    }
    given |= {"analysis": "tuning_vectors", "view": "modules"}
    files = [serve(Request(**given, choice=choice, format=kind)) for kind in ("csv", "parquet")]
    head, *rows = csv.reader(files[0].read_text().splitlines())
    table = parquet.read_table(files[1])
    assert table.column_names == head
    columns = [table[name].to_pylist() for name in head]
    assert [
        ["" if v is None else str(v) for v in row] for row in zip(*columns, strict=True)
    ] == rows


async def test_another_process_writes_and_says_what_went_wrong(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    (tmp_path / "taken").write_text("")
    app = TauscopeApp(filled.url)
    messages: list[str] = []
    app.notify = lambda message, **_: messages.append(message)  # type: ignore[method-assign]
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        for folder in ("taken", "été"):
            await pilot.press("X")
            await until(pilot, lambda: isinstance(app.screen, PickScreen))
            app.screen.query_one(Input).value = str(tmp_path / folder)
            await pilot.press("t")
            await until(pilot, lambda: app.screen is screen)
        await until(pilot, lambda: len(messages) == 4)
    assert sum("failed: " in words for words in messages) == 1
    assert sum(words.startswith("Wrote ") and words.endswith(".txt") for words in messages) == 1


async def test_the_remedy_of_a_failed_export_names_the_database(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    messages: list[str] = []
    app.notify = lambda message, **_: messages.append(message)  # type: ignore[method-assign]
    told = "echo \"It is damaged. Compute it again with 'tauscope run S.toml'.\" >&2; exit 1"
    monkeypatch.setattr(Request, "command", lambda _: ["sh", "-c", told])
    name_database("x.db")
    try:
        async with app.run_test(size=SMALL) as pilot:
            await opened(pilot, app, "X", "t")
            await until(pilot, lambda: len(messages) == 2)
    finally:
        name_database(None)
    assert "'tauscope --db x.db run S.toml'" in messages[1]


async def test_a_process_that_cannot_start_is_told(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    messages: list[str] = []
    app.notify = lambda message, **_: messages.append(message)  # type: ignore[method-assign]
    monkeypatch.setattr(Request, "command", lambda self: [str(tmp_path / "no-python")])
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await pilot.press("t")
        await until(pilot, lambda: app.screen is screen and len(messages) == 2)
    assert (
        messages[1] == f"The export can't start: {tmp_path}/no-python: No such file or directory."
    )


def test_a_path_that_is_no_text_is_told(filled: Database, tmp_path: Path) -> None:
    choice = asdict(Choice(measure="relative_norm", model="medical"))
    wanted = Request(
        db=filled.url, run=list_runs(filled)[0].id, format="csv",
        folder=str(tmp_path / os.fsdecode(b"\xff")), analysis="tuning_vectors", view="modules",
        choice=choice,
    )  # fmt: skip
    environment = child_environment() | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        wanted.command(), capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\udcff/tuning_vectors-modules" in done.stdout


async def test_the_folder_of_the_last_export_is_offered_again(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    went: list[str] = []
    monkeypatch.setattr(
        "app.tui.screens.export._write", lambda *given: went.append(given[-1]["folder"])
    )
    memory = tmp_path / "state.json"
    for typed, want in (("", "tauscope-exports"), ("~/plots", "home/plots"), ("", "home/plots")):
        offered = await exported(TauscopeApp(filled.url, remembered=memory), typed)
        assert typed or offered == str(tmp_path / want)
        assert went[-1] == str(tmp_path / want)
    assert len(went) == 3


async def test_a_working_folder_that_was_deleted_ends_no_dialog(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    went: list[str] = []
    monkeypatch.setattr(
        "app.tui.screens.export._write", lambda *given: went.append(given[-1]["folder"])
    )
    app = TauscopeApp(filled.url)
    assert await exported(app, "") == str(tmp_path / "tauscope-exports")
    await exported(TauscopeApp(filled.url), "plots")
    assert went == [str(tmp_path / name) for name in ("tauscope-exports", "plots")]
    draft = building.begun("org/base", ["org/chat"])
    with pytest.raises(StudyError, match="can't be written"):
        studyfile.save(draft, Path("study.toml"))
    studyfile.save(draft, tmp_path / "study.toml")
    study = intake.of_models(str(tmp_path / "base"), ["org/chat"])
    assert study.models.base.path == str(tmp_path / "base")


async def exported(app: TauscopeApp, typed: str) -> str:
    """Export into the folder that is typed, or else into the one that is offered; the latter."""
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        folder = app.screen.query_one(Input)
        offered = folder.value
        folder.value = typed or offered
        await pilot.press("t")
        await until(pilot, lambda: app.screen is screen)
    return offered
