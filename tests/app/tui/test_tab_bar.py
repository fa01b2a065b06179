"""The row of tabs: one number a topic, whole at 80 columns, and the keys that go through it."""

from __future__ import annotations

import pytest

from app.tui.app import TauscopeApp
from app.tui.screens.run import OVERVIEW as OVERVIEW_TAB
from app.tui.widgets.tab_bar import CHOSEN, NEAR, Tab, numbered, tabs_line
from core.engine import registry
from storage.database import Database
from tests.app.tui.display import SMALL, opened

OVERVIEW, RUN = Tab("Overview", "Ovr"), Tab("Run", "Run")
WHOLE = [OVERVIEW, *(Tab.of(registry.get(name)) for name in registry.names()), RUN]


@pytest.mark.parametrize("width", [30, 60, 80, 160])
def test_tabs_fit(width: int) -> None:
    titles = ["Vectors", "Cosine between tuning vectors", "Alignment", "Run", "[b]x[/]"]
    for chosen in range(len(titles)):
        line = tabs_line([Tab(title, title) for title in titles], chosen, width)
        assert line.cell_length <= width
        assert f" {chosen + 1} " in line.plain


def test_analyses_of_a_topic_are_neighbours_under_one_number() -> None:
    groups = numbered(WHOLE)
    assert [index for places in groups for index in places] == list(range(len(WHOLE)))
    topics = [WHOLE[places.start].topic for places in groups]
    assert (topics[0], topics[-1]) == ("", "")
    assert topics[1:-1] == [t for t in registry.TOPICS if t in topics], "each once, in order"
    assert {WHOLE[index].topic for places in groups[1:-1] for index in places} == set(topics[1:-1])
    assert len(groups) <= 10, "a key for each number, 0 included"


@pytest.mark.parametrize("chosen", range(len(WHOLE)), ids=lambda index: WHOLE[index].title)
def test_every_tab_of_a_whole_run_can_be_read_at_80_columns(chosen: int) -> None:
    line = tabs_line(WHOLE, chosen, 80, 0)
    assert line.cell_length <= 80
    assert "…" not in line.plain
    assert WHOLE[chosen].title in line.plain
    groups = numbered(WHOLE)
    for number, places in enumerate(groups):
        assert f" {number} " in line.plain
        if chosen not in places:
            tab = WHOLE[places.start]
            pair = (tab.title, tab.short) if len(places) == 1 else registry.TOPICS[tab.topic]
            assert f" {number} {pair[0]} " in line.plain or f" {number} {pair[1]} " in line.plain


def test_the_chosen_topic_names_its_tabs_where_they_fit() -> None:
    tabs = [Tab("Vectors", "Vec", "weights"), Tab("Cosine", "Cos", "weights"), RUN]
    assert tabs_line(tabs, 1, 40).plain.split() == ["1", "Vectors", "Cosine", "2", "Run"]
    assert tabs_line(tabs, 1, 22).plain.split() == ["1", "Cosine", "2/2", "2", "Run"]
    assert tabs_line(tabs, 2, 40).plain.split() == ["1", "Weights", "2", "Run"]
    styles = {
        tabs_line(tabs, 1, 40).plain[span.start : span.end]: str(span.style)
        for span in tabs_line(tabs, 1, 40).spans
        if "accent" in str(span.style)
    }
    assert (styles[" Cosine "], styles[" Vectors "]) == (CHOSEN, NEAR)


def test_titles_in_three_letters_are_told_apart() -> None:
    groups = numbered(WHOLE)
    alone = [WHOLE[places.start].short for places in groups if len(places) == 1]
    shorts = [*alone, *(registry.TOPICS[WHOLE[p.start].topic][1] for p in groups if len(p) > 1)]
    assert len(set(shorts)) == len(shorts) == len(groups)
    assert {len(short) for short in shorts} == {3}


async def test_a_number_goes_to_its_topic_through_it_and_back_to_the_tab_shown_last(
    filled: Database,
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app)
        seen = [screen.tab]
        for key in ("1", "1", "1", "2", "1", "0", "1", "9", "tab", "shift+tab"):
            await pilot.press(key)
            seen.append(screen.tab)
        assert [each.topic for each in screen.analyses] == ["weights", "weights", "directions"]
        assert seen == [0, 1, 0, 1, 2, 1, OVERVIEW_TAB, 1, 1, 2, 1]
