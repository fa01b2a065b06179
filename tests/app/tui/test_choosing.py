"""Choosing by typing, and going by name: the picker of a picture and the palette."""

from __future__ import annotations

import re

import pytest
from textual.command import CommandList
from textual.widgets import OptionList

from app.tui.app import TauscopeApp
from app.tui.screens.choose import ChooseScreen, found
from app.tui.screens.run import RunScreen
from app.tui.steering import Offer, offers
from core.figures.choices import default_choice, settled
from core.figures.views import Choice
from storage.database import Database
from tests import pretend
from tests.app.tui.display import BOTH, LARGE, SMALL, assert_inside, drawn, opened, words
from tests.app.tui.rest import until
from tests.core.figures.samples import RANGES


def _offer(name: str, value: str) -> Offer[Choice]:
    return Offer(name, value, Choice(measure=value), current=False)


def test_words_are_found_in_names_and_values_and_the_nearest_stands_first() -> None:
    every = [_offer("model", "control"), _offer("model", "o1"), _offer("module", "o")]
    assert [each.value for each in found(every, "")] == ["control", "o1", "o"]
    assert [each.value for each in found(every, "o")] == ["o", "o1", "control"]
    assert [each.value for each in found(every, "module o")] == ["o"]
    assert [each.value for each in found(every, "MODEL con")] == ["control"]
    assert found(every, "layer") == ()


@pytest.mark.parametrize("key", ["drop", "grid", "neurons", "plane"])
def test_every_value_is_offered_once_and_what_is_chosen_now_is_told(key: str) -> None:
    view = pretend.view(key)
    now = default_choice(view, RANGES)
    made = list(offers(view, now, RANGES, pretend.ANALYSIS.metric))
    assert len({(each.name, each.value) for each in made}) == len(made) > 1
    names = [each.name for each in made]
    assert names == sorted(names, key=names.index), "the values of one stand together"
    for each in made:
        assert each.current == (each.choice == now), each
        assert settled(view, each.choice, RANGES) == each.choice


async def test_a_model_is_chosen_by_typing(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "2")
        assert screen.pane is not None
        await pilot.press("space")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert_inside(app.screen)
        await pilot.press(*"model maths", "enter")
        await until(pilot, lambda: app.screen is screen and drawn(screen))
        await until(pilot, lambda: "model maths" in words(app))
        before = screen.pane.choice
        await pilot.press("space")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        await pilot.press(*"no such thing", "enter")
        assert "No match." in words(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert screen.pane.choice == before


async def test_the_palette_goes_to_analyses_figures_measures_models_and_runs(
    filled: Database,
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app)

        async def go(name: str) -> None:
            await pilot.press("colon", *name)
            await until(pilot, lambda: app.screen.query_one(CommandList).option_count)
            await until(pilot, lambda: app.screen.query_one(OptionList).highlighted is not None)
            await pilot.press("enter")

        await go("intruder")
        await until(pilot, lambda: screen.pane and screen.pane.choice is not None)
        await until(pilot, lambda: screen.pane and screen.pane.choice.measure == "intruders")  # type: ignore[union-attr]
        await go("cosine of tuning vectors")
        await until(pilot, lambda: screen.pane and screen.pane.analysis.name == "vector_cosine")
        await go("maths")
        await until(pilot, lambda: screen._pointed.get("model") == "maths")
        names = {each.title: each for each in app.get_system_commands(app.screen)}
        other = next(title for title in names if title.startswith("finished-one"))
        await go(other)
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen is not screen)
        assert len(app.screen_stack) == 3


@BOTH
async def test_a_command_and_its_key_are_one_line(filled: Database, size: tuple[int, int]) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app, "2")
        await pilot.press("colon")
        commands = app.screen.query_one(CommandList)
        await until(pilot, lambda: commands.option_count > 20)
        assert commands.virtual_size.height < commands.option_count + 5, "hardly any takes two"
        await pilot.press(*"cancel")
        await until(pilot, lambda: re.search(r"Cancel this run {9,}c\b", words(app)))
