"""Comparing two runs, driven by keys."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from textual.pilot import Pilot
from textual.widgets import Input

from app.config import Config
from app.render.data.single import Request, serve
from app.tui.app import TauscopeApp
from app.tui.keys import rebind
from app.tui.screens.compare import CompareScreen
from app.tui.screens.help import HelpScreen
from app.tui.screens.jump import JumpScreen
from app.tui.screens.pick import PickScreen
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.bar import Row
from app.tui.widgets.run_list import RunList
from app.tui.widgets.side import Side
from storage.database import Database, open_database
from storage.runs import create_run, list_runs
from storage.schema import RunRow
from tests import pretend
from tests.app.results.two_runs import keep, other_rows
from tests.app.tui.conftest import HOSTILE, study
from tests.app.tui.display import LARGE, SMALL, assert_inside, visible, words
from tests.app.tui.rest import until

KEYS = [view.key for view in pretend.VIEWS if not view.optional]


@pytest.fixture
def both(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Database:
    pretend.register(monkeypatch)
    db = open_database(str(tmp_path_factory.mktemp("db") / "runs.db"))
    keep(db, "second", other_rows())
    keep(db, "first", pretend.rows())
    return db


async def compared(pilot: Pilot[str | None], app: TauscopeApp) -> CompareScreen:
    """The newest run against the one before."""
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
    await pilot.press("space", "j", "equals_sign")
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and up_to_date(app.screen))
    screen = app.screen
    assert isinstance(screen, CompareScreen)
    return screen


def up_to_date(screen: CompareScreen) -> bool:
    sides = screen.panes()
    return bool(sides) and all(
        side.pair is not None and side.pair.choice == side.choice for side in sides
    )


def seen(screen: CompareScreen) -> list[int]:
    return [side.number for side in screen.panes() if side.region.area]


def readout(side: Side | None) -> str:
    assert side is not None
    return str(side.query_one("#readout", Row).words)


async def test_marks_say_which_runs_are_compared(both: Database) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "second" in words(app))
        listing = app.screen.query_one(RunList)
        assert "= compare" not in words(app)
        await pilot.press("equals_sign")
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("space")
        assert visible(app)[2].startswith("=")
        assert "= compare" not in words(app)  # it would be with itself
        await pilot.press("j")
        await until(pilot, lambda: "= compare" in words(app))
        await pilot.press("space")
        assert visible(app)[3].startswith("=")
        first, second = (run.id for run in listing.items)
        assert listing.compared == (first, second)
        await pilot.press("k", "space", "space")  # marked anew, so it is the later one
        assert listing.compared == (second, first)
        await pilot.press("space", "j", "space")
        assert listing.compared is None


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_every_view_is_compared_inside_the_screen(
    both: Database, size: tuple[int, int]
) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=size) as pilot:
        screen = await compared(pilot, app)
        assert "A first" in visible(app)[0]
        assert "B second" in visible(app)[0]
        for key in KEYS:
            assert screen.pane is not None
            assert screen.pane.view.key == key
            assert seen(screen) == ([0] if size == SMALL else [0, 1])
            await pilot.press("right", "down", "end", "pagedown", "home")
            assert_inside(screen)
            await pilot.press("B")
            assert seen(screen) == ([1] if size == SMALL else [0, 1])
            assert screen.pane.number == 1
            assert screen.pane.figure.has_focus
            await pilot.press("minus")
            has = screen.pair is not None and screen.pair.difference is not None
            assert has == (key not in ("neurons", "document"))
            assert (seen(screen) == [2]) == has
            if has:
                assert "B − A" in words(app)
                assert_inside(screen)
                await pilot.press("minus")
            await pilot.press("B", "v")
            await until(pilot, lambda: up_to_date(screen))


async def test_the_cursor_is_on_both_and_on_the_difference(both: Database) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await compared(pilot, app)
        await pilot.press("down", "down", "down", "right", "right")
        first, second, apart = screen.panes()
        await until(pilot, lambda: "model maths  layer 2" in readout(second))
        values = [f.places()["maths", "2"].value for f in first.pair.figures] if first.pair else []
        want = f"A {values[0]:g}  ·  B {values[1]:g}  ·  B − A +0.5"
        assert want in readout(first)
        assert want in readout(second)
        await pilot.press("minus")
        await until(pilot, lambda: "model maths  layer 2" in readout(apart))
        assert "activated 0.5" in readout(apart)
        assert want in readout(apart)
        await pilot.press("right", "minus")
        await until(pilot, lambda: "layer 3" in readout(first))


async def test_what_only_one_run_has_says_so(both: Database) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await compared(pilot, app)
        await pilot.press("down", "down")
        await until(pilot, lambda: "model medical" in readout(screen.pane))
        assert "A 2  ·  B not measured" in readout(screen.pane)
        await pilot.press("minus")
        await until(pilot, lambda: "Only A has model medical" in words(app))
        assert "Largest difference: +0.5" in words(app)


async def test_choices_are_one_for_both(both: Database) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await compared(pilot, app)
        await pilot.press("v", "v")
        await until(pilot, lambda: up_to_date(screen))
        await pilot.press("B", "i", "m")
        await until(pilot, lambda: up_to_date(screen))
        choices = {side.choice for side in screen.panes()}
        (choice,) = choices
        assert choice is not None
        assert (choice.measure, choice.setting) == ("score", "top-10%")
        await pilot.press("V", "v")
        for _ in KEYS[1:]:
            await until(pilot, lambda: up_to_date(screen))
            await pilot.press("v")
        await until(pilot, lambda: up_to_date(screen))
        assert screen.pane is not None
        assert screen.pane.view.key == "drop"
        assert screen.pane.choice == choice  # as it was left


async def test_layers_are_matched_by_depth(both: Database) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await compared(pilot, app)
        assert "% layers" in visible(app)[-1]
        await pilot.press("minus")
        await until(pilot, lambda: "matched by number" in words(app))
        assert "by relative depth" not in visible(app)[0]
        await pilot.press("percent_sign")
        await until(pilot, lambda: "at the layers of A" in " ".join(words(app).split()))
        assert screen.by_depth
        assert "by relative depth" in visible(app)[0]
        await pilot.press("percent_sign")
        await until(pilot, lambda: "by relative depth" not in words(app))
        assert "A first" in visible(app)[0]


@pytest.mark.parametrize(
    ("size", "more"),
    [(SMALL, "3 analyses only in A"), (LARGE, "only A has Vectors, Cosine, Alignment")],
)
async def test_the_title_says_what_only_one_run_has(
    both: Database, size: tuple[int, int], more: str
) -> None:
    keep(both, "fourth", pretend.rows())
    keep(both, "fifth", pretend.rows(), besides=("tuning_vectors", "vector_cosine", "alignment"))
    app = TauscopeApp(both.url)
    async with app.run_test(size=size) as pilot:
        await compared(pilot, app)
        title = visible(app)[0].rstrip()
        assert title.startswith(" compare  A fifth ")
        assert title.endswith(more)
        await pilot.press("question_mark")
        wanted = "Only A has Vectors, Cosine, Alignment."
        await until(pilot, lambda: wanted in " ".join(words(app).split()))


async def test_one_measurement_of_both_says_so(both: Database) -> None:
    keep(both, "third", [], adopted=("first",))
    app = TauscopeApp(both.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await compared(pilot, app)
        await pilot.press("v")
        await until(pilot, lambda: up_to_date(screen))
        await pilot.press("minus", "right")
        apart = screen.pane
        await until(pilot, lambda: "B − A +0 (the same measurement)" in readout(apart))
        assert "chance" not in readout(apart)
        assert "places are the same measurements." in words(app)


async def test_what_the_studies_asked_stands_on_both_sides_and_in_the_file(
    both: Database, tmp_path: Path
) -> None:
    second = next(run for run in list_runs(both) if run.name == "second")
    with both.writing() as connection:  # as a version would leave it that had another parameter
        asked = study("second").model_dump(mode="json") | {"analyses": {"alignment": {"gone": 1}}}
        connection.execute(update(RunRow).where(RunRow.id == second.id).values(study=asked))
    app = TauscopeApp(both.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await compared(pilot, app)
        await until(pilot, lambda: words(app).count("The study of one run") == 2)
        ids, pane = screen.ids, screen.pane
        assert pane is not None
        assert pane.choice is not None
    wanted = Request(
        db=both.url, run=ids[0], against=ids[1], side=2, format="txt", folder=str(tmp_path),
        analysis=pane.analysis.name, view=pane.view.key, choice=asdict(pane.choice),
    )  # fmt: skip
    text = " ".join(serve(wanted).read_text().split())
    assert "Note: the study of one run" in text


async def test_help_and_the_way_back(both: Database) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=SMALL) as pilot:
        await compared(pilot, app)
        await pilot.press("question_mark")
        await until(
            pilot, lambda: isinstance(app.screen, HelpScreen) and "quadrature" in words(app)
        )
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_runs_without_anything_in_common_say_so(both: Database) -> None:
    create_run(both, study(HOSTILE[:40]), ["alignment"])
    app = TauscopeApp(both.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "second" in words(app))
        await pilot.press("space", "j", "equals_sign")
        await until(pilot, lambda: "do not share any analysis" in words(app))
        await pilot.press("minus", "B", "v", "m", "tab", "3", "percent_sign", "x")
        assert_inside(app.screen)
        assert "\x1b" not in words(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_letters_go_to_the_other_side(both: Database) -> None:
    app = TauscopeApp(both.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await compared(pilot, app)
        await pilot.press("apostrophe")
        await until(pilot, lambda: isinstance(app.screen, JumpScreen))
        assert isinstance(app.screen, JumpScreen)
        letters = {target.action: letter for letter, target in app.screen.targets.items()}
        assert {"screen.tab(1)", "screen.pick(0)", "screen.pick(1)"} == letters.keys()
        await pilot.press(letters["screen.pick(1)"])
        await until(pilot, lambda: app.screen is screen and screen.side == 1)
        assert screen.pane is screen.panes()[1]


async def test_a_key_that_is_given_to_one_run_is_given_here_too(both: Database) -> None:
    app = TauscopeApp(both.url, Config(keys={"run.view": "w"}))
    try:
        async with app.run_test(size=SMALL) as pilot:
            screen = await compared(pilot, app)
            await pilot.press("v")
            assert screen.place == (0, 0)
            await pilot.press("w")
            await until(pilot, lambda: screen.place == (0, 1))
            assert " w view" in words(app)
    finally:
        rebind({})


async def test_what_is_compared_is_copied_and_written(
    both: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[dict[str, Any]] = []
    monkeypatch.setattr("app.tui.screens.export._write", lambda *given: requests.append(given[-1]))
    app = TauscopeApp(both.url)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SMALL) as pilot:
        screen = await compared(pilot, app)
        await pilot.press("Y", "c")
        await until(pilot, lambda: copied)
        for keys in (["X"], ["B", "X"], ["minus", "X"]):
            await pilot.press(*keys)
            await until(pilot, lambda: isinstance(app.screen, PickScreen))
            assert "The whole run" not in words(app)
            app.screen.query_one(Input).value = str(tmp_path)
            await pilot.press("c")
            await until(pilot, lambda: app.screen is screen)
    assert [request["side"] for request in requests] == [0, 1, 2]
    first, second, less = (
        list(csv.reader(serve(Request(db=both.url, **r)).read_text().splitlines()))
        for r in requests
    )
    assert "".join(",".join(row) + "\n" for row in first) == copied[0]
    a, b, apart = (
        {
            (*row[:2], name): float(value)  # the panel, the layer and the model
            for row in rows[1:]
            for name, value in zip(rows[0][2:], row[2:], strict=True)
            if value
        }
        for rows in (first, second, less)
    )
    assert apart
    assert apart == {place: pytest.approx(b[place] - a[place]) for place in a.keys() & b.keys()}
    text = serve(Request(db=both.url, **requests[2] | {"format": "txt"})).read_text()
    assert "B − A: first" in text
    for kind in ("svg", "png", "parquet", "md"):
        assert serve(Request(db=both.url, **requests[2] | {"format": kind})).stat().st_size > 100
    assert len(list(tmp_path.iterdir())) == 8
