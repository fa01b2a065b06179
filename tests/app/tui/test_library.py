"""The library's screen over a cache and folders of the test's own, at both sizes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input, Static

from app import config
from app.library.appraisal import Entry
from app.library.lineage import Branch
from app.tui.app import TauscopeApp
from app.tui.data import DataSource
from app.tui.holdings import look, with_runs
from app.tui.screens.builder import BuilderScreen
from app.tui.screens.choose import ChooseScreen, Offers
from app.tui.screens.folder import FolderScreen
from app.tui.screens.library import LibraryScreen
from app.tui.screens.pick import PickScreen
from app.tui.screens.run import RunScreen
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.model_list import (
    ADAPTER,
    ELSEWHERE,
    READABLE,
    UNREADABLE,
    ModelList,
    columns,
    guides,
    narrowed,
    shortened,
)
from core.study.study import Study
from storage.database import Database
from storage.runs import create_run, delete_run
from tests.app.hub import card, shelve, write_adapter, write_folder
from tests.app.tui.display import BOTH, LARGE, SMALL, assert_inside, on, visible, words
from tests.app.tui.hostile import WORDS, assert_harmless
from tests.app.tui.rest import until


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub"


@pytest.fixture
def folder(cache: Path, tmp_path: Path) -> Path:
    """A base with two tuned models in the cache, an adapter and a broken model in a folder."""
    shelve(cache, "org/base", write_folder(tmp_path / "1"))
    shelve(cache, "org/chat", write_folder(tmp_path / "2", card("org/base")))
    shelve(cache, "org/maths", write_folder(tmp_path / "3", card("org/base", relation="merge")))
    write_adapter(tmp_path / "runs" / "lora", "org/chat")
    broken = write_folder(tmp_path / "runs" / "broken", card("far/away"))
    (broken / "model.safetensors").write_bytes(b"\xff" * 64)
    return tmp_path / "runs"


@asynccontextmanager
async def library(
    db: Database, size: tuple[int, int], *folders: Path
) -> AsyncIterator[tuple[Pilot[str | None], LibraryScreen]]:
    """The screen once all is found."""
    for each in folders:
        config.add_folder(each)
    app = TauscopeApp(db.url)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, LibraryScreen))
        screen = app.screen
        assert isinstance(screen, LibraryScreen)
        await until(pilot, lambda: screen.holdings.done)
        yield pilot, screen


def _run(db: Database, name: str) -> str:
    """A run of this name that uses org/chat."""
    models = {"base": "org/base", "tuned": {"a": "org/chat"}}
    return create_run(db, Study.model_validate({"name": name, "models": models}), ["alignment"])


def chosen(screen: LibraryScreen, name: str) -> None:
    """Select a model by the end of its name."""
    listing = screen.query_one(ModelList)
    listing.select(next(key for key in listing.keys if key.endswith(name)))


@BOTH
async def test_the_tree_and_what_is_known(
    db: Database, folder: Path, size: tuple[int, int]
) -> None:
    async with library(db, size, folder) as (pilot, screen):
        rows = [row.rstrip() for row in visible(screen.app)]
        assert_inside(screen)
        tree = rows[2:8]
        assert f"{ELSEWHERE} far/away" in tree[0]
        assert f"{UNREADABLE} └ " in tree[1]
        assert f"{READABLE} org/base" in tree[2]
        assert f"{READABLE} ├ org/chat" in tree[3]
        assert f"{ADAPTER} │ └ " in tree[4]
        assert f"{READABLE} └ org/maths" in tree[5]
        assert "bfloat16" in tree[2]
        assert "5 models" in rows[0]
        chosen(screen, "org/maths")
        await pilot.pause()
        text = words(screen.app)
        assert "merge" in text
        assert "quit" in visible(screen.app)[-1]
        if size == SMALL:
            await pilot.press("enter")
            assert screen.query_one("#facts").display
            assert_inside(screen)
            text = words(screen.app)
        assert "tauscope can read it" in text
        assert "model card · merge" in text
        await pilot.press("k", "k", "k", "k")
        assert "model.safetensors is not a complete safetensors file: " in words(screen.app)
        if size == SMALL:
            await pilot.press("escape")
            assert "org/base" in words(screen.app)
            assert screen.app.screen is screen


async def test_marks_make_a_study_with_the_base_by_lineage(db: Database, folder: Path) -> None:
    async with library(db, LARGE, folder) as (pilot, screen):
        for name in ("lora", "org/base", "org/maths"):
            chosen(screen, name)
            await pilot.press("space")
        assert "base base · tuned lora, maths" in visible(screen.app)[0]
        lines = {row.split()[0]: row for row in visible(screen.app)[2:8]}
        assert "org/base" in lines["B"]
        chosen(screen, "broken")
        await pilot.press("space")
        assert len(screen.query_one(ModelList).marked) == 3, "what can't be read is no model of it"
        await pilot.press("n")
        await until(pilot, lambda: isinstance(screen.app.screen, BuilderScreen))
        text = words(screen.app)
        assert "org/base" in text
        assert "org/maths" in text


async def test_a_model_without_marks_goes_with_its_base(db: Database, folder: Path) -> None:
    async with library(db, LARGE, folder) as (pilot, screen):
        assert screen.holdings.roles(["org/chat"]) == ("org/base", ("org/chat",))
        assert screen.holdings.roles(["org/base"]) == ("org/base", ())
        chosen(screen, "broken")
        assert not screen.check_action("study", ())
        chosen(screen, "org/chat")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(screen.app.screen, BuilderScreen))
        assert "org/base" in words(screen.app)


@BOTH
async def test_the_runs_of_a_model_are_opened(
    db: Database, folder: Path, size: tuple[int, int]
) -> None:
    def run(name: str, *tuned: str) -> str:
        models = {"base": "org/base", "tuned": dict(zip("abc", tuned, strict=False))}
        return create_run(db, Study.model_validate({"name": name, "models": models}), ["alignment"])

    run("one", "ORG/chat", str(folder / "lora"))
    second = run("two", "org/maths")
    async with library(db, size, folder) as (pilot, screen):
        chosen(screen, "org/chat")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(screen.app.screen, RunScreen))
        await pilot.press("escape")
        await until(pilot, lambda: screen.app.screen is screen)
        chosen(screen, "lora")
        await pilot.pause()
        assert "one" in words(screen.app), "by its path"
        chosen(screen, "org/base")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(screen.app.screen, PickScreen))
        await pilot.press("1")
        await until(pilot, lambda: isinstance(screen.app.screen, RunScreen))
        assert on(screen.app, RunScreen).run_id == second
        await pilot.press("escape")
        await until(pilot, lambda: screen.app.screen is screen)
        chosen(screen, "broken")
        await pilot.pause()
        assert not screen.check_action("runs", ())


async def test_one_of_many_runs_is_chosen_by_typing(db: Database, folder: Path) -> None:
    ids = [_run(db, f"run-{n}" + "-long" * 20) for n in range(12)]
    async with library(db, SMALL, folder) as (pilot, screen):
        chosen(screen, "org/chat")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(screen.app.screen, ChooseScreen))
        offers = screen.app.screen.query_one(Offers)
        assert {offer.choice for offer in offers.items} == set(ids)
        await pilot.press(*"run-0-", "enter")
        await until(pilot, lambda: isinstance(screen.app.screen, RunScreen))
        assert on(screen.app, RunScreen).run_id == ids[0], "the oldest"


@BOTH
async def test_a_long_name_hides_no_id_of_a_run(
    db: Database, folder: Path, size: tuple[int, int]
) -> None:
    ids = [_run(db, "宽" * 60) for _ in range(2)]
    async with library(db, size, folder) as (pilot, screen):
        chosen(screen, "org/chat")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(screen.app.screen, PickScreen))
        shown = words(screen.app)
        assert [run_id[:8] in shown for run_id in ids] == [True, True]
        assert shown.count("queued") == 2


async def test_the_filter_keeps_what_a_model_hangs_on(db: Database, folder: Path) -> None:
    async with library(db, SMALL, folder) as (pilot, screen):
        await pilot.press("slash", *"lora", "enter")
        await until(pilot, lambda: len(screen.query_one(ModelList).items) == 3)
        names = [branch.name for branch in screen.query_one(ModelList).items]
        assert names[:2] == ["org/base", "org/chat"]
        current = screen.query_one(ModelList).current
        assert current is not None
        assert current.name.endswith("lora"), "and not what it hangs on"
        await pilot.press("escape")
        assert len(screen.query_one(ModelList).items) == 6
        await pilot.press("slash", *"zzz")
        assert "No model matches the filter; " in words(screen.app)
        assert screen.query_one(Input).has_focus
        await pilot.press("escape")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(screen.app.screen, RunsScreen))


async def test_looking_again_finds_what_is_new_and_keeps_the_place(
    db: Database, folder: Path
) -> None:
    async with library(db, LARGE, folder) as (pilot, screen):
        chosen(screen, "org/chat")
        await pilot.press("space")
        write_folder(folder / "a-new-one")
        await pilot.press("R")
        await until(pilot, lambda: screen.holdings.done and "a-new-one" in words(screen.app))
        current = screen.query_one(ModelList).current
        assert current is not None
        assert current.name == "org/chat"
        assert screen.query_one(ModelList).marked == ("org/chat",)


async def test_a_folder_is_added_by_a_key_and_looked_in(
    db: Database, cache: Path, tmp_path: Path
) -> None:
    write_folder(tmp_path / "mine" / "treasure")
    async with library(db, SMALL) as (pilot, screen):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(screen.app.screen, FolderScreen))
        typed = screen.app.screen.query_one(Input)
        for wrong in (str(tmp_path / "nowhere"), "x" * 300, "~nobody-of-this-name/x"):
            typed.value = wrong
            screen.app.screen.query_one("#trouble", Static).update("")
            await pilot.press("enter")
            await until(pilot, lambda: "isnotafolder" in "".join(words(screen.app).split()))
        typed.value = str(tmp_path / "mine")
        await pilot.press("enter")
        await until(pilot, lambda: screen.app.screen is screen and "treasure" in words(screen.app))
    assert config.read().folders == [str(tmp_path / "mine")]


async def test_a_change_of_the_settings_is_seen_at_once(
    db: Database, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tui.screens.library.SETTINGS", 0.05)
    write_folder(tmp_path / "mine" / "treasure")
    async with library(db, SMALL) as (pilot, screen):
        config.path().parent.mkdir(parents=True, exist_ok=True)
        config.path().write_text(f'folders = ["{tmp_path / "mine"}"]')
        await until(pilot, lambda: "treasure" in words(screen.app))
        config.path().write_text("folders = 3")
        os.utime(config.path(), (1, 1))
        await until(pilot, lambda: any("folders" in note for note in screen.holdings.notes))
        assert screen.holdings.folders == ()


@BOTH
async def test_a_newcomer_is_told_where_models_go(
    db: Database, cache: Path, size: tuple[int, int]
) -> None:
    async with library(db, size, Path("/nowhere")) as (_, screen):
        text = words(screen.app)
        assert "hf download" in text
        assert "a folder of your own" in text
        assert str(config.path())[:40] in text
        assert "/nowhere can't be read" in text
        assert_inside(screen)


@pytest.mark.parametrize(("size", "theme"), [(SMALL, "dark"), (LARGE, "light")])
async def test_nothing_that_a_model_says_of_itself_breaks_the_screen(
    db: Database, cache: Path, tmp_path: Path, size: tuple[int, int], theme: str
) -> None:
    for number, name in enumerate(WORDS.values()):
        text = card(*(f'"{part}"' for part in (name[:300], "org/base")))
        where = name.replace("/", "").replace("\0", "")[:60]
        settings: dict[str, Any] = {"architectures": [name], "model_type": name}
        write_folder(tmp_path / "runs" / f"{number}{where}", text, **settings)
    async with library(db, size, tmp_path / "runs") as (pilot, screen):
        if theme == "light":
            await pilot.press("t")
        assert_harmless(screen.app)
        await pilot.press("enter")
        for _ in screen.query_one(ModelList).items:
            await pilot.press("space", "down")
            assert_harmless(screen.app)
            assert_inside(screen)
        if size == SMALL:
            assert screen.has_class("-opened")
            await pilot.press("escape")
        assert_harmless(screen.app)
        await pilot.press("question_mark")
        assert_harmless(screen.app)


# The tree's functions


def _branch(name: str, depth: int) -> Branch:
    return Branch(name, Entry(name=name, path=Path(f"/{name}"), kind="model"), depth)


def test_guides_join_what_belongs_together() -> None:
    depths = (0, 1, 2, 2, 1, 2, 0, 1)
    drawn = guides([_branch(str(i), depth) for i, depth in enumerate(depths)])
    assert drawn == ["", "├ ", "│ ├ ", "│ └ ", "└ ", "  └ ", "", "└ "]


@given(st.lists(st.integers(0, 4), max_size=12))
def test_guides_are_as_wide_as_they_are_deep(steps: list[int]) -> None:
    depths: list[int] = []
    for step in steps:
        depths.append(min(step, depths[-1] + 1 if depths else 0))
    drawn = guides([_branch(str(i), depth) for i, depth in enumerate(depths)])
    assert [len(guide) for guide in drawn] == [2 * depth for depth in depths]


@given(st.text(), st.integers(1, 60))
def test_a_name_takes_the_width_it_is_given(name: str, width: int) -> None:
    for each in (name, f"/{name}"):
        assert cell_len(shortened(each, width)) == width


def test_of_a_long_path_the_end_is_kept() -> None:
    assert shortened("/scratch/somebody/runs/cardiology", 16) == "…runs/cardiology"
    assert shortened("Qwen/Qwen2.5-7B-Instruct", 10) == "Qwen/Qwen…"


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 96, 200])
def test_columns_fill_the_width(width: int) -> None:
    widths = columns(width)
    assert widths[0] >= 1
    assert sum(widths) + 4 == width or width < 5


def test_a_filter_shows_each_line_once() -> None:
    branches = [_branch(n, d) for n, d in (("a", 0), ("x1", 1), ("x2", 1), ("b", 0))]
    assert [branch.name for branch in narrowed(branches, "X")] == ["a", "x1", "x2"]


def test_the_models_of_runs_are_listed_here_or_not(
    folder: Path, db: Database, tmp_path: Path
) -> None:
    present = write_folder(tmp_path / "far" / "own")
    gone = str(tmp_path / "gone")
    study = Study.model_validate(
        {"name": "s", "models": {"base": "org/base", "tuned": {"own": str(present), "gone": gone}}}
    )
    run_id = create_run(db, study, ["alignment"])
    *_, holdings = look(DataSource(db.url))
    branches = {branch.name: branch.entry for branch in holdings.branches}
    assert branches[str(present)] is not None
    assert branches[gone] is None
    assert len(holdings.branches) == len(branches), "each once"
    assert with_runs(DataSource(db.url), holdings).branches == holdings.branches
    delete_run(db, run_id)
    left = with_runs(DataSource(db.url), holdings)
    assert {branch.name for branch in left.branches} == branches.keys() - {gone}
    assert left.runs == ()
