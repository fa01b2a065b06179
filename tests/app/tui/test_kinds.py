"""Views of every kind over every coordinate, driven by keys: tables, scatters, selectors."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from app.render.data.clippings import clipping
from app.results.figures import analyses_of, drawn, shown
from app.tui.app import TauscopeApp
from app.tui.screens.run import RunScreen
from app.tui.widgets.curves import CurvesView
from app.tui.widgets.passages import PassagesView
from app.tui.widgets.scatter import ScatterView
from app.tui.widgets.table import TableView
from core.engine.measurement import Unit, UnitResult
from core.figures.choices import default_choice
from core.figures.figure import Cell, Column, Lines, Panel, Scatter, Series, Table
from storage.database import Database
from storage.runs import catalogue, claim, create_run, find_run, finish
from storage.sink import RunSink
from tests import pretend
from tests.app.tui.conftest import HOSTILE, study
from tests.app.tui.display import LARGE, SMALL, assert_inside, opened, readout, visible, words
from tests.app.tui.display import drawn as up_to_date
from tests.app.tui.rest import until

KEYS = [view.key for view in pretend.VIEWS if not view.optional]


@pytest.fixture
def pretended(db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A finished run of the analysis that computes nothing."""
    pretend.register(monkeypatch)
    run_id = create_run(db, study("pretend"), [pretend.NAME])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    unit = Unit(key="pretended", analysis=pretend.NAME, label="all")
    sink.save(unit, UnitResult(pretend.rows(), pretend.arrays()), 1.0)
    finish(db, run_id, attempt, "done")
    return db


async def at(pilot: Pilot[str | None], app: TauscopeApp, key: str) -> RunScreen:
    """The newest run's screen with the view of that key chosen."""
    screen = await opened(pilot, app, *["v"] * KEYS.index(key))
    assert screen.pane is not None
    assert screen.pane.view.key == key
    return screen


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_every_kind_opens_inside_the_screen(
    pretended: Database, size: tuple[int, int]
) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app)
        for key in KEYS:
            assert screen.pane is not None
            assert screen.pane.view.key == key
            await pilot.press("right", "down", "e", "end", "pagedown", "home")
            await until(pilot, lambda: up_to_date(screen))
            assert_inside(screen)
            assert screen.pane.figure.spot() is not None
            beside = sum(bool(pane.region.area) for pane in screen.panes())
            last = key == KEYS[-1] and len(KEYS) % 2  # an odd one has none beside it
            alone = size == SMALL or last
            assert beside == (1 if alone else 2)
            await pilot.press("v")
            await until(pilot, lambda: up_to_date(screen))


async def test_a_scatter_steps_from_point_to_point(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await at(pilot, app, "plane")
        view = screen.pane.figure if screen.pane else None
        assert isinstance(view, ScatterView)
        assert "task gsm8k" in words(app)
        assert "against medqa" in words(app)
        points = {point.name: point for point in view.plot.points}
        for axis, key, back in ((0, "right", "left"), (1, "up", "down")):
            await pilot.press(*[back] * len(points))
            order = sorted(p.place[axis] for p in points.values() if p.place)
            for wanted in order:
                spot = view.spot()
                assert spot is not None
                place = points[spot.coordinates[0][1]].place
                assert place is not None
                assert place[axis] == pytest.approx(wanted)
                await pilot.press(key)
        await pilot.press(*["left"] * len(points))
        await until(pilot, lambda: "medical=1 " in readout(screen))
        assert "gsm8k 0.2   medqa 0.9" in readout(screen)
        assert "gsm8k: 95 % 0.15 to 0.25, n 200" in readout(screen)
        assert "medqa: 95 % 0.85 to 0.95" in readout(screen)


async def test_the_axes_of_a_scatter_are_stepped_through(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await at(pilot, app, "plane")
        await pilot.press("right_parenthesis")
        await until(pilot, lambda: up_to_date(screen) and "task medqa" in words(app))
        assert "against gsm8k" in words(app), "never the same one twice"
        assert "↑ gsm8k" in words(app)


async def test_a_table_scrolls_and_keeps_its_heading(
    pretended: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(pretended.url)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SMALL) as pilot:
        screen = await at(pilot, app, "neurons")
        view = screen.pane.figure if screen.pane else None
        assert isinstance(view, TableView)
        assert "m order" in visible(app)[-1]
        await pilot.press("end")
        await until(pilot, lambda: "of 240" in words(app) and "–240 of" in words(app))
        assert view.cursor[0] == 239
        assert any(row.split() == ["layer", "neuron", "score", "token"] for row in visible(app))
        await pilot.press("right", "right", "y")
        await until(pilot, lambda: copied)
        layer, neuron, score, token = view.plot.whole.rows[239]
        assert copied == [f"{layer}\t{neuron}\t{score:+.3f}\t␣{str(token).strip()}"]
        assert f"score {score:+.3f}" in readout(screen)
        await pilot.press("home", "m")
        await until(pilot, lambda: up_to_date(screen) and "order by layer" in words(app))
        await until(pilot, lambda: view.plot.whole.rows[0][:2] == (0, 0))
        await pilot.press("full_stop")
        await until(pilot, lambda: up_to_date(screen) and "model medical" in words(app))
        assert view.plot.whole.rows[0][2] == pytest.approx(10.0)


async def test_a_long_table_paints_only_what_is_seen(
    pretended: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await at(pilot, app, "neurons")
        view = screen.pane.figure if screen.pane else None
        assert isinstance(view, TableView)
        columns = (Column(name="n", align="right"), Column(name=HOSTILE), Column(name="far"))
        rows = tuple((i, HOSTILE, "x" * 60) for i in range(20_000))
        view.show(Table(title="t", columns=columns, rows=rows))
        painted: list[int] = []
        line = view.painter.__class__.line
        monkeypatch.setattr(
            view.painter.__class__, "line",
            lambda self, i, chosen=-1: painted.append(i) or line(self, i, chosen),
        )  # fmt: skip
        await pilot.press("end")
        assert len(painted) <= 2 * view.size.height
        assert view.spot() is not None
        await pilot.press("right", "right")
        assert "\x1b" not in words(app)
        assert "\u202e" not in words(app)
        assert_inside(screen)


async def test_selectors_of_all_coordinates_have_keys(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await at(pilot, app, "drop")
        for offered in (") task", "i setting", "m measure"):
            assert offered in visible(app)[-1]
        assert "reference" not in visible(app)[-1]
        assert "metric exact_match" in words(app)
        assert "u metric" not in visible(app)[-1], "this task has one metric"
        await pilot.press("right_parenthesis")
        await until(pilot, lambda: up_to_date(screen) and "task medqa" in words(app))
        assert "metric acc" in words(app), "the metric went along with the task"
        await until(pilot, lambda: "u metric" in visible(app)[-1])
        await pilot.press("u", "I")
        await until(pilot, lambda: up_to_date(screen) and "metric acc_norm" in words(app))
        assert "setting top-1%" in words(app)


async def test_clicks_choose_points_and_rows(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await at(pilot, app, "plane")
        view = screen.pane.figure if screen.pane else None
        assert isinstance(view, ScatterView)
        for i in range(len(view.plot.points)):
            column, row = view._cell((i, 0))
            await pilot.click(view, offset=(column, row + len(view._legend)))
            assert view.cursor == (i, 0)
        await pilot.press("v", "v")
        await until(pilot, lambda: up_to_date(screen))
        other = screen.pane.figure if screen.pane else None
        assert isinstance(other, TableView)
        await pilot.click(other, offset=(10, 4))
        assert other.cursor == (3, 1)


def test_prints_show_what_screens_show(pretended: Database) -> None:
    run = find_run(pretended, "latest")
    (analysis,) = analyses_of(run)
    printed = {each.view.key: each.figure for each in shown(pretended, run, analysis)}
    assert list(printed) == KEYS, "the optional view is not there"
    for view in analysis.views:
        if view.key in printed:
            assert drawn(pretended, run.id, analysis, view).figure == printed[view.key]
    assert isinstance(printed["plane"], Scatter)
    assert isinstance(printed["neurons"], Table)
    assert len(printed["neurons"].rows) == len(pretend.LAYERS) * pretend.NEURONS


def test_a_choice_that_is_gone_settles_on_what_is_there(pretended: Database) -> None:
    run = find_run(pretended, "latest")
    (analysis,) = analyses_of(run)
    view = pretend.view("drop")
    opens = default_choice(view, catalogue(pretended, run.id, analysis.name))
    made = drawn(pretended, run.id, analysis, view, replace(opens, task="gone", metric_of="acc"))
    assert made.choice == opens


async def test_lines_without_a_point_are_no_figure(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=SMALL) as pilot:
        view = CurvesView()
        await app.push_screen(Screen())  # keys that a figure can't answer go to its screen
        await app.screen.mount(view)
        series = (Series("σ / σ₁", (), ()),)
        panel = Panel(title="", series=series)
        view.show(Lines(title="t", measure="m", unit="", x_label="rank", panels=(panel,)))
        view.focus()
        await pilot.press("right", "down")
        assert view.spot() is None
        assert "No values to show." in words(app)


@pytest.mark.parametrize("count", [2, 3, 4])
async def test_few_pictures_take_the_room_of_four(pretended: Database, count: int) -> None:
    """Two stand over both rows; a third stands over both columns."""
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=(200, 50)) as pilot:
        screen = await at(pilot, app, KEYS[0])
        assert screen.pictures is not None
        for pane in screen.pictures._panes[count:]:
            await pane.remove()
        del screen.pictures._panes[count:]
        await pilot.press("Z")
        await until(pilot, lambda: up_to_date(screen))
        shown = [pane.region for pane in screen.panes() if pane.region.area]
        assert len(shown) == count
        assert sum(region.area for region in shown) >= 0.95 * 200 * 46


async def test_a_step_that_a_picture_lacks_is_said(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await at(pilot, app, "plane")
        assert screen.pane is not None
        assert "layer" not in screen.pane.offered()
        await pilot.press(">")
        await until(pilot, lambda: any("no layer" in n.message for n in app._notifications))


async def test_lines_that_hide_one_another_stand_apart_where_there_is_room(
    pretended: Database,
) -> None:
    app = TauscopeApp(pretended.url)
    heights = dict(zip("abcdefgh", (*(1 + index / 1000 for index in range(7)), 9.0), strict=True))
    series = tuple(Series(n, (0, 1), (Cell(y, y), Cell(y, y))) for n, y in heights.items())
    figure = Lines(title="t", measure="m", unit="", x_label="layer", panels=(Panel("", series),))
    async with app.run_test(size=LARGE) as pilot:
        view = CurvesView()
        await app.push_screen(Screen())
        await app.screen.mount(view)

        def panels() -> list[str]:
            return [panel.title for panel in view.plot.panels]

        def model() -> str:
            spot = view.spot()
            return dict(spot.coordinates)["model"] if spot is not None else ""

        view.show(figure)
        view.focus()
        await until(pilot, lambda: panels() == list(heights))
        await pilot.press("down")
        assert model() == "b"
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: panels() == [""])
        assert model() == "b", "the cursor stays on its line"
        await pilot.resize_terminal(*LARGE)
        await until(pilot, lambda: len(panels()) == 8)
        await pilot.press("S")
        assert panels() == [""]
        view.show(figure)
        await pilot.press("right")
        assert panels() == [""], "what the user chose stays"


@pytest.mark.parametrize("titles", [("",), ("attention", "mlp")])
async def test_a_row_is_found_with_the_lines_together_and_apart(
    pretended: Database, titles: tuple[str, ...]
) -> None:
    app = TauscopeApp(pretended.url)

    def series(panel: int) -> tuple[Series, ...]:
        cells = ((Cell(y, y), Cell(y + 1, y + 1)) for y in (10.0 * panel, 10.0 * panel + 5))
        return tuple(Series(name, (0, 1), pair) for name, pair in zip("ab", cells, strict=True))

    panels = tuple(Panel(title, series(index)) for index, title in enumerate(titles))
    figure = Lines(title="t", measure="m", unit="", x_label="layer", panels=panels)
    async with app.run_test(size=LARGE) as pilot:
        view = CurvesView()
        await app.push_screen(Screen())
        await app.screen.mount(view)
        view.show(figure)
        view.focus()
        await until(pilot, view.filled)
        for _ in range(2):
            for place in itertools.product(range(2 * len(titles)), range(2)):
                view.cursor = place
                spot = view.spot()
                assert spot is not None
                assert spot.cell is not None
                (row,) = clipping(figure).row(view.row_names()).rows
                assert spot.cell.shown in row
            await pilot.press("S")


async def test_what_a_row_is_stays_in_sight_while_its_other_columns_pass(
    pretended: Database,
) -> None:
    app = TauscopeApp(pretended.url)
    names = [f"column.{index}" for index in range(12)]
    columns = (Column(name="recipe"), *(Column(name=name, align="right") for name in names))
    rows = tuple(
        (f"recipe {row}", *(f"{row}.{index:02d}" for index in range(12))) for row in range(3)
    )
    async with app.run_test(size=SMALL) as pilot:
        view = TableView()
        await app.screen.mount(view)
        view.show(Table(title="t", columns=columns, rows=rows))
        view.focus()
        await until(pilot, lambda: "recipe 2" in words(app))
        place = view.region

        def is_at(row: int, column: int) -> bool:
            return view.cursor == (row, column)

        for index, name in enumerate(names):
            await pilot.press("right")
            await until(pilot, partial(is_at, 0, index + 1))
            heading, first = visible(app)[place.y : place.y + 2]
            assert heading.startswith("recipe  ")
            assert first.startswith("recipe 0  ")
            assert name in heading
            assert f"0.{index:02d}" in first
            assert {word for word in heading.split() if word[0] == "c"} <= set(names), "whole ones"
        both: tuple[tuple[str | int, ...], ...] = tuple(
            (row, 100 + row, *cells) for row, (_, *cells) in enumerate(rows)
        )
        keyed = (Column(name="layer"), Column(name="neuron"), *columns[1:])
        view.show(Table(title="t", columns=keyed, rows=both, keys=2))
        await pilot.press(*["right"] * 13)
        await until(pilot, lambda: "column.11" in visible(app)[place.y])
        assert visible(app)[place.y].split()[:2] == ["layer", "neuron"], "what tells rows apart"
        assert visible(app)[place.y + 1].split()[:2] == ["0", "100"]
        view.show(Table(title="t", columns=columns, rows=rows))
        await until(pilot, lambda: "recipe 2" in words(app))
        x = visible(app)[place.y].index("column.11") + 6
        await pilot.click(offset=(x, place.y + 2))
        await until(pilot, lambda: view.cursor == (1, 12))
        await pilot.click(offset=(3, place.y + 3))
        await until(pilot, lambda: view.cursor == (2, 0))
        await until(pilot, lambda: "column.0" in visible(app)[place.y])


async def test_a_text_scrolls_and_steps_through_its_items(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await at(pilot, app, "document")
        pane = screen.pane
        assert pane is not None
        assert isinstance(pane.figure, PassagesView)
        assert "first (1 of 3)" in words(app)
        assert "document" in readout(screen)
        assert "loss 1.25" in readout(screen)
        await pilot.press("end")
        assert pane.figure.top == pane.figure.bottom() > 0
        assert "long" in readout(screen)
        await pilot.press("J")
        await until(pilot, lambda: up_to_date(screen))
        assert "second (2 of 3)" in words(app)
        assert pane.figure.top == 0, "another text is read from its beginning"
        await pilot.press("K", "K")
        await until(pilot, lambda: up_to_date(screen))
        assert "third (3 of 3)" in words(app)
        assert_inside(screen)


async def test_four_pictures_show_at_once_on_a_key(pretended: Database) -> None:
    app = TauscopeApp(pretended.url)

    def shown(screen: RunScreen) -> list[str]:
        return [pane.view.key for pane in screen.panes() if pane.region.area]

    async with app.run_test(size=(200, 50)) as pilot:
        screen = await opened(pilot, app)
        assert shown(screen) == list(KEYS[:2])
        await pilot.press("Z")
        await until(pilot, lambda: shown(screen) == list(KEYS[:4]))
        await until(pilot, lambda: up_to_date(screen))
        assert_inside(screen)
        await pilot.press("z")
        await until(pilot, lambda: shown(screen) == [KEYS[0]])
        await pilot.press("z", "Z")
        await until(pilot, lambda: shown(screen) == list(KEYS[:2]))
