"""The workstation driven by keys over a real database."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from sqlalchemy import update
from textual.command import CommandList
from textual.widgets import Input, OptionList, Static

from app.cli.main import run_command
from app.jobs.gauge import Card, Gauge, Usage
from app.jobs.launcher import log_of
from app.render.terminal.palette import sign
from app.text import plain
from app.tui.app import ActionPalette, TauscopeApp
from app.tui.completion import matches
from app.tui.keys import ACTIONS, Where, actions
from app.tui.screens.control import ask_to_delete
from app.tui.screens.help import HelpScreen
from app.tui.screens.pick import PickScreen
from app.tui.screens.run import RunScreen
from app.tui.screens.run_parts import OVERVIEW
from app.tui.screens.runs import RunsScreen
from app.tui.screens.start import StartScreen
from app.tui.widgets.curves import CurvesView
from app.tui.widgets.facts import Facts
from app.tui.widgets.pictures import ROOMY
from app.tui.widgets.run_list import RunList
from core.engine.measurement import Progress
from core.errors import StorageError
from core.figures.views import Query
from core.trust import NOBODY, Trust
from storage.database import Database
from storage.runs import (
    claim,
    create_run,
    find_run,
    finish,
    list_runs,
    measurements,
    requeue,
    say_waiting,
)
from storage.schema import RunRow
from storage.sink import RunSink
from tests.app.tui.conftest import HOSTILE, WEIGHTS, fill, study
from tests.app.tui.display import (
    BOTH,
    LARGE,
    SMALL,
    assert_inside,
    drawn,
    on,
    opened,
    readout,
    visible,
    words,
)
from tests.app.tui.rest import until
from tests.patience import PATIENCE


@BOTH
async def test_the_list_shows_all_runs_and_the_selected_one(
    filled: Database, size: tuple[int, int]
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        text = words(app)
        assert "running" in text
        assert "44 %" in text
        assert "layer 3" in text
        assert "1 warning" in text
        await pilot.press("j", "j")
        await until(pilot, lambda: "ends early" in words(app))
        assert "Get it." in words(app)
        assert_inside(app.screen)
        assert max(cell_len(row) for row in visible(app)) <= size[0]


async def test_an_empty_database_says_what_to_do(db: Database) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "No runs yet" in words(app))
        assert "run the demo" in words(app)
        assert "build a study" in words(app)
        assert "run a study file" in words(app)
        assert "[models.tuned]" in words(app)
        assert "`" not in words(app)
        assert_inside(app.screen)
        await pilot.press("enter", "c", "r", "slash")
        assert isinstance(app.screen, RunsScreen)


async def test_keys_pressed_before_a_run_is_read_are_kept(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        on(app, RunsScreen).action_open()
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and drawn(app.screen))
        assert on(app, RunScreen).tab == 2


async def test_a_filter_narrows_the_list(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        await pilot.press("slash", *"failed")
        await until(pilot, lambda: len(app.screen.query_one(RunList).items) == 1)
        await pilot.press("enter")
        current = app.screen.query_one(RunList).current
        assert current is not None
        assert current.name == "failed-one"
        await pilot.press("slash", *"zz")
        await until(pilot, lambda: "No run matches the filter" in words(app))
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen.query_one(RunList).items) == 3)


@BOTH
async def test_the_readout_is_the_number_of_the_database(
    filled: Database, size: tuple[int, int]
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app, "2", "right", "right", "down")
        pane = screen.pane
        assert pane is not None
        assert pane.choice is not None
        await until(pilot, lambda: "layer 1 " in readout(screen))
        run_id = screen.run_id
        wanted: Query = {
            "metric": (pane.choice.measure,), "layer": (1,), "model": (pane.choice.model,),
            "expert": "absent", "head": "absent",
        }  # fmt: skip
        by_module = {m.module: m for m in measurements(filled, run_id, "alignment", wanted)}
        row = by_module["v"]
        assert pane.spec is not None
        assert f"{pane.spec.title} {row.value:.6g}" in readout(screen)
        assert "module v" in readout(screen)
        assert "chance 0.25 (sd 0.01)" in readout(screen)
        assert row.value is not None
        assert f"z {(row.value - 0.25) / 0.01:+.1f}" in readout(screen)
        assert readout(screen).split("\n")[0].strip() in words(app)


async def test_tabs_views_measures_and_readings_switch(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "0")
        for analysis in screen.analyses:
            await pilot.press("tab")
            await until(pilot, lambda: drawn(screen))
            pane = screen.pane
            assert pane is not None
            assert pane.analysis is analysis
            assert_inside(screen)
            for _ in analysis.views:
                seen = set()
                for _ in pane.view.measures:
                    assert pane.choice is not None
                    seen.add(pane.choice.measure)
                    await pilot.press("m")
                    await until(pilot, lambda: drawn(screen))
                assert seen == set(pane.view.measures)
                await pilot.press("M", "x", "full_stop", "p", "greater_than_sign")
                await until(pilot, lambda: drawn(screen))
                await pilot.press("v")
                pane = screen.pane
                assert pane is not None
        await pilot.press("tab")
        await until(pilot, lambda: "share a part" in words(app))
        assert_inside(screen)
        await pilot.press("tab")
        assert screen.tab == OVERVIEW
        await pilot.press("shift+tab")
        assert screen.tab == len(screen.analyses)


async def test_readings_change_the_picture(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app, "2")
        pane = screen.pane
        assert pane is not None
        seen = {}
        for _ in range(3):
            assert pane.choice is not None
            seen[pane.choice.reading] = words(app)
            await pilot.press("x")
            await until(pilot, lambda: drawn(screen))
        assert set(seen) == {"raw", "chance", "excess"}
        assert "0.250" in seen["chance"]
        assert len(set(seen.values())) == 3


async def test_keys_that_would_do_nothing_are_not_offered(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app)
        assert "cancel" in visible(app)[-1], "it runs"
        assert "reading" not in visible(app)[-1], "norms have no chance level"
        await pilot.press("2")
        await until(pilot, lambda: drawn(screen) and "reading" in visible(app)[-1])


@BOTH
async def test_two_pictures_side_by_side_only_where_there_is_room(
    filled: Database, size: tuple[int, int]
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app, "2")
        count = len(screen.panes())
        assert count > 1
        together = min(count, size[0] // ROOMY)

        def shown() -> int:
            return sum(bool(pane.region.area) for pane in screen.panes())

        await until(pilot, lambda: shown() == together)
        if size == LARGE:
            await pilot.press("z")
            await until(pilot, lambda: shown() == 1)
            await pilot.press("z")
            await until(pilot, lambda: shown() == together)


@pytest.mark.parametrize("places", [("runs", "app"), ("run", "figure", "app")])
async def test_help_lists_every_binding(filled: Database, places: tuple[Where, ...]) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=(100, 80)) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        if "run" in places:
            await opened(pilot, app, "2")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = str(app.screen.query_one("#keys", Static).content)
        for action in actions(*places):
            assert action.help in text
            assert action.shown in text
        if "run" in places:
            assert "two-sided alignment" in words(app), "it explains the measure shown"
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_a_page_of_the_palette_is_turned_only_once_there_is_one(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        assert not ActionPalette().check_action("command_list", ("page_down",)), "it has none yet"
        await pilot.press("colon")
        commands = app.screen.query_one(CommandList)
        await until(pilot, lambda: commands.size.height)
        assert app.screen.check_action("command_list", ("page_down",))
        commands.styles.height = 0  # as it is before it is laid out
        await until(pilot, lambda: not commands.size.height)
        assert not app.screen.check_action("command_list", ("page_down",))
        await pilot.press("pagedown", "pageup", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_palette_that_is_left_twice_takes_no_other_screen_away(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        await pilot.press("colon")
        palette = app.screen
        assert isinstance(palette, ActionPalette)
        for _ in range(3):
            palette.dismiss()
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)


async def test_the_palette_finds_actions(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "2")
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert "Next measure, or order of a table" in titles
        assert "Cancel this run" in titles
        assert not any(title.startswith("Resume") for title in titles), "it runs"
        before = screen.pane.choice if screen.pane else None
        await pilot.press("colon", *"measure")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count)
        await pilot.press("enter")
        await until(pilot, lambda: screen.pane and screen.pane.choice != before)
        await pilot.press("colon", *"exp")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))


def test_the_palette_finds_every_action_by_its_label() -> None:
    for action in ACTIONS:
        assert action.label.split()[0] in action.command.lower()


async def test_cancel_asks_and_then_sets_the_flag(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    run = list_runs(filled)[0]
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("c", "n")
        assert app.screen is screen
        assert not find_run(filled, run.id).cancel_requested
        await pilot.press("c", "y")
        await until(pilot, lambda: find_run(filled, run.id).cancel_requested)
        await until(pilot, lambda: "stopping" in words(app))


async def test_delete_asks_and_is_offered_only_where_it_can(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    running, done, _ = list_runs(filled)
    async with app.run_test(size=LARGE) as pilot:
        await until(pilot, lambda: "running-one" in words(app))
        assert " D delete" not in visible(app)[-1], "it runs"
        await pilot.press("D")
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("j")
        await until(pilot, lambda: " D delete" in visible(app)[-1])
        await pilot.press("D")
        await until(pilot, lambda: "Delete run 'finished-one'" in words(app))
        assert_inside(app.screen)
        await pilot.press("n")
        assert isinstance(app.screen, RunsScreen)
        assert len(list_runs(filled)) == 3
        await pilot.press("D", "y")
        await until(pilot, lambda: done.id not in {run.id for run in list_runs(filled)})
        await until(pilot, lambda: len(app.screen.query_one(RunList).items) == 2)
        assert {run.id for run in list_runs(filled)} > {running.id}


async def test_orders_to_two_runs_at_once_are_both_given(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    asked: list[str] = []
    locked = threading.Event()

    def delete(run_id: str) -> None:
        asked.append(run_id)
        locked.wait(PATIENCE)  # as for a database that another process writes to

    runs = list_runs(filled)[1:]
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        monkeypatch.setattr(app.source, "delete", delete)
        monkeypatch.setattr(app, "push_screen", lambda _, answered: answered(True))
        for run in (*runs, runs[0]):
            ask_to_delete(screen, app.source, run)
        while len(asked) < 2:
            await asyncio.sleep(0.01)
        locked.set()
        await until(pilot, lambda: True)
    assert sorted(asked) == sorted(run.id for run in runs), "and each once"


async def test_a_run_that_was_taken_meanwhile_is_not_deleted(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    run_id = list_runs(filled)[2].id
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        await pilot.press("G", "D")
        requeue(filled, run_id)
        claim(filled, run_id)
        await pilot.press("y")
        await until(pilot, lambda: any("right now" in n.message for n in app._notifications))
        assert len(list_runs(filled)) == 3


async def test_the_host_of_a_running_run_is_measured(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, stopped = [], []

    def start(gauge: Gauge) -> None:
        started.append(gauge)
        gauge.reading = Usage(12 * 2**30, 24 * 2**30, (Card("H\x1b100", 2**30, 2**33, 41),))

    def stop(gauge: Gauge) -> None:
        stopped.append(gauge)
        gauge.reading = None

    monkeypatch.setattr(Gauge, "start", start)
    monkeypatch.setattr(Gauge, "stop", stop)
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: "mem 12.0/24 GiB  GPU 41 % 1.0/8 GiB" in visible(app)[0])
        assert_inside(screen)
        await pilot.resize_terminal(*SMALL)
        await until(pilot, lambda: "GiB" not in visible(app)[0])
        await pilot.press("0", "shift+tab")
        await until(pilot, lambda: "41 % busy, 1.0/8 GiB, H\\x1b100" in words(app))
        assert set(started) == {screen.gauge}
        assert not stopped
        finish(filled, screen.run_id, 1, "done")
        await until(pilot, lambda: stopped and "This host" not in words(app))
        del stopped[:]
        await pilot.press("escape")
        await until(pilot, lambda: stopped == [screen.gauge])


async def test_another_host_is_not_measured(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Gauge] = []
    monkeypatch.setattr(Gauge, "start", started.append)
    with filled.writing() as connection:
        connection.execute(update(RunRow).values(host="elsewhere"))
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.run)
        assert not started


async def test_a_bad_study_file_shows_its_error(filled: Database, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "x"\n[modles]\nbase = "[red]b"\n')
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        app.screen.query_one(Input).value = str(tmp_path / "b")
        await pilot.press("tab")
        assert app.screen.query_one(Input).value == str(bad)
        app.screen.query_one(Input).value = str(tmp_path / "ba")
        await pilot.press("enter")
        assert app.screen.query_one(Input).value == str(bad), "the only file that it can mean"
        await pilot.press("enter")
        trouble = app.screen.query_one(".trouble", Static)
        await until(pilot, lambda: "bad.toml" in str(trouble.content))
        app.screen.query_one(Input).value = "/nowhere/at/all.toml"
        await pilot.press("enter")
        await until(pilot, lambda: "no study file" in str(trouble.content))
        app.screen.query_one(Input).value = "~nobody-here/x.toml"
        await pilot.press("enter")
        await until(pilot, lambda: "no study file ~nobody-here" in str(trouble.content))
        assert_inside(app.screen)
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


async def test_a_good_study_file_starts_a_worker(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tmp_path / "good.toml"
    good.write_text('name = "fresh"\n[models]\nbase = "a/b"\n[models.tuned]\nm = "c/d"\n')
    started: list[str] = []
    enough = threading.Event()

    def start(url: str, run_id: str, *, trust: Trust) -> int:
        assert trust == NOBODY
        started.append(run_id)
        enough.wait(60)
        return 1

    monkeypatch.setattr("app.jobs.launcher.start_detached", start)
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        app.screen.query_one(Input).value = str(good)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: started)
        await pilot.press("enter")
        enough.set()
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.run)
        assert [run.id for run in list_runs(filled) if run.name == "fresh"] == started
        assert "fresh" in words(app)


async def test_the_run_that_was_begun_and_left_is_the_selected_one(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        await pilot.press("G")
        begun = create_run(filled, study("begun-one"), WEIGHTS)
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        screen.open(begun)
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.run)
        await pilot.press("escape")
        listing = screen.query_one(RunList)
        await until(pilot, lambda: listing.current and listing.current.id == begun)
        await pilot.press("j")
        await pilot.pause(1.2)
        assert listing.selected == 1, "only once"
        screen.open(listing.items[-1].id)  # an unfinished run of the same study goes on
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.run)
        await pilot.press("escape")
        await until(pilot, lambda: listing.current and listing.current.name == "failed-one")


async def test_what_is_said_of_a_run_is_whole_when_it_is_come_back_to(db: Database) -> None:
    """Its last lines are hidden meanwhile, and so have no width."""
    long = " ".join(f"word{i}" for i in range(60))
    for name, ended in (("failed-one", "failed"), ("done-one", "done")):
        run_id = create_run(db, study(name), WEIGHTS)
        title = long if ended == "failed" else ""
        finish(db, run_id, claim(db, run_id), ended, title=title, hint="Mend it.")  # type: ignore[arg-type]
    app = TauscopeApp(db.url)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "done-one" in words(app))
        await pilot.press("j")
        await until(pilot, lambda: "Mend it." in words(app))
        await pilot.press("k")
        await until(pilot, lambda: "Mend it." not in words(app))
        await pilot.press("j")
        await until(pilot, lambda: "word0" in words(app))
        await until(pilot, lambda: "Mend it." in words(app))


async def test_a_picture_that_a_resize_brings_in_is_read(db: Database) -> None:
    run_id = create_run(db, study("one"), WEIGHTS)
    attempt = claim(db, run_id)
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "one" in words(app))
        await opened(pilot, app)
        await until(pilot, lambda: "No values" in words(app))
        await pilot.pause(0.5)  # the picture beside it is read ahead, and is empty too
        fill(db, run_id, attempt)
        finish(db, run_id, attempt, "done")
        await until(pilot, lambda: "done" in words(app) and "No values" not in words(app))
        await pilot.resize_terminal(*LARGE)
        await until(pilot, lambda: "Size by layer and module" in words(app))
        await until(pilot, lambda: "No values" not in words(app))
        assert "z zoom" in words(app)


async def test_a_run_that_waits_is_started_out_of_turn(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        "app.jobs.launcher.start_detached",
        lambda url, run_id, *, now: started.append((run_id, now)) or 1,
    )
    waiting = create_run(filled, study("waiting-one"), WEIGHTS)
    say_waiting(filled, waiting, "after running-one")
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "waiting-one" in words(app))
        assert "units     after running-one" in words(app)
        assert "r start" in words(app)
        assert "r resume" not in words(app)
        await pilot.press("r")
        await until(pilot, lambda: started)
        await pilot.press("G")
        await until(pilot, lambda: "r resume" in words(app))
        await pilot.press("r")
        await until(pilot, lambda: len(started) > 1)
    failed = list_runs(filled)[-1].id
    assert started == [(waiting, True), (failed, False)]


async def test_a_run_that_ended_early_is_resumed(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(
        "app.jobs.launcher.start_detached", lambda url, run_id, **_: started.append(run_id) or 1
    )
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        await pilot.press("r")
        assert started == [], "a run that runs is not resumed"
        await pilot.press("G", "r")
        await until(pilot, lambda: started)
        assert find_run(filled, started[0]).name == "failed-one"


@BOTH
async def test_hostile_names_do_no_harm(db: Database, size: tuple[int, int]) -> None:
    run_id = create_run(db, study(HOSTILE), ("alignment",))
    attempt = claim(db, run_id)
    fill(db, run_id, attempt)
    finish(db, run_id, attempt, "failed", title=HOSTILE, hint=HOSTILE)
    app = TauscopeApp(db.url)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "evil" in words(app))
        await opened(pilot, app)
        for keys in ((), ("1",), ("question_mark",)):
            await pilot.press(*keys)
            await until(pilot, lambda: app.screen.is_modal or drawn(on(app, RunScreen)))
            text = words(app)
            assert not set("\x1b\x07\u202e") & set(text)
            assert max(cell_len(row) for row in visible(app)) <= size[0]
            assert_inside(app.screen)
        await pilot.press("escape")
        assert "[bold red]evil[/]" in words(app)
        assert plain(HOSTILE)[:12] in words(app)


async def test_new_results_appear_while_a_run_goes_on(db: Database) -> None:
    from core.engine.measurement import Progress
    from storage.sink import RunSink

    run_id = create_run(db, study(), WEIGHTS)
    attempt = claim(db, run_id)
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        assert "No values yet" in words(app)
        fill(db, run_id, attempt)
        RunSink(db, run_id, attempt).progress(Progress(5, 10, 0, "layer 5"))
        await until(pilot, lambda: "No values yet" not in words(app) and "50 %" in words(app))
        await pilot.press("v", "v", "v")
        await until(pilot, lambda: drawn(screen))
        assert screen.pane is not None
        assert screen.pane.choice is not None
        assert screen.pane.view.opens == {"layer": screen.pane.choice.layer}, "as if opened now"
        await pilot.press("v")
        finish(db, run_id, attempt, "done")
        await until(pilot, lambda: screen.run and screen.run.status == "done")
        await until(pilot, lambda: "done" in visible(app)[0])


async def test_a_click_moves_the_cursor(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "2")
        figure = screen.pane.figure if screen.pane else None
        assert figure is not None
        await pilot.click(figure, offset=(30, 4))
        await until(pilot, lambda: figure.cursor != (0, 0))
        first = readout(screen)
        await pilot.press("1")
        await until(pilot, lambda: screen.tab == 0 and drawn(screen))
        curves = screen.pane.figure if screen.pane else None
        assert curves is not None
        await pilot.click(curves, offset=(20, 8))
        await until(pilot, lambda: curves.cursor[1] > 0)
        assert readout(screen) != first


async def test_resizing_keeps_everything_inside(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app, "2", "right", "down", "down")
        for width, height in ((80, 24), (60, 20), (200, 50), (40, 12), (100, 30)):
            await pilot.resize_terminal(width, height)
            assert_inside(screen)
            assert len(visible(app)) == height
        assert screen.pane is not None
        assert screen.pane.figure.cursor == (2, 1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_themes_and_no_colour(
    filled: Database, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = TauscopeApp(filled.url)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app, "2", "e", "t", "right")
        assert app.no_color
        assert "▸" in words(app) or "▲" in words(app) or "▼" in words(app), "the cursor shows"


async def test_a_database_that_cannot_be_opened_is_said_on_leaving(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database at all" * 100)
    app = TauscopeApp(str(broken))
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: app.return_value is not None)
    assert isinstance(app.trouble, StorageError)
    assert "broken.db" in app.trouble.title


async def test_a_database_that_goes_away_is_said_and_asked_again(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))

        def locked() -> tuple[()]:
            raise StorageError("The database is locked.", hint="Try again.")

        with monkeypatch.context() as patch:
            patch.setattr(app.source, "runs", locked)
            await until(pilot, lambda: "is locked" in visible(app)[0])
            assert "finished-one" in words(app), "the last moment stays on screen"
        await until(pilot, lambda: "is locked" not in visible(app)[0])


async def test_a_fault_in_a_thread_is_said(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))

        def faulty(run_id: str) -> None:
            raise TypeError("'NoneType' object is not iterable")

        monkeypatch.setattr(app.source, "run", faulty)
        await pilot.press("enter")
        await until(pilot, lambda: "This is a bug in tauscope." in visible(app)[0])
        assert "TypeError: 'NoneType' object is not iterable" in visible(app)[0]


async def test_facts_show_the_error_first(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        await pilot.press("G", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.run)
        await pilot.press("3")
        await until(pilot, lambda: "ends early" in words(app))
        assert app.screen.query_one(Facts).has_focus
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


def headed(app: TauscopeApp, heading: str) -> bool:
    """Is there a row of this heading alone?"""
    return heading in [row.strip() for row in visible(app)]


async def test_a_run_that_failed_before_any_value_opens_on_why(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "failed-one" in words(app))
        await pilot.press("G", "enter")
        await until(pilot, lambda: "ends early" in words(app) and headed(app, "Error"))
        assert app.screen.query_one(Facts).has_focus
        await pilot.press("1")
        await until(pilot, lambda: "No values yet" in words(app))
        await pilot.pause(1.2)
        assert "No values yet" in words(app), "who goes elsewhere is left there"


async def test_a_run_that_fails_before_any_value_while_it_is_looked_at_says_why(
    db: Database,
) -> None:
    run_id = create_run(db, study("new-one"), WEIGHTS)
    attempt = claim(db, run_id)
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot, app)
        assert "No values yet" in words(app)
        finish(db, run_id, attempt, "failed", title="model-2.safetensors ends early.")
        await until(pilot, lambda: "model-2.safetensors ends early." in words(app))


async def test_a_run_whose_worker_died_says_so_and_how_its_log_ends(db: Database) -> None:
    run_id = create_run(db, study("lost-one"), WEIGHTS)
    claim(db, run_id)
    with db.writing() as connection:
        connection.execute(update(RunRow).values(heartbeat=0.0, host="gpu-7", pid=4711))
    log = log_of(db, run_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("worker 4711 takes run x\n")
    app = TauscopeApp(db.url)
    async with app.run_test(size=LARGE) as pilot:
        await until(pilot, lambda: "Its worker (process 4711 on gpu-7) ended" in words(app))
        await pilot.press("enter")
        await until(pilot, lambda: headed(app, "Error"))
        assert "Its worker (process 4711 on gpu-7) ended without an error message." in words(app)
        assert f"{run_id}.log" in words(app).replace("\n", "")
        assert "worker 4711 takes run x" in words(app)


async def test_a_run_that_failed_with_values_opens_on_them(db: Database) -> None:
    run_id = create_run(db, study("late-one"), WEIGHTS)
    attempt = claim(db, run_id)
    fill(db, run_id, attempt)
    finish(db, run_id, attempt, "failed", title="model-2.safetensors ends early.")
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        assert screen.tab == 0


@BOTH
async def test_another_series_on_top_is_painted_in_full(
    filled: Database, size: tuple[int, int]
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app)
        figure = screen.pane.figure if screen.pane else None
        assert figure is not None

        def painted() -> list[list[Segment]]:
            strips = app.screen._compositor.render_strips(app.size)
            return [list(strip) for strip in strips[figure.region.y : figure.region.bottom]]

        for key in ("down", "right", "down", "right", "down", "up", "down", "down"):
            before = painted()
            await pilot.press(key)
            piecemeal = painted()
            figure.scrolled()
            await pilot.pause()
            assert piecemeal == painted(), "nothing stale is left"
            assert piecemeal != before


async def test_a_step_along_a_series_repaints_little(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "right")
        figure = screen.pane.figure if screen.pane else None
        assert figure is not None
        area = sum(region.area for region in figure.touched(figure.cursor))
        assert area <= 4 * figure.size.width


async def test_a_control_is_said_to_be_one(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app, "1")
        assert "(retrained)" in words(app)
        assert "(medical)" not in words(app)
        await pilot.press("2")
        await until(pilot, lambda: drawn(screen))
        for _ in range(3):
            await pilot.press("full_stop")
            await until(pilot, lambda: drawn(screen))
        await until(pilot, lambda: "model retrained (control)" in words(app))


async def test_sixteen_colours_show_what_is_selected(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLORTERM")
    monkeypatch.setenv("TERM", "screen")
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        assert app.console.color_system == "standard"
        screen = await opened(pilot, app)
        assert screen.pane is not None
        assert not screen.pane.figure.palette.blends
        background, line = app.theme_variables["background"], app.theme_variables["line"]
        assert background == "#000000"
        assert line == "#0000aa", "one of the 16, unlike the background"
        await pilot.press("t")
        assert app.theme_variables["background"].lower() == "#ffffff"


def test_it_leaves_with_the_code_of_its_error_and_does_nothing_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(self: TauscopeApp) -> None:
        self.trouble = StorageError("\x1b]52;c;aGk=\x07 is broken.", hint="Mend\x1b it.")

    monkeypatch.setattr(TauscopeApp, "run", leave)
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    assert run_command(["--db", "x.db"]) == 4
    assert capsys.readouterr().err == "error: \\x1b]52;c;aGk=\\x07 is broken.\n  Mend\\x1b it.\n"


def test_names_that_act_on_the_terminal_are_not_offered(tmp_path: Path) -> None:
    (tmp_path / "good study.toml").touch()
    (tmp_path / "宽.toml").touch()
    (tmp_path / "\x1b]52;c;aGk=\x07.toml").touch()
    (tmp_path / "\u202egood.toml").touch()
    assert matches(f"{tmp_path}/") == [f"{tmp_path}/good study.toml", f"{tmp_path}/宽.toml"]


async def test_the_cursor_begins_on_a_value(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "1")
        await until(pilot, lambda: "against medical" in readout(screen))
        await pilot.press("left")
        await until(pilot, lambda: "itself" in readout(screen))
        await pilot.press("1", "1")
        await until(pilot, lambda: drawn(screen) and "itself" in readout(screen))


async def test_a_step_down_the_list_paints_two_rows(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        listing = app.screen.query_one(RunList)
        painted: list[int] = []
        original = RunList.render_line

        def counted(self: RunList, y: int) -> object:
            painted.append(y)
            return original(self, y)

        monkeypatch.setattr(RunList, "render_line", counted)
        await pilot.press("j")
        await until(pilot, lambda: listing.selected == 1 and "▌" in visible(app)[3])
        assert set(painted) <= {1, 2}


async def test_progress_shows_while_nothing_else_happens(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    running = list_runs(filled)[0]
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "4 of 9 units" in words(app))
        RunSink(filled, running.id, 1).progress(Progress(9, 9, 1, "layer 8"))
        await until(pilot, lambda: "9 of 9 units" in words(app))


@BOTH
async def test_a_key_makes_the_demo_and_says_how_far_it_is(
    db: Database, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {"stage": "", "trouble": "", "started": ""}

    def start(database: Database) -> None:
        stages["started"], stages["stage"] = database.url, "7 % training base"

    monkeypatch.setattr("app.jobs.demo.start", start)
    monkeypatch.setattr("app.jobs.demo.stage", lambda _: stages["stage"])
    monkeypatch.setattr("app.jobs.demo.trouble", lambda _: stages["trouble"])
    app = TauscopeApp(db.url)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "d demo" in words(app))
        await pilot.press("d")
        await until(pilot, lambda: "7 % training base" in words(app))
        assert stages["started"] == db.url
        await until(pilot, lambda: "d demo" not in words(app))
        stages |= {"stage": "", "trouble": "The demo: The disk is full."}
        await until(pilot, lambda: "The demo: The disk is full." in str(list(app._notifications)))
        await until(pilot, lambda: "No runs yet" in words(app))


async def test_the_making_of_the_demo_is_cancelled_once_confirmed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = ["7 % training base"]
    monkeypatch.setattr("app.jobs.demo.stage", lambda _: stages[-1])
    monkeypatch.setattr("app.jobs.demo.trouble", lambda _: "")
    monkeypatch.setattr("app.jobs.demo.cancel", lambda _: stages.append(""))
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "7 % training base" in words(app))
        assert "c cancel" in words(app)
        await pilot.press("c")
        await until(pilot, lambda: "Stop training the demo's models?" in words(app))
        await pilot.press("y")
        await until(pilot, lambda: "No runs yet" in words(app))
        assert "d demo" in words(app)


async def test_where_there_are_runs_the_demo_is_made_after_a_question(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("app.jobs.demo.start", lambda db: started.append(db.url))
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "finished-one" in words(app))
        await pilot.press("d", "n")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert started == []
        await pilot.press("d", "y")
        await until(pilot, lambda: started)


async def test_one_line_stands_alone_and_each_apart(filled: Database) -> None:
    """The other lines are gone from the picture, and all keep their signs."""
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "down")
        view = screen.pane.figure if screen.pane else None
        assert isinstance(view, CurvesView)
        name = view._stops[view.cursor[0]][1].name

        def signs() -> set[str]:
            drawn = "".join(s.text for line in view._picture.lines for s in line)
            looks = {c.name: sign(c.index, c.faint) for c in view.plot.curves}
            return {model for model, mark in looks.items() if mark in drawn}

        assert len(signs()) == 4
        assert "legend: at layer 0" in words(app)
        await pilot.press("A")
        assert signs() == {name, "retrained"}, "the control stays beside it"
        await pilot.press("A", "S")
        assert [p.title for p in view.plot.panels] == ["instruct", "medical", "maths", "retrained"]
        assert f"model {name}" in readout(screen)
        assert "module attention" in readout(screen)
        await pilot.press("pagedown")
        assert "model maths" in readout(screen)
        await pilot.press("S")
        assert [panel.title for panel in view.plot.panels] == ["attention", "mlp"]
        assert len(signs()) == 4
