"""Where the user was: kept over a restart, shared between the pictures of a run, never trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.tui.app import TauscopeApp
from app.tui.memory import FigurePosition, Memory, RunPosition, choice_of, keep, path_for, recall
from app.tui.screens.run import RunScreen
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.run_list import RunList
from storage.database import Database
from storage.runs import delete_run, list_runs
from tests.app.tui.display import SMALL, app_of, drawn, opened, readout, words
from tests.app.tui.rest import until


def test_half_a_character_of_a_prompt_costs_nothing_else(tmp_path: Path) -> None:
    """A line of JSON may hold one, as "\\ud83d"."""
    file = tmp_path / "state.json"
    keep(Memory(prompts=("half \ud83d", "宽"), folder="/exports"), file)
    assert recall(file) == Memory(prompts=("half ?", "宽"), folder="/exports")


async def leave(db: Database, *keys: str) -> Memory:
    """Open the second run of the list, press some keys, and quit; what was kept."""
    app = app_of(db)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        await pilot.press("j")
        await opened(pilot, app, *keys)
        await pilot.press("q")
    return recall(app.remembered)


async def test_the_next_start_goes_on_where_the_last_one_ended(filled: Database) -> None:
    memory = await leave(filled, "2", "m", "x", "right", "down", "down")
    assert memory.place is not None
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        current = app.screen.query_one(RunList).current
        assert current is not None
        assert current.id == memory.place.run
        screen = await opened(pilot, app)
        assert screen.run_id == memory.place.run
        assert screen.tab == 2
        pane = screen.pane
        assert pane is not None
        stand = memory.place.stands[pane.path]
        assert pane.stand() == stand
        assert choice_of(stand) == pane.choice
        assert stand.cursor == (2, 1)
        assert "layer 2  module k" in readout(screen)


async def test_what_was_not_looked_at_again_stands_where_it_did(filled: Database) -> None:
    """The pictures of the tab after this one are made beforehand, and not drawn."""
    memory = await leave(filled, "2", "right", "down", "down", "1", "1")
    assert memory.place is not None
    path = next(path for path in memory.place.stands if path.startswith("alignment"))
    assert memory.place.stands[path].cursor == (2, 1)
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        assert screen.tab == 1
        await until(pilot, lambda: screen._pictures[2].find(path))
        await pilot.press("q")
    again = recall(app.remembered).place
    assert again is not None
    assert again.stands[path].cursor == (2, 1)


async def test_going_back_and_in_again_stays_where_it_was(filled: Database) -> None:
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot, app, "1", "down")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        screen = await opened(pilot, app)
        assert screen.tab == 1
        assert recall(app.remembered).place == app.memory.place, "kept when the screen was left"


async def test_a_run_that_is_gone_is_not_opened_again(filled: Database) -> None:
    memory = await leave(filled, "2")
    delete_run(filled, memory.selected)
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        assert screen.run_id != memory.selected
        assert screen.tab == 0


async def test_the_filter_is_kept(filled: Database) -> None:
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        await pilot.press("slash", *"failed", "enter", "q")
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        assert "finished-one" not in words(app)
        await pilot.press("slash", "escape")
        await until(pilot, lambda: "finished-one" in words(app))


async def test_a_choice_that_is_no_longer_there_gives_way(filled: Database) -> None:
    run = list_runs(filled)[0]
    gone = FigurePosition(
        choice={"measure": "relative_norm", "model": "gone", "module": "x"}, cursor=(99, 99)
    )
    odd = FigurePosition(choice={"measure": "nothing"}, cursor=(1, 1))
    stands = {"tuning_vectors:curves": odd, "tuning_vectors:modules": gone}
    place = RunPosition(
        run=run.id, tab="tuning_vectors", chosen={"tuning_vectors": "modules"}, stands=stands
    )
    app = app_of(filled)
    keep(Memory(place=place), app.remembered)
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        assert screen.pane is not None
        assert screen.pane.view.key == "modules"
        assert screen.pane.choice is not None
        assert screen.pane.choice.model == "instruct"
        assert screen.pane.figure.spot() is not None


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[]", b'{"version": 0}', b'{"version": 1, "place": 3}']
)
def test_a_file_that_makes_no_sense_counts_as_none(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "one.json"
    file.write_bytes(text)
    assert recall(file) == Memory()


def test_what_the_file_says_to_show_obeys_nobody(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text('{"filter": "\\u001b]52;c;x\\u0007red", "folder": "/x/\\u001b]52;c;x"}')
    assert "\x1b" not in recall(file).filter
    assert recall(file).filter.endswith("red")
    assert recall(file).folder == ""
    file.write_text('{"folder": "/plots/höhe"}')
    assert recall(file).folder == "/plots/höhe"


def test_a_file_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    keep(Memory(filter="x"), tmp_path / "taken" / "one.json")
    keep(Memory(filter="x"), None)
    keep(Memory(filter="x"), tmp_path / "new" / "one.json")
    assert recall(tmp_path / "new" / "one.json") == Memory(filter="x")
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["one.json"]


def test_every_database_has_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = path_for(Path("/a.db")), path_for(Path("/b.db"))
    assert one != other
    assert one.is_relative_to(tmp_path / "tauscope")


async def test_a_layer_and_a_model_are_pointed_at_in_all_pictures(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "right", "right", "right", "down", "v")
        assert "layer 3" in readout(screen), "from curves to a heat map"
        assert screen.pane is not None
        assert screen.pane.choice is not None
        assert screen.pane.choice.model == "medical"
        await pilot.press("2")
        await until(pilot, lambda: drawn(screen) and "layer 3" in readout(screen))
        assert screen.pane.choice is not None
        assert screen.pane.choice.model == "medical", "in another tab as well"
        await pilot.press("down", "1")
        await until(pilot, lambda: drawn(screen) and "layer 4" in readout(screen))


async def test_nothing_is_pointed_at_until_the_user_does(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "v", "v", "1", "2")
        assert isinstance(screen, RunScreen)
        assert screen._pointed == {}
