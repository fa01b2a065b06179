"""The bench's screen over a pretended worker."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input, Static

from app.bench.registry import BenchSummary
from app.config import Config
from app.tui.app import TauscopeApp
from app.tui.bench.link import Opening
from app.tui.data import DataSource
from app.tui.memory import recall
from app.tui.screens import sampling
from app.tui.screens.bench import BenchScreen
from app.tui.screens.choose import ChooseScreen
from app.tui.screens.column import ColumnScreen, Templates, TypedScreen
from app.tui.screens.pick import PickScreen
from app.tui.widgets.bar import Row
from app.tui.widgets.bench_line import BenchLine
from core.bench.messages import (
    Compare,
    Done,
    Event,
    Failed,
    Generate,
    Lens,
    Piece,
    Request,
    Score,
    Written,
)
from core.errors import RunError
from storage.database import Database
from storage.runs import create_run
from storage.trials import trials
from tests.app.bench.scored import scored
from tests.app.tui.benches import FakeLink, opening
from tests.app.tui.conftest import HOSTILE, study
from tests.app.tui.pressing import listed
from tests.app.tui.rest import until
from tests.patience import PATIENCE


async def _open(pilot: Pilot[str | None], link: FakeLink, **given: object) -> BenchScreen:
    app = pilot.app
    assert isinstance(app, TauscopeApp)
    await listed(pilot, app)
    screen = BenchScreen(app.source, opening(link, **given))
    app.push_screen(screen)
    await until(pilot, lambda: screen.talk.state == "ready" and screen.focused is screen.prompt)
    return screen


def _rows(screen: BenchScreen) -> str:
    height = screen.view.size.height
    return "\n".join(screen.view.render_line(y).text for y in range(height))


async def test_a_prompt_is_answered_by_every_column(db: Database) -> None:
    link = FakeLink()
    async with TauscopeApp(db.url, Config()).run_test(size=(120, 30)) as pilot:
        screen = await _open(pilot, link)
        screen.prompt.text = "hi"
        await pilot.press("enter")
        await until(pilot, lambda: screen.board.seconds is not None)
        (asked,) = link.sent
        assert isinstance(asked, Generate)
        assert (asked.prompt.text, asked.columns) == ("hi", ("base", "medical", "maths"))
        await until(pilot, lambda: "hi again, says maths." in _rows(screen))
        assert "3: 1.50" in _rows(screen)

        # A key that follows at once is the columns', and is not typed.
        screen.action_back()
        assert screen.focused is screen.view

        # A turn of a knob is asked at once, typed or by arrow.
        await pilot.press("2", "down", "right")
        await until(pilot, lambda: len(link.sent) == 2)
        await pilot.press("enter", "0", ".", "7", "enter")
        await until(pilot, lambda: len(link.sent) == 3)
        await pilot.press("space")
        await until(pilot, lambda: len(link.sent) == 4)
        last = [each.columns[1] for each in link.sent if isinstance(each, Generate)]
        assert last == ["medical", "medical=1.05", "medical=0.7", "base"]

        # What the column wrote is scored under all of them, and then with every letter.
        await pilot.press("O")
        await until(pilot, lambda: isinstance(screen.board.request, Score) and not screen.talk.due)
        assert screen.continuation.text == " hi again, says base."
        sent = len(link.sent)
        screen.continuation.focus()
        screen.continuation.move_cursor(screen.continuation.document.end)
        for key in "xyz":
            screen.continuation.post_message(Key(key, key))
        await until(pilot, lambda: len(link.sent) > sent and not screen.talk.due)
        assert [each.continuation for each in link.sent[sent:] if isinstance(each, Score)] == [
            " hi again, says base.xyz"
        ]  # one request when the typing rests
        await until(
            pilot, lambda: "NLL" in _rows(screen) and "log p −2.50 Δ −0.50 KL 0.00" in _rows(screen)
        )


async def test_a_column_is_added_and_taken_away(db: Database) -> None:
    link = FakeLink()
    async with TauscopeApp(db.url, Config()).run_test(size=(80, 24)) as pilot:
        screen = await _open(pilot, link, prompt="hi")
        await pilot.press("escape", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, ColumnScreen))
        box = pilot.app.screen.query_one(Input)
        box.value = "medical=2 @ heads"
        await pilot.press("enter")
        trouble = pilot.app.screen.query_one("#trouble", Static)
        await until(pilot, lambda: "'heads' is not a group" in str(trouble.content))
        box.value = "medical=2 @ mlp"
        await pilot.press("enter")
        await until(pilot, lambda: "medical=2 @ mlp" in screen.board.names)
        await pilot.press("C", "D")
        await until(pilot, lambda: len(screen.board.setups) == 4)
        assert screen.board.names == ("base", "medical=2 @ mlp", "medical", "maths")
        await until(pilot, lambda: not screen.talk.due)
        last = link.sent[-1]
        assert isinstance(last, Generate)
        assert last.columns == screen.board.names


async def test_a_bench_opens_as_it_was_left(db: Database, tmp_path: Path) -> None:
    file, first = tmp_path / "memory.json", ("base", "maths")
    app = TauscopeApp(db.url, Config(), remembered=file)
    async with app.run_test(size=(100, 24)) as pilot:
        screen = await _open(pilot, FakeLink(), first=first, run="r1")
        await pilot.press(*"hi", "escape", "2", "down", "right", "C", "O", *"there")
        await until(pilot, lambda: "there" in str(recall(file).benches))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: screen.is_left)
    again = TauscopeApp(db.url, Config(), remembered=file)
    async with again.run_test(size=(100, 24)) as pilot:
        screen = await _open(pilot, FakeLink(), first=first, run="r1")
        assert screen.board.names == ("base", "maths=1.05", "maths=1.05")
        assert (screen.prompt.text, screen.continuation.text) == ("hi", "there")
        assert screen.scoring
        screen.dismiss(None)
        screen = await _open(pilot, FakeLink(), first=first, run="r2")
        assert (screen.board.names, screen.prompt.text) == (first, "")
        screen.dismiss(None)
        screen = await _open(pilot, FakeLink(), columns=("base", "medical"), run="r1")
        assert screen.board.names == ("base", "medical")
        await pilot.press("escape", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, ColumnScreen))
        assert pilot.app.screen.query_one(Templates).items[0][0] == "maths=1.05"


async def test_a_prompt_is_remembered_however_fast_it_is_typed(db: Database) -> None:
    async with TauscopeApp(db.url, Config()).run_test(size=(100, 24)) as pilot:
        screen = await _open(pilot, FakeLink())
        for key in "hi":
            screen.prompt.post_message(Key(key, key))
        screen.prompt.action_send()  # before the letters are taken
        await until(pilot, lambda: screen.board.seconds is not None)
        assert screen.prompt.past == ["hi"]


async def test_alt_and_a_key_in_the_prompt_are_escape_and_that_key(db: Database) -> None:
    """A terminal sends escape and a key that follows at once as one."""
    async with TauscopeApp(db.url, Config()).run_test(size=(100, 24)) as pilot:
        screen = await _open(pilot, FakeLink(), prompt="hi")
        await until(pilot, lambda: screen.board.seconds is not None)
        screen.prompt.post_message(Key("alt+z", "z"))
        await until(pilot, lambda: screen.view.zoomed)
        screen.prompt.focus()
        screen.prompt.post_message(Key("alt+shift+h", "H"))
        await until(pilot, lambda: screen.view.blind is not None)
        assert screen.view.has_focus
        assert screen.prompt.text == "hi"


async def test_the_lens_and_the_neurons_of_a_column(db: Database) -> None:
    link = FakeLink()
    async with TauscopeApp(db.url, Config()).run_test(size=(100, 24)) as pilot:
        screen = await _open(pilot, link, prompt="one two", continuation="three four")
        await until(pilot, lambda: screen.board.seconds is not None)
        await pilot.press("escape", "2", "end", "right", "v")
        await until(pilot, lambda: screen.lens.grid is not None)
        assert screen.lens.position == 3
        await pilot.press("v")
        await until(pilot, lambda: bool(screen.neurons.items))
        lens, compare = link.sent[-2:]
        assert isinstance(lens, Lens)
        assert lens.column == "medical"
        assert isinstance(compare, Compare)
        assert (compare.columns, compare.position) == (("base", "medical"), 3)
        await pilot.press("down", "enter")
        await until(pilot, lambda: screen.view.has_focus)
        assert screen.board.names[2] == "ablate(medical):neurons=1.7"


async def test_a_worker_that_dies_is_started_again_and_nothing_typed_is_lost(db: Database) -> None:
    link = FakeLink()
    async with TauscopeApp(db.url, Config()).run_test(size=(80, 24)) as pilot:
        screen = await _open(pilot, link, prompt="hi")
        await until(pilot, lambda: screen.board.seconds is not None)
        link.die()
        await until(pilot, lambda: screen.talk.state == "ended")
        title = str(screen.query_one("#title", Row).words)
        assert "the worker ended; r starts it again" in title
        await pilot.press(*"!?")
        await until(pilot, lambda: screen.prompt.text == "hi!?")
        link.slow = True
        await pilot.press("escape", "r")
        # The last request is sent again, and waits for the worker to load.
        await until(pilot, lambda: link.started == 2 and screen.talk.state == "ready")
        assert screen.board.busy
        await until(pilot, lambda: len(link.sent) == 2)
        last = link.sent[-1]
        assert isinstance(last, Generate)
        assert last.prompt.text == "hi!?"


async def test_blind_columns_have_no_names_and_are_preferred_by_number(db: Database) -> None:
    link = FakeLink()
    async with TauscopeApp(db.url, Config()).run_test(size=(120, 30)) as pilot:
        screen = await _open(pilot, link, prompt="hi", columns=("base", "medical"))
        await until(pilot, lambda: screen.board.seconds is not None)
        await pilot.press("escape", "H")
        await until(pilot, lambda: screen.view.blind is not None)
        assert "medical " not in _rows(screen).splitlines()[0]
        await pilot.press("1")
        held = screen.view.blind
        assert held is not None
        await until(pilot, lambda: sum(screen.view.blind.counts if screen.view.blind else ()) == 1)
        # One answer counts once, and no key tells who a column is.
        await pilot.press("2", "w", "exclamation_mark")
        assert pilot.app.screen is screen
        assert sum(screen.view.blind.counts if screen.view.blind else ()) == 1
        await pilot.press("H")
        await until(pilot, lambda: screen.view.blind is None)
        assert "2 medical" in _rows(screen)


async def test_texts_that_were_cancelled_are_not_preferred(db: Database) -> None:
    link = FakeLink(slow=True)
    async with TauscopeApp(db.url, Config()).run_test(size=(120, 30)) as pilot:
        screen = await _open(pilot, link, prompt="hi", columns=("base", "medical"))
        await until(pilot, lambda: len(link.sent) == 1)
        link.say(1, Written(column=0, text=" one", tokens=1, ended="length"))
        link.say(1, Piece(column=1, text=" tw", tokens=1))
        link.say(1, Failed(title="", cancelled=True))
        await until(pilot, lambda: screen.board.trouble is not None)
        await pilot.press("escape", "H", "1")
        await until(pilot, lambda: screen.view.blind is not None)
        assert screen.view.blind is not None
        assert sum(screen.view.blind.counts) == 0


@pytest.mark.parametrize("words", ["~nobody-of-this-name/x", "x" * 300])
async def test_an_odd_path_ends_no_dialog(
    db: Database, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(DataSource, "merge", lambda _, study, mix, folder: written.append(folder))
    given = {"columns": ("base", "medical=0.5"), "study": study("domains")}
    async with TauscopeApp(db.url, Config()).run_test(size=(120, 30)) as pilot:
        screen = await _open(pilot, FakeLink(), prompt="hi", **given)
        await until(pilot, lambda: screen.board.seconds is not None)
        await pilot.press("escape", "o", "1")
        await until(pilot, lambda: isinstance(pilot.app.screen, TypedScreen))
        pilot.app.screen.query_one(Input).value = words
        await pilot.press("enter")
        trouble = pilot.app.screen.query_one("#trouble", Static)
        await until(pilot, lambda: "can't be read" in str(trouble.content))
        await pilot.press("escape", "2", "w")
        await until(pilot, lambda: isinstance(pilot.app.screen, TypedScreen))
        pilot.app.screen.query_one(Input).value = words
        await pilot.press("enter")
        await until(pilot, lambda: written == [Path(words)])


async def test_keys_that_follow_the_way_to_the_bench_are_typed_there(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, link = threading.Event(), FakeLink()

    def slow(*_: object) -> Opening:
        read.wait(PATIENCE)
        return opening(link)

    monkeypatch.setattr(DataSource, "bench", slow)
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=(100, 24)) as pilot:
        await listed(pilot, app)
        runs = app.screen
        for key in "Vq D":
            app.post_message(Key({" ": "space"}.get(key, key), key))
        app.post_message(Paste(", pasted"))
        await asyncio.sleep(0.05)
        assert app.screen is runs
        read.set()
        await until(pilot, lambda: isinstance(app.screen, BenchScreen))
        bench = app.screen
        assert isinstance(bench, BenchScreen)
        await pilot.press("!")
        await until(pilot, lambda: bench.prompt.text == "q D, pasted!")
        assert not app._exit


async def test_keys_from_before_the_first_list_are_typed_into_the_bench_too(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = FakeLink()
    monkeypatch.setattr(DataSource, "bench", lambda *_: opening(link))
    app = TauscopeApp(filled.url, Config())
    app._early = [Key(each, each) for each in "VDq"]
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BenchScreen))
        bench = app.screen
        assert isinstance(bench, BenchScreen)
        await until(pilot, lambda: bench.prompt.text == "Dq")
        assert not app._exit


async def test_keys_for_a_bench_that_can_not_open_are_forgotten(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> Opening:
        raise RunError("There is no run.")

    monkeypatch.setattr(DataSource, "bench", refused)
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=(100, 24)) as pilot:
        await listed(pilot, app)
        runs = app.screen
        for key in "Vq":
            app.post_message(Key(key, key))
        await until(pilot, lambda: app._early is None)
        assert app.screen is runs
        assert not app._exit
        await pilot.press("question_mark")
        await until(pilot, lambda: app.screen is not runs)


async def test_keys_that_wait_too_long_for_a_bench_are_dropped_and_this_is_told(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, link = threading.Event(), FakeLink()

    def slow(*_: object) -> Opening:
        assert found.wait(PATIENCE)
        return opening(link)

    monkeypatch.setattr(DataSource, "bench", slow)
    monkeypatch.setattr("app.tui.app.HELD", 0.1)
    app = TauscopeApp(filled.url, Config())
    told: list[str] = []
    async with app.run_test(size=(100, 24)) as pilot:
        await listed(pilot, app)
        monkeypatch.setattr(app, "notify", lambda message, **_: told.append(message))
        for key in "Vq":
            app.post_message(Key(key, key))
        async with asyncio.timeout(PATIENCE):
            while not told:
                await asyncio.sleep(0.01)
        assert app._early is None
        found.set()
        await until(pilot, lambda: isinstance(app.screen, BenchScreen))
        assert not app._exit
    assert told == ["The bench is still opening: the keys typed meanwhile were dropped."]


@pytest.mark.parametrize("size", [(80, 24), (20, 6)])
async def test_hostile_texts_obey_nobody(db: Database, size: tuple[int, int]) -> None:
    """Texts of models, prompts and studies may hold whatever a terminal would obey."""
    nasty = HOSTILE + "\t\r\n\u202e\u0000\ud800"

    def answer(request: Request) -> Iterator[Event]:
        yield Piece(column=0, text=nasty[:40], tokens=1)
        yield Written(column=1, text=nasty, tokens=1, ended="stop")
        yield Done(seconds=1)

    async with TauscopeApp(db.url, Config()).run_test(size=size) as pilot:
        screen = await _open(pilot, FakeLink(answer), prompt="a\x1b]52;c;x\x07 \u202e宽")
        await until(pilot, lambda: screen.board.seconds is not None)
        await pilot.press("escape", "2", "end", "up", "up", "z", "pagedown")
        seen = _rows(screen) + "".join(
            screen.prompt.render_line(y).text for y in range(screen.prompt.size.height)
        )
        assert not {sign for sign in seen if ord(sign) < 32 and sign != "\n"}
        assert not set(seen) & set("\u202e\x7f\ud800")
        width = screen.view.size.width
        assert all(screen.view.render_line(y).cell_length == width for y in range(size[1] - 4))


async def test_running_benches_show_in_the_list_of_runs_and_end_there(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = BenchSummary(
        study="domains", key="k", host="here", pid=1, state="ready", socket="s", idle=60,
        held={"cuda:0": 15_200_000_000},
    )  # fmt: skip
    running, ended = [bench], list[BenchSummary]()
    monkeypatch.setattr(DataSource, "benches", lambda _: tuple(running))
    monkeypatch.setattr(DataSource, "end_bench", lambda _, each: ended.append(each))
    async with TauscopeApp(filled.url, Config()).run_test(size=(100, 24)) as pilot:
        await listed(pilot, pilot.app)  # type: ignore[arg-type]
        line = pilot.app.screen.query_one(BenchLine)
        line.look()
        await until(pilot, lambda: "domains: ready, 14.2 GiB on cuda:0" in str(line.words))
        await pilot.press("Q", "y")
        await until(pilot, lambda: ended == [bench])
        running.clear()
        line.look()
        await until(pilot, lambda: not line.display)
        assert ended == [bench], "one key ends it once"


async def test_answers_are_kept_in_the_run(db: Database) -> None:
    run_id = create_run(db, study(), ("alignment",))
    async with TauscopeApp(db.url, Config()).run_test(size=(100, 24)) as pilot:
        screen = await _open(pilot, FakeLink(), prompt="hi", columns=("base", "maths"), run=run_id)
        await until(pilot, lambda: screen.board.seconds is not None)
        await pilot.press("escape", "ampersand")
        await until(pilot, lambda: bool(trials(db, run_id)))
        (stored,) = trials(db, run_id)
        assert stored.content["request"]["columns"] == ["base", "maths"]
        assert [each["text"] for each in stored.content["written"]] == [
            " hi again, says base.", " hi again, says maths."
        ]  # fmt: skip


async def test_settings_are_typed_in_a_form(db: Database) -> None:
    link = FakeLink()
    async with TauscopeApp(db.url, Config()).run_test(size=(80, 24)) as pilot:
        screen = await _open(pilot, link, prompt="hi")
        await until(pilot, lambda: screen.board.seconds is not None)
        await pilot.press("escape", "i")
        await until(pilot, lambda: isinstance(pilot.app.screen, sampling.SettingsScreen))
        form = pilot.app.screen
        assert isinstance(form, sampling.SettingsScreen)
        for _ in range(3):  # as fast as arrows can come
            form.action_move(1)
        assert form.focused is form.query_one("#seed")
        await pilot.press("7", "enter")
        await until(pilot, lambda: len(link.sent) == 2)
        last = link.sent[-1]
        assert isinstance(last, Generate)
        assert last.seed == 7  # a field is selected whole when it is entered


async def test_settings_that_are_not_touched_stay_what_they_are(
    db: Database, tmp_path: Path
) -> None:
    """A system prompt of a file may have signs that the form shows otherwise."""
    file, link, system = tmp_path / "prompts.jsonl", FakeLink(), "print '\\n',\tthen\nend"
    file.write_text(json.dumps({"prompt": "one", "system": system}) + "\n")
    async with TauscopeApp(db.url, Config()).run_test(size=(100, 24)) as pilot:
        await _open(pilot, link)
        await pilot.press("escape", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("1")
        await until(pilot, lambda: isinstance(pilot.app.screen, TypedScreen))
        pilot.app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: len(link.sent) == 1)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(pilot.app.screen, sampling.SettingsScreen))
        pilot.app.screen.query_one("#seed", Input).value = "7"
        await pilot.press("enter")
        await until(pilot, lambda: len(link.sent) == 2)
        first, last = link.sent
        assert isinstance(first, Generate)
        assert first.prompt.system == system
        assert last == replace(first, seed=7)


async def test_prompts_come_from_a_file(db: Database, tmp_path: Path) -> None:
    file, link = tmp_path / "prompts.jsonl", FakeLink()
    file.write_text(
        '{"prompt": "one"}\n{"prompt": "two", "continuation": "three", "system": "s"}\n'
    )
    async with TauscopeApp(db.url, Config()).run_test(size=(100, 24)) as pilot:
        await _open(pilot, link)
        await pilot.press("escape", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("1")
        await until(pilot, lambda: isinstance(pilot.app.screen, TypedScreen))
        box, trouble = (pilot.app.screen.query_one(kind) for kind in (Input, "#trouble"))
        assert isinstance(box, Input)
        assert isinstance(trouble, Static)
        for wrong in (str(tmp_path / "other"), "x" * 300, "~nobody-of-this-name/x"):
            box.value = wrong
            trouble.update("")
            await pilot.press("enter")
            await until(pilot, lambda: "can't be read" in str(trouble.content))
        box.value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: len(link.sent) == 1)
        await pilot.press("J")
        await until(pilot, lambda: len(link.sent) == 2)
        first, other = link.sent
        assert isinstance(first, Generate)
        assert first.prompt.text == "one"
        assert isinstance(other, Score)
        assert (other.prompt.text, other.continuation) == ("two", "three")
        assert (other.prompt.system, other.prompt.template) == ("s", True)
        # The next prompt has neither that continuation nor that system prompt.
        await pilot.press("J")
        await until(pilot, lambda: len(link.sent) == 3)
        assert link.sent[2] == first


async def test_an_item_of_a_task_is_chosen_by_typing(db: Database) -> None:
    run_id, link = scored(db), FakeLink()
    async with TauscopeApp(db.url, Config()).run_test(size=(80, 24)) as pilot:
        screen = await _open(pilot, link, run=run_id)
        await pilot.press("escape", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("2")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseScreen))
        await pilot.press(*"sum right two", "enter")
        await until(pilot, lambda: len(link.sent) == 1)
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("J")
        await until(pilot, lambda: len(link.sent) == 2)
        for asked, then in zip(link.sent, (("Two is", " 2"), ("Nine is", " 9")), strict=True):
            assert isinstance(asked, Score)
            assert (asked.prompt.text, asked.continuation) == then


async def test_a_study_opens_on_the_bench_with_its_newest_run(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = FakeLink()
    monkeypatch.setattr("app.bench.client.connect", lambda *_, **__: link.connect())
    create_run(db, study("another"), ("alignment",))
    run_id = create_run(db, study(), ("alignment",))
    async with TauscopeApp(db.url, Config(), study=study()).run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, BenchScreen))
        screen = pilot.app.screen
        assert isinstance(screen, BenchScreen)
        await until(pilot, lambda: screen.talk.state == "ready")
        assert screen.opening.run == run_id
        assert screen.board.names == ("base", "instruct", "medical", "maths")
