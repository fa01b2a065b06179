"""The guided builder driven by keys: what is typed, what is said of it, and what comes of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input, Static

from app import config
from app.drafts import building, studyfile
from app.drafts.building import DOMAINS, TUNED, Draft
from app.jobs import preflight
from app.library.appraisal import Entry
from app.tui import outlook, pages
from app.tui.app import TauscopeApp
from app.tui.completion import tasks
from app.tui.completion import words as completed
from app.tui.memory import Memory, draft_of
from app.tui.outlook import foresee
from app.tui.screens.builder import BuilderScreen
from app.tui.screens.confirm import ConfirmScreen
from app.tui.screens.models import ALL, LOOKING, ModelsScreen, Offers, offers
from app.tui.screens.run import RunScreen
from app.tui.screens.runs import RunsScreen
from app.tui.screens.start import StartScreen
from app.tui.widgets.form import Form, line
from core.engine import registry
from core.errors import RunError
from core.study import intake
from core.study.study import Study
from storage.database import Database
from storage.runs import create_run, list_runs
from tests.app.families import write_family
from tests.app.tui.display import BOTH, LARGE, SMALL, assert_inside, on, visible, words
from tests.app.tui.hostile import WORDS, assert_harmless
from tests.app.tui.rest import until
from tests.conftest import WEIGHTS

BASE, CHAT, MEDICAL = "org/x-7b", "org/x-7b-chat", "/models/medical"
FOUND: dict[str, Any] = {
    "study": "x", "device": "cuda:0", "needed": {"cuda:0": 2**34, "cpu": 2**30}, "notes": [],
    "shares": [{
        "analysis": "alignment", "units": 9, "finished": 2, "asked": [["pubmedqa", 2, 50]],
        "forward": 0, "backward": 6000, "ranked": 70, "stored": 0,
        "seconds": 90.0, "measured": False,
    }],
    "models": [{
        "model": "base", "parameters": 7_600_000_000, "read": 2**33, "loads": 1, "as_vector": 0,
        "stored": 2**34, "places": [["cuda:0", ["a", "b"], 2**34], ["cpu", ["c"], 2**30]],
    }],
    "seconds": 120.0, "rough": True, "skipped": {}, "here": 1,
    "spread": [{"cards": 1, "seconds": 120.0, "shares": []},
               {"cards": 2, "seconds": 60.0, "shares": []}],
}  # fmt: skip


def entry(name: str, *parents: str) -> Entry:
    return Entry(
        name=name, path=Path("/models"), kind="model", parameters=7_600_000_000, size=2**34,
        dtype="bfloat16", architecture="llama", parents=parents,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that are on no machine, a preflight that asks nobody, and a folder of the test's."""
    entries = (entry("aaa/other"), entry(BASE), entry(CHAT, BASE), entry(MEDICAL, CHAT))
    monkeypatch.setattr("app.library.catalogue.scan", lambda folders: entries)

    async def foresee(draft: Draft, url: str) -> dict[str, Any]:
        return FOUND

    monkeypatch.setattr(outlook, "foresee", foresee)
    monkeypatch.setattr("app.jobs.launcher.check", lambda study, **_: None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


async def builder(pilot: Pilot[str | None], app: TauscopeApp, *keys: str) -> BuilderScreen:
    """The builder, opened from the list of runs, after some keys."""
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
    await pilot.press("n")
    await until(pilot, lambda: isinstance(app.screen, BuilderScreen) and app.screen.entries)
    screen = app.screen
    assert isinstance(screen, BuilderScreen)
    for key in keys:
        await press(pilot, key)
    return screen


async def press(pilot: Pilot[str | None], *keys: str) -> None:
    await pilot.press(*keys)


async def add(pilot: Pilot[str | None], app: TauscopeApp, typed: str) -> None:
    """Choose a base or add a tuned model by what is typed into the list of models."""
    await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
    app.screen.query_one(Input).value = typed
    await press(pilot, "enter")
    await until(pilot, lambda: isinstance(app.screen, BuilderScreen))


async def type_into(pilot: Pilot[str | None], screen: BuilderScreen, text: str) -> None:
    """Type into the selected line, over what it held."""
    await press(pilot, "enter")
    screen.query_one(Input).value = text
    await press(pilot, "enter")


async def family(pilot: Pilot[str | None], app: TauscopeApp) -> BuilderScreen:
    """A base with two tuned models."""
    screen = await builder(pilot, app, "enter")
    await add(pilot, app, BASE)
    for path in (CHAT, MEDICAL):
        await press(pilot, "a")
        await add(pilot, app, path)
    return screen


async def test_a_model_is_offered_once_also_by_a_late_search(db: Database) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await family(pilot, app)
        found, screen.entries = screen.entries, None
        assert found is not None
        await press(pilot, "a")
        await until(pilot, lambda: LOOKING in words(app))
        screen._scanned(found)
        await until(pilot, lambda: LOOKING not in words(app))
        listing = app.screen.query_one(Offers)
        assert list(map(listing.key, listing.items)) == ["aaa/other"]
        screen._scanned(found[1:])
        await until(pilot, lambda: all(line in words(app) for line in ALL.split("\n")))


async def seed(pilot: Pilot[str | None], screen: BuilderScreen, text: str) -> None:
    """Type a random seed."""
    await press(pilot, "5", "end")
    while current(screen) != "run.seed":
        await press(pilot, "up")
    await type_into(pilot, screen, text)


def current(screen: BuilderScreen) -> str:
    item = screen.query_one(Form).current
    return item.key if item else ""


@BOTH
async def test_a_study_is_built_by_keys_and_started(
    db: Database, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(
        "app.jobs.launcher.start_detached", lambda url, run_id, **_: started.append(run_id) or 1
    )
    app = TauscopeApp(db.url, remembered=tmp_path / "state.json")
    async with app.run_test(size=size) as pilot:
        screen = await family(pilot, app)
        assert [m["name"] for m in screen.draft.tuned] == ["chat", "medical"]
        assert building.value(screen.draft, f"{TUNED}.1.parent") == "chat", "lineage fills in"
        assert_inside(screen)
        await press(pilot, "tab", "right")
        assert screen.draft.probe == "code"
        await press(pilot, "a")
        assert screen.query_one(Input).value == "general", "a further set is offered"
        screen.query_one(Input).value = "task:pubmedqa"
        await press(pilot, "enter")
        assert screen.draft.probes == ({"name": "general", "texts": "task:pubmedqa"},)
        await press(pilot, "D")
        assert not screen.draft.probes
        await press(pilot, "tab", "a")
        screen.query_one(Input).value = "pubmedqa"
        await press(pilot, "enter")
        await press(pilot, "4", "down", "space")
        assert screen.draft.without == ("vector_cosine",)
        await seed(pilot, screen, "7")
        for step in "123456":
            await press(pilot, step)
            assert max(cell_len(row) for row in visible(app)) <= size[0]
            assert_inside(screen)
        await until(pilot, lambda: "2 min" in words(app))
        text = words(app)
        assert "about 60 s on 2 cards" in " ".join(text.split())
        for expected in ("7 units", "a rough estimate", "16.0 GiB", "cuda:0", "x-7b.toml"):
            assert expected in text, expected
        await press(pilot, "s")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        (run,) = list_runs(db)
        assert started == [run.id]
        assert "vector_cosine" not in run.analyses
        assert {"alignment", "activation", "evaluation", "arithmetic"} <= set(run.analyses)
        read = intake.read(Path("x-7b.toml"))
        assert read.models.tuned["medical"].parent == "chat"
        assert read.run.seed == 7
        assert app.memory.draft is None, "what was built is in its file now"


async def test_arrows_select_on_a_page_that_is_longer_than_the_screen(db: Database) -> None:
    """A page that can scroll has its own use for them."""
    app = TauscopeApp(db.url)
    async with app.run_test(size=(80, 12)) as pilot:
        screen = await family(pilot, app)
        await press(pilot, "4")
        form = next(form for form in screen.query(Form) if form.region)
        assert form.max_scroll_y > 0
        before = form.at
        await press(pilot, "down", "down")
        assert form.at == before + 2
        await press(pilot, "up")
        assert form.at == before + 1
        await press(pilot, "end")
        assert form.at == len(form.items) - 1
        await press(pilot, "home")
        assert form.at == 0


@BOTH
async def test_what_is_wrong_is_said_at_the_field_while_it_is_typed(
    db: Database, size: tuple[int, int]
) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=size) as pilot:
        screen = await family(pilot, app)
        assert "complete, 6 checks it" in visible(app)[0]
        await press(pilot, "enter", "down", "enter", "slash")
        assert screen.query_one(Input).value == "medical/"
        await until(
            pilot,
            lambda: visible(app)[-1].split() == ["enter", "done", "tab", "complete", "esc", "done"],
        )
        place = next(y for y, row in enumerate(visible(app)) if "▌" in row)
        assert "letters," in visible(app)[place + 1], "below the line that is typed"
        assert "1 problem" in visible(app)[0]
        assert "1 Models !" in visible(app)[1]
        assert_inside(screen)
        await press(pilot, "backspace")
        assert "letters," not in visible(app)[place + 1]
        await press(pilot, "escape", "4", "enter", "j")
        await press(pilot, "4", "j", "j", "j", "j", "enter", "j", "enter", "9")
        await until(pilot, lambda: "must be 1 or less" in words(app))
        await press(pilot, "escape", "6")
        (fault,) = (row for row in visible(app)[2:] if "4 Analyses" in row)
        assert "energy: must be 1 or less" in fault
        await press(pilot, "s", "w")
        assert list(Path.cwd().iterdir()) == []
        await press(pilot, "enter")
        assert screen.step == pages.ANALYSES
        assert current(screen) == "analyses.alignment.energy"


async def test_nothing_typed_is_lost(db: Database, tmp_path: Path) -> None:
    remembered = tmp_path / "state.json"
    app = TauscopeApp(db.url, remembered=remembered)
    async with app.run_test(size=SMALL) as pilot:
        screen = await family(pilot, app)
        await press(pilot, "G", "k", "enter", *"ze", "escape", "escape")
        assert isinstance(app.screen, RunsScreen)
        screen = await builder(pilot, app)
        assert building.value(screen.draft, "name") == "x-7bze"
        await press(pilot, "G", "k", "enter", "z", "ctrl+q")
    again = TauscopeApp(db.url, remembered=remembered)
    async with again.run_test(size=SMALL) as pilot:
        screen = await builder(pilot, again)
        assert building.value(screen.draft, "name") == "x-7bzez"
        assert "chat" in words(again)
        await press(pilot, "N")
        assert isinstance(again.screen, ConfirmScreen)
        await press(pilot, "n")
        assert screen.draft != Draft()
        await press(pilot, "N", "y")
        await until(pilot, lambda: screen.draft == Draft())


async def test_a_broken_draft_counts_as_none(db: Database) -> None:
    for draft in ({"values": 3}, {"unknown": 1}, {"tuned": [{"name": ["x"]}]}, {}):
        assert draft_of(Memory(draft=draft)) is None
    app = TauscopeApp(db.url)
    app.memory = Memory(draft={"values": {"name": 3}})
    async with app.run_test(size=SMALL) as pilot:
        assert (await builder(pilot, app)).draft == Draft()


async def test_it_begins_with_models_that_it_is_handed(db: Database) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        app.push_screen(BuilderScreen(on(app, RunsScreen).source, BASE, [CHAT, MEDICAL]))
        await until(pilot, lambda: isinstance(app.screen, BuilderScreen) and "chat" in words(app))
        await until(pilot, lambda: "from chat" in words(app))
        assert on(app, BuilderScreen).faults == {}


@pytest.mark.parametrize(("key", "wanted"), [("n", "left"), ("y", "x-7b")])
async def test_models_that_it_is_handed_drop_no_draft_unasked(
    db: Database, key: str, wanted: str
) -> None:
    app = TauscopeApp(db.url)
    app.memory = Memory(draft=building.begun("org/left", ["org/left-behind"]).model_dump())
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        screen = BuilderScreen(on(app, RunsScreen).source, BASE, [CHAT])
        app.push_screen(screen)
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "left" in words(app)
        await press(pilot, key)
        await until(pilot, lambda: app.screen is screen and screen.entries)
        assert building.value(screen.draft, "name") == wanted


@pytest.mark.parametrize("resumed", [True, False])
async def test_lineage_that_comes_late_changes_nothing_back(
    db: Database, monkeypatch: pytest.MonkeyPatch, resumed: bool
) -> None:
    """Between the scan's answer and its taking over, a draft is gone back to, or one is typed."""
    parents = {CHAT: (BASE,), MEDICAL: (CHAT,)}
    left = building.begun("org/left", [CHAT, MEDICAL])
    monkeypatch.setattr("app.tui.screens.builder.in_thread", lambda *_, **__: None)
    app = TauscopeApp(db.url)
    app.memory = Memory(draft=left.model_dump() if resumed else None)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        screen = BuilderScreen(on(app, RunsScreen).source, BASE, [CHAT, MEDICAL])
        app.push_screen(screen)
        await until(pilot, lambda: screen.is_mounted and (not resumed or app.screen is not screen))
        entries = tuple(entry(name, *above) for name, above in parents.items())
        if resumed:
            await press(pilot, "n")
            await until(pilot, lambda: screen.draft == left)
            screen._scanned(entries)
            await pilot.pause(0.1)
            assert screen.draft == left
        else:
            screen._scanned(entries)
            screen.draft = building.changed(screen.draft, "name", "mine")
            await until(pilot, lambda: building.value(screen.draft, f"{TUNED}.1.parent") == "chat")
            assert building.value(screen.draft, "name") == "mine"


async def test_a_file_is_not_written_over_without_a_yes(db: Database) -> None:
    app = TauscopeApp(db.url)
    file = Path("mine.toml")
    async with app.run_test(size=SMALL) as pilot:
        screen = await family(pilot, app)
        await press(pilot, "6")
        await type_into(pilot, screen, "mine.toml")
        await press(pilot, "w")
        await until(pilot, file.exists)
        assert file.read_text() == studyfile.written(screen.draft)
        await press(pilot, "w")
        assert isinstance(app.screen, BuilderScreen), "it says just that already"
        file.write_text("mine")
        await press(pilot, "w")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert_inside(app.screen)
        await press(pilot, "n")
        assert file.read_text() == "mine"
        await press(pilot, "w", "y")
        await until(pilot, lambda: file.read_text() != "mine")
        assert not any("Created the folder" in n.message for n in app._notifications)
        await type_into(pilot, screen, "~nobody-here/x.toml")
        await press(pilot, "w")
        await until(pilot, Path("~nobody-here/x.toml").exists)
        await until(
            pilot,
            lambda: any("folder ~nobody-here" in n.message for n in app._notifications),
        )
        await type_into(pilot, screen, ".")
        await press(pilot, "w")
        await until(pilot, lambda: any("can't be" in n.message for n in app._notifications))


async def test_a_preflight_that_fails_says_why(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def foresee(draft: Draft, url: str) -> dict[str, Any]:
        raise RunError("There is no \x1b[31mmodel.", hint="Get [bold]one[/].")

    monkeypatch.setattr(outlook, "foresee", foresee)
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await family(pilot, app)
        await press(pilot, "6")
        await until(pilot, lambda: "There is no \\x1b[31mmodel." in words(app))
        assert "Get [bold]one[/]." in words(app)


@BOTH
async def test_what_the_preflight_refuses_is_not_ready_and_not_lost(
    db: Database, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def foresee(draft: Draft, url: str) -> dict[str, Any]:
        if building.value(draft, "run.seed") != "7":
            raise RunError("There is no directory /nonexistent/path.")
        return FOUND

    monkeypatch.setattr(outlook, "foresee", foresee)
    monkeypatch.setattr("app.jobs.launcher.start_detached", lambda url, run_id, **_: 1)
    app = TauscopeApp(db.url, remembered=tmp_path / "state.json")
    async with app.run_test(size=size) as pilot:
        screen = await family(pilot, app)
        assert "complete, 6 checks it" in visible(app)[0]
        await press(pilot, "6")
        await until(pilot, lambda: "would fail" in visible(app)[0])
        assert "complete" not in visible(app)[0]
        assert "6 Check !" in visible(app)[1]
        await press(pilot, "1")
        assert "would fail" in visible(app)[0], "on every page, while the draft is the same"
        await press(pilot, "6", "s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "/nonexistent/path" in words(app)
        assert_inside(app.screen)
        await press(pilot, "n")
        assert app.screen is screen
        assert list(Path.cwd().iterdir()) == []
        await seed(pilot, screen, "7")
        await until(pilot, lambda: "complete" in visible(app)[0])
        await press(pilot, "6")
        await until(pilot, lambda: "ready" in visible(app)[0])
        await seed(pilot, screen, "8")
        await press(pilot, "6")
        await until(pilot, lambda: "would fail" in visible(app)[0])
        await press(pilot, "s", "y")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert len(list_runs(db)) == 1
        assert draft_of(app.memory) == screen.draft != Draft(), "it can be mended"


async def test_leaving_the_check_ends_its_process(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    async def foresee(draft: Draft, url: str) -> dict[str, Any]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(True)
            raise
        return FOUND

    monkeypatch.setattr(outlook, "foresee", foresee)
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await family(pilot, app)
        await press(pilot, "6")
        await until(pilot, lambda: "Looking at models" in words(app))
        await press(pilot, "5")
        await until(pilot, lambda: ended)


async def test_tab_completes_while_typing(db: Database) -> None:
    Path("texts").mkdir()
    Path("texts/abstracts.jsonl").write_text('{"text": "x"}\n')
    Path("tasks").mkdir()
    Path("tasks/own.yaml").write_text("task: own_task\n")
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await family(pilot, app)
        await press(pilot, "2", "left", "left", "down", "enter", *"texts/a", "tab", "enter")
        assert building.value(screen.draft, "probe.file") == "texts/abstracts.jsonl"
        await press(pilot, "3", "down", "enter", *"tas", "tab", "enter", "a")
        await press(pilot, *"x, ow", "tab", "enter")
        assert building.data(screen.draft)["evaluation"]["tasks"] == {"chat": ["x", "own_task"]}


async def test_a_model_that_is_dropped_is_gone(db: Database) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await family(pilot, app)
        await press(pilot, "k", "D")
        assert [m["name"] for m in screen.draft.tuned] == ["medical"]
        assert building.value(screen.draft, f"{TUNED}.0.parent") == ""


async def test_a_name_may_begin_with_the_name_of_another_model(db: Database) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await family(pilot, app)
        assert building.value(screen.draft, f"{TUNED}.1.parent") == "chat"
        await press(pilot, "a")
        await add(pilot, app, "aaa/other")
        await press(pilot, "enter", "down", "enter")
        screen.query_one(Input).value = ""
        await press(pilot, *"chat2", "enter")
        assert [m["name"] for m in screen.draft.tuned] == ["chat", "medical", "chat2"]
        assert screen.step == pages.MODELS, "the last letter is typed too"
        assert building.value(screen.draft, f"{TUNED}.1.parent") == "chat", "nobody was renamed"


async def test_added_folders_and_the_models_of_runs_are_searched(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[list[Path]] = []

    def scan(folders: list[Path]) -> tuple[Entry, ...]:
        searched.append(folders)
        return ()

    monkeypatch.setattr("app.library.catalogue.scan", scan)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    base = tmp_path / "elsewhere" / "base"
    base.mkdir(parents=True)
    models = {"base": str(base), "tuned": {"gone": {"path": str(tmp_path / "gone")}}}
    create_run(db, Study.model_validate({"name": "earlier", "models": models}), WEIGHTS)
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        config.add_folder(tmp_path)
        await pilot.press("n")
        await until(pilot, lambda: searched)
    assert searched == [[tmp_path, base]]


async def test_the_ready_studies_are_offered(db: Database) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "No runs yet" in words(app))
        await press(pilot, "o")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        assert "qwen2.5-domains" in words(app)
        assert_inside(app.screen)
        await press(pilot, *"qw", "tab")
        assert app.screen.query_one(Input).value == "qwen2.5-domains"


def test_models_made_from_the_base_are_offered_first() -> None:
    known = (entry("aaa/other"), entry(BASE), entry(CHAT, BASE))
    names = [e.name for e in offers(known, "", BASE) if isinstance(e, Entry)]
    assert names == [CHAT, "aaa/other"]
    assert [e.name for e in offers(known, "oth", BASE) if isinstance(e, Entry)] == ["aaa/other"]
    assert offers(known, "org/x", "")[0] == "org/x", "what looks like a place is taken as it is"
    assert offers(known, BASE, "")[0].name == BASE  # type: ignore[union-attr]
    assert offers((), "word", "") == ("word",)


def test_completions() -> None:
    complete = completed(["pubmedqa", "pubmed_x"])
    assert complete("a, pub") == ["a, pubmedqa", "a, pubmed_x"]
    assert complete("pubmedqa") == []
    assert tasks("/nowhere/\0") == ()
    assert tasks("") == ()


WHOLE = building.changed(
    building.with_domain(building.begun(BASE, [CHAT])), f"{DOMAINS}.0.tasks", "arc_easy"
)
WRONG = {
    "no tuned model": (building.begun(BASE), pages.MODELS, "add", "at least one is needed"),
    "no base": (building.begun(None, [CHAT]), pages.MODELS, "models.base.path", "is needed"),
    **{
        f"{key} {typed}": (
            building.changed(WHOLE, key, typed),
            step, line, said,
        )
        for key, typed, step, line, said in (
            ("name", "", pages.MODELS, "name", "is needed"),
            (f"{TUNED}.0.name", "", pages.MODELS, f"{TUNED}.0", "needs a name"),
            (f"{TUNED}.0.parent", "nobody", pages.MODELS, "add", "nobody"),
            ("probe", "file", pages.PROBE, "probe.file", "is needed"),
            ("probe", "task", pages.PROBE, "probe.task", "is needed"),
            (f"{DOMAINS}.0.tasks", "", pages.TASKS, f"{DOMAINS}.0", "at least one"),
            ("evaluation.reference", "chat=nobody", pages.TASKS, "more", "nobody"),
            ("run.batch_size", "x", pages.PLACEMENT, "run.batch_size", "number"),
            ("analyses.alignment.energy", "2", pages.ANALYSES, "analyses.alignment", "1"),
        )
    },
}  # fmt: skip
"""Drafts with something wrong: at which line of which step what is said."""


@pytest.mark.parametrize(("draft", "step", "line", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_to_mend_is_said_at_a_line_of_its_step(
    draft: Draft, step: int, line: str, expected: str
) -> None:
    faults = building.faults(draft)
    lines = {item.key: item.trouble for item in pages.items(step, draft, faults)}
    assert expected in lines[line]
    for each in range(pages.CHECK):
        troubled = [item for item in pages.items(each, draft, faults) if item.trouble]
        assert bool(troubled) == bool(pages.blamed(faults, each))


def test_nothing_is_said_of_a_draft_that_is_not_begun() -> None:
    faults = building.faults(Draft())
    assert faults
    assert not any(item.trouble for item in pages.items(pages.MODELS, Draft(), faults))


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("step", range(len(pages.STEPS)))
@pytest.mark.parametrize("name", WORDS.values(), ids=WORDS.keys())
def test_no_line_is_wider_than_its_page(width: int, step: int, name: str) -> None:
    draft = building.begun(f"org/{name}", [f"org/{name}", "x" * 90])
    draft = building.with_domain(building.changed(draft, "probe", "file"))
    draft = building.changed(draft, "probe.file", name)
    draft = building.changed(draft, f"{TUNED}.0.name", name)
    opened = {f"{TUNED}.0", "more", "analyses.ablation"}
    for item in pages.items(step, draft, building.faults(draft), opened):
        for selected in (True, False):
            shown = line(item, width, selected=selected).plain
            assert cell_len(shown) <= width
            assert shown.isprintable() or "\u200d" in shown


@pytest.mark.parametrize("name", WORDS.values(), ids=WORDS.keys())
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_hostile_names_do_no_harm(db: Database, size: tuple[int, int], name: str) -> None:
    draft = building.begun(f"/models/{name}", [f"/models/{name}"])
    draft = building.changed(building.changed(draft, "probe", "task"), "probe.task", name)
    draft = building.changed(building.with_domain(draft), "evaluation.tasks.0.name", name)
    draft = building.changed(draft, "file", f"{name}.toml")
    app = TauscopeApp(db.url)
    app.memory = Memory(draft=draft.model_dump())
    async with app.run_test(size=size) as pilot:
        for step in "123456":
            await builder(pilot, app)
            for key in (step, "enter"):
                await press(pilot, key)
                assert_harmless(app)
            while not isinstance(app.screen, RunsScreen):
                await press(pilot, "escape")
                assert_harmless(app)


async def test_a_real_preflight_and_its_error(tmp_path: Path, db: Database) -> None:
    write_family(tmp_path)
    draft = building.begun(str(tmp_path / "base"), [str(tmp_path / "medical")])
    forecast = await foresee(draft, db.url)
    assert {share["analysis"] for share in forecast["shares"]} == set(WEIGHTS) - {
        "vector_cosine",
        "interference",  # of pairs
    }
    shown = outlook.shown(json.loads(json.dumps(forecast)), 78).plain
    assert "medical" in shown
    assert max(cell_len(row) for row in shown.split("\n")[len(preflight.totals(forecast)) :]) <= 78
    with pytest.raises(RunError, match="nowhere"):
        await foresee(building.begun("/nowhere/base", ["/nowhere/tuned"]), db.url)


@pytest.mark.parametrize("width", [60, 78, 120])
def test_all_that_an_analysis_asks_is_said(width: int) -> None:
    """Whatever the room: the dearest of it stands last."""
    shown = outlook.shown(FOUND, width).plain
    last = shown.split("\n\n")[1].split("\n")
    assert max(map(cell_len, last)) <= width
    asked = " ".join(row[last[0].index("asks") :].strip() for row in last[1:])
    assert asked == "100 items, 70 items ranked, 6.0 K tokens with gradients"
    assert all(line in shown for line in preflight.totals(FOUND))


def test_nothing_left_is_said() -> None:
    done = {**FOUND, "shares": [{**FOUND["shares"][0], "finished": 9}]}
    assert "Nothing is left" in outlook.shown(done, 80).plain


def test_every_analysis_has_its_whole_title_on_a_small_screen() -> None:
    draft = building.begun("org/x-7b", ["org/x-7b-chat"])
    shown = [
        line(item, 80, selected=False).plain for item in pages.items(pages.ANALYSES, draft, {}, ())
    ]
    for name in registry.names():
        title = registry.get(name).title
        assert any(row.startswith(f" [x] {title} ") for row in shown), title


async def test_the_file_is_shown_beside_the_form_where_there_is_room(db: Database) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await family(pilot, app)
        assert 'base = "org/x-7b"' in words(app)
        assert str(screen.query_one("#file", Static).content).startswith("# To estimate it")


def test_the_purpose_of_an_analysis_is_a_whole_sentence() -> None:
    for name in registry.names():
        assert pages.about(name)[-2].isalnum(), pages.about(name)
