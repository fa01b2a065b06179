"""A client and the worker that it starts, with a bench without models."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from app import config
from app.bench import client, registry
from app.bench.client import Client, Wanted
from app.bench.places import Place
from app.bench.wire import Hello
from core.bench.messages import Done, Event, Failed, Generate, Prompt, Written
from core.errors import CheckpointError, RunError
from core.trust import Trust
from tests.app.bench import fake
from tests.app.bench.fake import study
from tests.patience import eventually


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The path of a database; the workers beside it are ended."""
    fake.use(monkeypatch)
    path = tmp_path / "x.db"
    yield path
    for bench in registry.benches(path):
        os.kill(bench.pid, signal.SIGKILL)


def _ask(text: str) -> Generate:
    return Generate(prompt=Prompt(text=text), columns=("base",))


async def _answer(asking: Client, text: str) -> list[Event]:
    number, events = await asking.send(_ask(text)), list[Event]()
    async for about, event in asking:
        if about == number and not isinstance(event, Hello):
            events.append(event)
            if isinstance(event, Done | Failed):
                break
    return events


async def _end(asking: Client) -> RunError:
    with pytest.raises(RunError) as raised:
        async for _ in asking:
            pass
    return raised.value


async def test_two_clients_at_once_have_one_worker_which_outlives_them(database: Path) -> None:
    one, other = await asyncio.gather(*(client.connect(database, study()) for _ in range(2)))
    assert one.hello.pid == other.hello.pid
    assert await _answer(other, "hi") == [
        Written(column=0, text="hi", tokens=1, ended="length"),
        *(await _answer(one, "hi"))[1:],
    ]
    await one.close()
    assert [each async for each in one] == []
    await other.close()
    again = await client.connect(database, study(), start=False)
    assert again.hello.pid == one.hello.pid
    await again.stop_worker()
    assert (await _end(again)).title == "The bench's worker ended. It was stopped."
    assert registry.benches(database) == []  # before its process has ended
    with pytest.raises(RunError, match="No bench of this study is running"):
        await client.connect(database, study(), start=False)


async def test_a_killed_worker_is_seen_and_a_new_one_answers(database: Path) -> None:
    asking = await client.connect(database, study())
    first = asking.hello.pid
    await _answer(asking, "hi")
    number = await asking.send(_ask("kill"))
    error = await _end(asking)
    assert error.title == "The bench's worker ended."
    assert "ready" in error.hint
    assert eventually(lambda: registry.benches(database) == [])
    await asking.reconnect()
    assert asking.hello.pid != first
    assert await asking.send(_ask("hi")) == number + 1
    await asking.close()


@pytest.mark.parametrize(
    ("name", "kind", "title", "hint"),
    [
        ("broken", CheckpointError, "There are no weights.", "Look for them."),
        (
            "killed", RunError, "The bench's worker ended while it loaded the models.",
            "last words of the library",
        ),
    ],
)  # fmt: skip
async def test_a_worker_that_ends_while_it_loads_says_why(
    database: Path, name: str, kind: type[Exception], title: str, hint: str
) -> None:
    with pytest.raises(kind) as raised:
        async for _ in await client.connect(database, study(name)):
            pass
    assert str(raised.value) == title
    assert hint in getattr(raised.value, "hint", "")


async def test_a_worker_that_can_not_start_shows_its_log(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Wanted] = []

    def command(wanted: Wanted) -> list[str]:
        asked.append(wanted)
        return ["sh", "-c", "echo no python here; exit 1"]

    monkeypatch.setattr(client, "command", command)
    monkeypatch.setattr(config, "read", lambda: config.Config(bench_idle=5.0))
    with pytest.raises(RunError, match="ended while it loaded") as raised:
        await client.connect(database, study())
    assert "no python here" in raised.value.hint
    assert [wanted.idle for wanted in asked] == [300.0]  # as the settings say


async def test_signals_stop_a_worker_and_the_second_always_ends_it(database: Path) -> None:
    asking = await client.connect(database, study())
    process = psutil.Process(asking.hello.pid)
    await asking.send(_ask("slow"))
    process.terminate()
    assert (await _end(asking)).title == "The bench's worker ended. It was stopped."
    await asking.reconnect()
    process = psutil.Process(asking.hello.pid)
    await asking.send(_ask("stubborn"))
    async for _, event in asking:
        if isinstance(event, Hello) and event.state == "busy":
            break
    assert eventually(lambda: not _lives(process) or process.terminate())
    await _end(asking)


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_command_trusts_models_only_as_told() -> None:
    parts = (Place(Path("/x")), Path("/r.db"), study(), 5.0)
    assert client.command(Wanted(*parts, Trust()))[-5:] == ["/x", "--db", "/r.db", "--idle", "5.0"]
    assert client.command(Wanted(*parts, Trust(models=True)))[-1] == "--trust-models"
