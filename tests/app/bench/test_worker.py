"""A worker and its socket, with a bench without models, in a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from app.bench import client, places, registry, server
from app.bench.places import Place
from app.bench.worker import work
from core.bench.messages import LONGEST
from core.errors import RunError
from core.trust import NOBODY
from tests.app.bench.fake import opening, study
from tests.app.bench.line import Line
from tests.patience import eventually

Start = Callable[..., str]


@pytest.fixture
def database() -> Iterator[Path]:
    """The path of a database in a folder that is short enough for a socket's path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder) / "x.db"


@pytest.fixture
def start(database: Path) -> Iterator[Start]:
    """Start a worker beside a database of the test; returns its socket's path."""
    threads = []

    def begin(name: str = "s", idle: float = 600.0) -> str:
        place = places.of(database, study(name))
        places.write_study(place, study(name))
        threads.append(threading.Thread(target=work, args=(place, idle, NOBODY, opening)))
        threads[-1].start()
        return _socket_of(place)

    yield begin
    for bench in registry.benches(database):
        registry.end(bench)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def _socket_of(place: Place) -> str:
    eventually(lambda: places.read(place) is not None)
    record = places.read(place)
    assert record is not None
    return record.socket


def test_a_worker_greets_and_answers_and_says_its_state(start: Start, database: Path) -> None:
    with Line(start()) as line:
        greeting = line.read()
        assert greeting is not None
        assert (greeting["request"], greeting["event"], greeting["protocol"]) == (0, "hello", 2)
        assert (greeting["study"], greeting["models"]) == ("s", ["base", "m"])
        line.generate(7, "hi")
        events = [line.until("written", "crossed", "done") for _ in range(3)]
        assert [each["request"] for each in events] == [7, 7, 7]
        assert events[0]["text"] == "hi"
        line.order(0, "status")
        assert line.until("hello")["held"] == {"cpu": 123}
    (bench,) = registry.benches(database)
    assert (bench.study, bench.state, bench.nbytes, bench.pid) == ("s", "ready", 123, os.getpid())


def test_the_newest_request_of_a_client_cancels_its_older_ones(start: Start) -> None:
    with Line(start()) as line:
        for number, text in enumerate(("slow", "slow", "new"), start=1):
            line.generate(number, text)
        ended = [line.until("failed", "done") for _ in range(3)]
    cancelled = {each["request"]: each.get("cancelled", False) for each in ended}
    assert cancelled == {1: True, 2: True, 3: False}


def test_clients_take_turns_and_one_does_not_cancel_the_other(start: Start) -> None:
    path = start()
    with Line(path) as one, Line(path) as other:
        one.generate(1, "slow")
        one.until("piece")
        other.generate(1, "hi")
        one.generate(2, "slow")  # it comes after the other's
        assert one.until("failed")["cancelled"]
        assert other.until("done")["request"] == 1
        assert one.until("piece")["request"] == 2
        one.order(2, "cancel")
        assert one.until("failed") == {
            "request": 2, "event": "failed", "cancelled": True, "hint": "", "kind": "",
            "title": "A newer request, or its sender, cancelled this one.",
        }  # fmt: skip


def test_a_client_that_goes_takes_its_requests_along(start: Start) -> None:
    path = start()
    with Line(path) as one:
        one.generate(1, "slow")
        one.until("piece")
    with Line(path) as other:
        other.generate(1, "hi")
        assert other.until("done")["request"] == 1, "the endless request ended with its client"


def test_a_fault_of_the_bench_is_the_answer(start: Start) -> None:
    with Line(start()) as line:
        line.generate(1, "fault")
        assert line.until("failed")["title"] == "ValueError: a fault"
        line.generate(2, "hi")
        line.until("done")


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (b"\n", 0),
        (b"nonsense\n", 0),
        (b"\xff\xfe\n", 0),
        (b"[1]\n", 0),
        (b'{"request": true, "do": "status"}\n', 0),
        (b'{"request": -1, "do": "status"}\n', 0),
        (b'{"request": ' + b"9" * 5000 + b"}\n", 0),
        (b"[" * 100_000 + b"\n", 0),
        (b'{"request": 3}\n', 3),
        (b'{"request": 3, "do": ["stop"]}\n', 3),
        (b'{"request": 3, "do": "generate", "columns": ["base"]}\n', 3),
        (b'{"request": 3, "do": "lens", "prompt": {"text": 1}, "surplus": 1}\n', 3),
    ],
    ids=range(12),
)
def test_a_line_that_is_no_request_is_refused_and_the_next_is_answered(
    start: Start, raw: bytes, number: int
) -> None:
    with Line(start()) as line:
        line.write(raw)
        assert line.until("failed")["request"] == number
        line.generate(4, "hi")
        line.until("done")


def test_a_line_without_an_end_ends_the_connection_only(start: Start) -> None:
    path = start()
    with Line(path) as line:
        line.write(b"x" * (LONGEST + 2))
        assert line.until("failed")["title"].startswith("A line to the bench has more than")
        assert line.read() is None
    with Line(path) as half:
        half.write(b'{"request": 1, "do": "gen')
    with Line(path) as line:
        line.generate(1, "hi")
        line.until("done")


def test_an_answer_that_is_too_long_for_a_line_is_said_to_be(start: Start) -> None:
    with Line(start()) as line:
        line.generate(1, "long")
        assert "the bench's limit is 4.0 MiB" in line.until("failed")["title"]


def test_a_client_that_never_reads_is_given_up(start: Start) -> None:
    path = start()
    with Line(path) as deaf, Line(path) as line:

        def speak() -> None:
            for number in range(1, 100):
                deaf.generate(number, "x" * (LONGEST // 2))
                line.generate(number, "hi")
                line.until("done")
                line.until("hello")

        with pytest.raises(OSError, match=r"(?i)broken pipe|reset"):
            speak()
        line.generate(100, "hi")
        line.until("done")


def test_a_process_of_another_user_is_not_heard(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = start()
    monkeypatch.setattr("app.bench.server.os", SimpleNamespace(getuid=lambda: os.getuid() + 1))
    with Line(path) as line, contextlib.suppress(ConnectionResetError):
        assert line.read() is None
    monkeypatch.undo()


def test_a_client_too_many_is_told_so(start: Start, database: Path) -> None:
    path = start()
    with contextlib.ExitStack() as held:
        lines = [held.enter_context(Line(path)) for _ in range(server.CLIENTS)]
        assert all(line.until("hello") for line in lines)
        with Line(path) as further:
            assert further.until("ended")["title"] == (
                f"The bench already has {server.CLIENTS} clients, the most that it takes."
            )
            assert further.read() is None
        connecting = client.connect(database, study(), start=False)
        with pytest.raises(RunError, match="the most that it takes"):
            asyncio.run(connecting)
        (bench,) = registry.benches(database)
        assert bench.state == "busy"
        with pytest.raises(RunError, match="the most that it takes"):
            registry.end(bench)
    assert eventually(lambda: registry.benches(database)[0].state == "ready")


def test_a_user_with_a_large_number_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As directories of large organisations give them, beyond a signed integer of 32 bits."""
    user = 3_000_000_000
    connection = SimpleNamespace(getsockopt=lambda *_: struct.pack("=iII", 4711, user, user))
    writer: Any = SimpleNamespace(get_extra_info=lambda _: connection)
    monkeypatch.setattr("app.bench.server.os", SimpleNamespace(getuid=lambda: user))
    assert server._is_own(writer)
    monkeypatch.setattr("app.bench.server.os", SimpleNamespace(getuid=lambda: user + 1))
    assert server._is_own(writer) is not hasattr(socket, "SO_PEERCRED")


def test_a_worker_without_requests_ends(start: Start, database: Path) -> None:
    with Line(start(idle=0.3)) as line:
        ended = line.until("ended")
        assert ended["title"] == "The bench's worker ended. It had no request for 0.005 minutes."
        assert ended["kind"] == ""
        assert line.read() is None
    assert eventually(lambda: registry.benches(database) == [])


def test_a_worker_is_stopped_by_a_client_while_it_loads(start: Start) -> None:
    with Line(start("slowly")) as line:
        assert line.until("hello")["state"] == "loading"
        line.order(0, "stop")
        assert line.until("ended")["kind"] == "Cancelled"


def test_only_this_user_can_open_the_files(start: Start, database: Path) -> None:
    path = Path(start())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.parent == database.with_suffix(".bench")


def test_the_socket_of_a_deep_database_is_elsewhere(tmp_path: Path) -> None:
    place = places.of(tmp_path / ("d" * 100 + ".db"), study())
    with places.listen(place) as listening:
        path = Path(listening.getsockname())
        assert len(os.fsencode(path)) <= places.LONGEST
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        places.remove(place, _record(path))
        assert not path.parent.exists()


def test_the_socket_is_elsewhere_where_the_file_system_has_none(tmp_path: Path) -> None:
    place = Place(tmp_path / "gone" / "x")  # binding fails here as on such a file system
    with places.listen(place) as listening:
        path = Path(listening.getsockname())
        assert path.exists()
        places.remove(place, _record(path))
        assert not path.parent.exists()


def test_without_locks_the_record_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    place = places.of(tmp_path / "x.db", study())
    places.write(place, _record(tmp_path / "dead"))
    assert places.read(place) is None
    assert not place.record.exists()
    with places.claimed(place) as mine:
        assert mine
        began = psutil.Process().create_time()
        places.write(place, replace(_record(tmp_path / "s"), pid=os.getpid(), began=began))
        with places.claimed(place) as second:
            assert not second


def test_the_files_of_a_dead_worker_go_and_nothing_else(tmp_path: Path) -> None:
    place = places.of(tmp_path / "x.db", study())
    precious = tmp_path / "precious"
    precious.write_text("not a socket")
    places.write(place, _record(precious))
    assert list(places.records(tmp_path / "x.db")) == []
    assert not place.record.exists()
    assert precious.read_text() == "not a socket"
    place.record.write_text("{}")
    assert places.read(place) is None
    assert not place.record.exists()


def test_the_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.bench").write_text("in the way")
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        folder = places.folder(tmp_path / "x.db")
        assert folder.parent == Path(runtime) / f"tauscope-{os.getuid()}"
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def _record(path: Path) -> places.Record:
    return places.Record(
        study="s", key="k", host=socket.gethostname(), pid=2**22 + 1, began=0.0, socket=str(path),
        idle=1.0,
    )  # fmt: skip
