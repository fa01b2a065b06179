"""The filter of a run, written in its line, seen in the title, and honoured by all figures."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from app.render.data.single import Request, serve
from app.results.figures import names_in
from app.tui import run_title
from app.tui.app import TauscopeApp
from app.tui.memory import recall
from app.tui.screens.export import _shown
from app.tui.screens.run import RunScreen
from app.tui.widgets.filter_line import FilterLine
from core.figures.figure import Grid, Lines
from core.figures.filters import Filter
from core.figures.views import GROUPS, Choice
from storage.database import Database
from storage.runs import list_runs
from tests import pretend
from tests.app.results.two_runs import keep
from tests.app.tui.conftest import LAYERS, MODELS, MODULES
from tests.app.tui.display import (
    LARGE,
    SMALL,
    app_of,
    assert_inside,
    opened,
    readout,
    visible,
    words,
)
from tests.app.tui.rest import until

KEYS = {":": "colon", ",": "comma", "-": "minus", " ": "space"}


def typed(line: str) -> list[str]:
    return [KEYS.get(letter, letter) for letter in line]


def drawn(screen: RunScreen) -> bool:
    """Does the tab show what was chosen, of what the filter takes?"""
    panes = screen.panes()
    return bool(panes) and all(
        p.drawn is not None and p.drawn.choice == p.choice and p.is_of(screen.feed.filter)
        for p in panes
    )


async def filtered(pilot: Pilot[str | None], app: TauscopeApp, line: str) -> RunScreen:
    """The newest run under a filter."""
    screen = await opened(pilot, app)
    await pilot.press("slash", *typed(line), "enter")
    await until(pilot, lambda: not screen.query_one(FilterLine).writing and drawn(screen))
    return screen


def figure(screen: RunScreen) -> Lines | Grid:
    assert screen.pane is not None
    assert screen.pane.drawn is not None
    made = screen.pane.drawn.figure
    assert isinstance(made, Lines | Grid)
    return made


def grid(screen: RunScreen) -> Grid:
    made = figure(screen)
    assert isinstance(made, Grid)
    return made


def lines(screen: RunScreen) -> Lines:
    made = figure(screen)
    assert isinstance(made, Lines)
    return made


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_all_figures_keep_to_the_filter(filled: Database, size: tuple[int, int]) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=size) as pilot:
        screen = await filtered(pilot, app, "model:medical,maths layer:3-5 module:q,k,mlp")
        assert_inside(screen)
        chip = "filter hides 2 models, 9 layers, 8 modules"
        hidden = screen.feed.filter.hidden(screen.names)
        assert hidden == {"model": 2, "layer": LAYERS - 3, "module": 8}
        assert chip in visible(app)[0] or (size == SMALL and " filter hides 19 " in visible(app)[0])
        lines = figure(screen)
        assert isinstance(lines, Lines)
        assert [panel.title for panel in lines.panels] == ["mlp"]
        assert [s.name for s in lines.panels[0].series] == ["medical", "maths"]
        assert {s.xs for s in lines.panels[0].series} == {(3, 4, 5)}
        await pilot.press("v")
        await until(pilot, lambda: drawn(screen))
        grid = figure(screen)
        assert isinstance(grid, Grid)
        assert grid.rows == ("3", "4", "5")
        assert grid.columns == ("q", "k", "mlp")
        await pilot.press("full_stop")
        await until(pilot, lambda: drawn(screen) and figure(screen).chosen["model"] == "maths")
        await pilot.press("full_stop")
        await until(pilot, lambda: drawn(screen) and figure(screen).chosen["model"] == "medical")
        await pilot.press("1")
        await until(pilot, lambda: drawn(screen))
        matrix = figure(screen)
        assert isinstance(matrix, Grid)
        assert matrix.rows == matrix.columns == ("medical", "maths")
        assert matrix.chosen["module"] in ("q", "k", "mlp")
        assert_inside(screen)


async def test_a_line_acts_while_it_is_written_and_says_what_is_wrong(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("slash")
        assert "model:  layer:  module:  instruct" in words(app)
        await pilot.press(*typed("mod"))
        assert not screen.feed.filter, "a field is being written"
        await pilot.press("tab", *typed("med"))
        assert screen.query_one(Input).value == "model:med"
        await until(pilot, lambda: screen.feed.filter == Filter(model=("medical",)))
        await pilot.press("x")
        await until(
            pilot, lambda: "No model is called 'medx'. Did you mean 'medical'?" in words(app)
        )
        await pilot.press("enter")
        assert screen.query_one(FilterLine).writing, "nonsense is not left"
        assert screen.feed.filter == Filter(model=("medical",))
        assert_inside(screen)
        await pilot.press("backspace", "tab", "enter")
        await until(pilot, lambda: drawn(screen))
        assert not screen.query_one(FilterLine).writing
        assert "filter hides 3 models" in visible(app)[0]
        await pilot.press("tab")
        assert screen.tab == 1, "and tab is the next tab again"
        await pilot.press("slash")
        assert screen.query_one(Input).value == "model:medical"
        await pilot.press("escape")
        await until(pilot, lambda: not screen.feed.filter and drawn(screen))
        assert "hides" not in words(app)
        assert app.screen is screen, "escape has only ended the filter"


async def test_where_nothing_passes_that_is_said(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await filtered(pilot, app, "q")
        await pilot.press("v", "v", "v")  # of whose arrays the run has none
        await until(pilot, lambda: "No results match the filter here" in words(app))
        assert "no values;" not in words(app), "nothing is found in what is hidden"
        await pilot.press("v", "v")
        await until(pilot, lambda: drawn(screen) and grid(screen).columns == ("q",))


async def test_a_module_has_curves_of_its_own(filled: Database) -> None:
    """Of all models, in a figure that has none but those of groups."""
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await filtered(pilot, app, "module:o")
        await until(pilot, lambda: drawn(screen) and "module o" in readout(screen))
        made = figure(screen)
        assert isinstance(made, Lines)
        (panel,) = made.panels
        assert {series.name for series in panel.series} == set(MODELS)
        await pilot.press("v")
        await until(pilot, lambda: drawn(screen) and grid(screen).columns == ("o",))


async def test_no_key_harms_an_empty_figure(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "slash", *"model:base", "enter")
        for _ in screen.panes():
            await pilot.press("pagedown", "pageup", "down", "end", "home", "y", "enter", "v")
        assert app.is_running
        assert app.return_code in (None, 0)


async def test_the_cursor_stays_on_its_layer_and_is_shared(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "v", *["down"] * 5, "right")
        assert "layer 5  module k" in readout(screen)
        await pilot.press("slash", *typed("layer:4-8"), "enter")
        await until(pilot, lambda: drawn(screen) and len(grid(screen).rows) == 5)
        assert "layer 5  module k" in readout(screen)
        await pilot.press("2")
        await until(pilot, lambda: drawn(screen) and "layer 5" in readout(screen))
        await pilot.press("slash", "escape")
        await until(pilot, lambda: drawn(screen) and len(grid(screen).rows) == LAYERS)
        assert "layer 5" in readout(screen)


async def test_the_filter_is_kept_over_a_restart_and_over_refreshes(filled: Database) -> None:
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        screen = await filtered(pilot, app, "medical layer:2-")
        screen._reread()
        await until(pilot, lambda: drawn(screen))
        assert {s.name for p in lines(screen).panels for s in p.series} == {"medical"}
        await pilot.press("q")
    place = recall(app.remembered).place
    assert place is not None
    assert place.filter == "model:medical layer:2-"
    app = app_of(filled)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: "filter hides" in visible(app)[0])
        assert screen.feed.filter == Filter(model=("medical",), layer=((2, 10**8),))
        assert {s.name for p in lines(screen).panels for s in p.series} == {"medical"}


async def test_copies_and_files_hold_what_is_seen(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SMALL) as pilot:
        screen = await filtered(pilot, app, "medical layer:3-5 module:q,k")
        await pilot.press("v", "Y", "c")
        await until(pilot, lambda: bool(copied))
        wanted = _shown(screen.pane) | {"filter": str(screen.feed.filter)}
    assert copied[0].splitlines()[0] == "layer \\ module,q,k"
    assert [row.split(",")[0] for row in copied[0].splitlines()[1:]] == ["3", "4", "5"]
    run = list_runs(filled)[0].id
    path = serve(Request(db=filled.url, run=run, format="csv", folder=str(tmp_path), **wanted))
    assert path.read_text() == copied[0]
    assert "model-medical-layer-3-5-module-q-k" in path.name


def test_a_table_that_was_narrowed_is_written_so(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a table that was opened from one value of another picture only what is seen of it."""
    pretend.register(monkeypatch)
    choice = asdict(Choice(measure="neurons", model="maths", order="by layer"))
    wanted = Request(
        db=db.url, run=keep(db, "one", pretend.rows()), format="csv", folder=str(tmp_path),
        analysis=pretend.NAME, view="neurons", choice=choice, filter="layer:2-4",
        rows={"neuron": "7", "layer": "3"},
    )  # fmt: skip
    head, *rows = serve(wanted).read_text().splitlines()
    assert head == "layer,neuron,score,token"
    assert [row.split(",")[:2] for row in rows] == [["3", "7"]]
    whole = serve(replace(wanted, rows={})).read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in whole} == {"2", "3", "4"}


def test_all_of_a_run_may_be_filtered(filled: Database) -> None:
    names = names_in(filled, list_runs(filled)[0])
    assert names["model"] == MODELS
    assert names["layer"] == tuple(range(LAYERS))
    assert names["module"] == (*MODULES, *GROUPS)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_chip_fits_beside_the_name_and_the_state(filled: Database, width: int) -> None:
    for run in list_runs(filled):
        many: dict[str, int] = {"model": 7, "layer": 69, "module": 10}
        line = run_title.title(run, "", width, "", many).plain
        assert len(line) <= width
        assert run.name in line
        assert "69 layers" in line or " filter hides 86 " in line
    assert " filter hides nothing " in run_title.title(list_runs(filled)[0], "", 160, "", {}).plain


def test_each_choice_is_written_to_a_file_of_its_own(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend.register(monkeypatch)
    run = keep(db, "one", pretend.rows())
    table, axes = Choice(measure="neurons", model="maths"), Choice(measure="normalised")
    wanted = {
        "neurons": [replace(table, order=o) for o in ("strongest first", "by layer")],
        "plane": [
            replace(axes, task=x, against=y) for x, y in pairwise(("medqa", "gsm8k", "medqa"))
        ],
        "document": [replace(table, item=item) for item in ("first", "second")],
    }
    files = [
        serve(
            Request(
                db=db.url, run=run, format="csv", folder=str(tmp_path), analysis=pretend.NAME,
                view=view, choice=asdict(choice),
            )
        )
        for view, choices in wanted.items() for choice in choices
    ]  # fmt: skip
    assert len(set(files)) == 6
    assert files[0].name == f"{pretend.NAME}-neurons-maths-neurons-raw-{run}.csv"
