"""The overview of a run: what it says, what is selected, and where enter leads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.tui.app import TauscopeApp
from app.tui.screens.run import RunScreen
from app.tui.screens.run_parts import OVERVIEW
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.overview import OverviewView
from core.engine.measurement import Unit, UnitResult
from core.study.study import Evaluation
from storage.database import Database
from storage.runs import claim, create_run, finish
from storage.sink import RunSink
from tests.app.tui.conftest import MODELS, study
from tests.app.tui.display import BOTH, LARGE, SMALL, drawn, on, visible, words
from tests.app.tui.rest import until
from tests.core.overview.samples import difference, row

TASKS = {"medical": ("medqa",), "maths": ("gsm8k",), "general": ("stories",)}


@pytest.fixture
def scored(db: Database) -> tuple[Database, str, RunSink, int]:
    """A run at work, with sizes and scores so far."""
    asked = study("domains").model_copy(update={"evaluation": Evaluation(tasks=TASKS)})
    run_id = create_run(db, asked, ["tuning_vectors", "alignment", "evaluation"])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    sizes = [
        row("relative_norm", (index + 1) / 10, model=model, module=module, layer=layer)
        for index, model in enumerate(reversed(MODELS))
        for module in ("all", "attention", "mlp", "blocks")
        for layer in ((None,) if module == "all" else (None, 0, 1))
    ]
    scores = [difference("medical", "medqa", 0.5), difference("maths", "stories", -0.3)]
    scores += [
        replace(each, metric="acc", value=0.5, metric_of="", reference="") for each in scores
    ]
    for name, rows in (("tuning_vectors", sizes), ("evaluation", scores)):
        state = {"scores": {"acc": {"value": 0.5, "higher": True}}}
        sink.save(Unit(key=name, analysis=name, label=""), UnitResult(rows, state=state), 1.0)
    return db, run_id, sink, attempt


async def arrived(pilot: object, app: TauscopeApp) -> tuple[RunScreen, OverviewView]:
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)  # type: ignore[arg-type]
    await pilot.press("enter")  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and drawn(app.screen))  # type: ignore[arg-type]
    screen = on(app, RunScreen)
    return screen, screen.query_one(OverviewView)


@BOTH
async def test_a_run_opens_on_its_cards_and_findings(
    scored: tuple[Database, str, RunSink, int], size: tuple[int, int]
) -> None:
    db, run_id, _, attempt = scored
    finish(db, run_id, attempt, "done")
    app = TauscopeApp(db.url)
    async with app.run_test(size=size) as pilot:
        screen, view = await arrived(pilot, app)
        assert screen.tab == OVERVIEW
        assert view.has_focus
        text = words(app)
        for model in MODELS[:-1]:
            assert model in text
        assert "(retrained)" in text
        assert "medical is better than the base on medqa (medical)" in text
        assert "enter: Scores: Difference from the base" in text
        assert all(len(line) <= size[0] for line in visible(app))


async def test_enter_opens_the_figure_of_a_finding_and_escape_comes_back(
    scored: tuple[Database, str, RunSink, int],
) -> None:
    db, run_id, _, attempt = scored
    finish(db, run_id, attempt, "done")
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen, view = await arrived(pilot, app)
        assert view.overview is not None
        kinds = [finding.kind for finding in view.overview.findings]
        for _ in range(kinds.index("loss")):
            await pilot.press("down")
        await pilot.press("enter")
        await until(pilot, lambda: screen.tab == 2 and drawn(screen))
        pane = screen.pane
        assert pane is not None
        assert pane.view.key == "difference"
        await until(pilot, lambda: pane.here().get("task") == "stories")
        assert pane.here()["model"] == "maths"
        await pilot.press("escape")
        await until(pilot, lambda: screen.tab == OVERVIEW)
        assert view.selected == len(MODELS) + kinds.index("loss"), "where it was left"
        await pilot.press("g", "enter")
        await until(pilot, lambda: screen.tab == 0 and drawn(screen))
        assert screen.pane is not None
        assert screen.pane.view.key == "modules"
        await pilot.press("0")
        await until(pilot, lambda: screen.tab == OVERVIEW)
        await pilot.press("shift+tab")
        await until(pilot, lambda: screen.tab == 3)
        await pilot.press("tab", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_selected_card_is_told_in_full_within_the_screen(
    scored: tuple[Database, str, RunSink, int],
) -> None:
    db, run_id, _, attempt = scored
    finish(db, run_id, attempt, "done")
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        _, view = await arrived(pilot, app)
        for item, card in enumerate(view.overview.cards if view.overview else ()):
            await pilot.press("g", *["down"] * item)
            text = words(app)
            assert "of the base's norm" in text, card.model
            assert "most in layer" in text
        await pilot.press("G")
        assert "enter: " in words(app)
        assert view.selected == view.count - 1
        cards, last = len(view.overview.cards) if view.overview else 0, view.count - 1
        assert 0 < cards < last
        for way, stop in ((-1, cards), (-1, 0), (-1, 0), (1, cards), (1, last), (1, last)):
            view.action_page(way)
            assert view.selected == stop, "the first card, the first finding, the last one"


async def test_it_fills_as_analyses_finish_and_says_what_it_waits_for(
    scored: tuple[Database, str, RunSink, int],
) -> None:
    db, run_id, sink, attempt = scored
    app = TauscopeApp(db.url)
    async with app.run_test(size=LARGE) as pilot:
        _, view = await arrived(pilot, app)
        assert "Still to come: Alignment." in words(app)
        excess = row("two_sided_excess", -0.2, 0.01, model="medical", module="mlp", chance=0.0, n=9)
        sink.save(Unit(key="a", analysis="alignment", label=""), UnitResult([excess]), 1.0)
        finish(db, run_id, attempt, "done")
        await until(pilot, lambda: "avoid the base's own directions" in words(app))
        assert "Still to come" not in words(app)
        assert view.overview is not None


async def test_a_run_whose_values_say_nothing_says_so(db: Database) -> None:
    run_id = create_run(db, study(), ["alignment"])
    finish(db, run_id, claim(db, run_id), "done")
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await arrived(pilot, app)
        assert "Nothing exceeds chance." in words(app)


@BOTH
async def test_a_long_reason_is_folded(db: Database, size: tuple[int, int]) -> None:
    create_run(db, study(), ["alignment"])
    app = TauscopeApp(db.url)
    async with app.run_test(size=size) as pilot:
        _, view = await arrived(pilot, app)
        view.refuse("many words, " * 20 + "and the last one")
        await until(pilot, lambda: "and the last one" in words(app))
