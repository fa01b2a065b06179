"""The workstation in a browser: on loopback alone, for whoever has its address, and no one else."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.jobs.environment import child_environment
from storage.database import open_database
from tests.patience import PATIENCE


def test_without_the_extra_it_names_it(tauscope: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    result = tauscope("serve")
    assert result.code == 2
    assert result.out == ""
    assert "extra 'serve'" in result.err
    assert "tauscope[serve]" in result.err


def test_a_port_that_is_taken_is_one_error(tauscope: Any) -> None:
    pytest.importorskip("textual_serve")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = tauscope("serve", "--port", port)
    assert result.code == 2
    assert f"Port {port} is not available" in result.err
    assert "--port" in result.err


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a workstation that is served, and its process."""
    pytest.importorskip("textual_serve")
    url = str(tmp_path / "runs.db")
    open_database(url).close()
    folders = {f"XDG_{name}_HOME": str(tmp_path) for name in ("CONFIG", "STATE", "DATA")}
    address = ""
    while not address:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "app.cli.main", "--db", url, "serve", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**child_environment(), **folders},
        )
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            _, err = process.communicate(timeout=PATIENCE)
            assert f"Port {port} is not available" in err, "another process has just taken it"
    try:
        yield address, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)  # nothing, where it has ended already
        _, err = process.communicate(timeout=PATIENCE)
        assert "ssh -L" in err
        assert "Traceback" not in err


async def test_it_is_open_to_its_own_address_alone(served: tuple[str, psutil.Process]) -> None:
    import aiohttp

    address, process = served
    origin, _, token = address.rstrip("/").rpartition("/")
    host, _, port = origin.rpartition(":")
    assert host == "http://127.0.0.1"
    assert len(token) >= 32
    listening: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        while not listening:
            await asyncio.sleep(0.05)
            open_to = process.net_connections("inet")
            listening = {each.laddr.ip for each in open_to if each.status == "LISTEN"}
    assert listening == {"127.0.0.1"}

    jar = aiohttp.CookieJar(unsafe=True)  # one that keeps cookies of a bare address
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:

        async def asked(url: str, **headers: str) -> aiohttp.ClientResponse:
            async with browser.get(url, headers=headers) as response:
                await response.read()
                return response

        assert (await asked(origin)).status == 403
        assert (await asked(f"{origin}/?token={token}")).status == 403
        assert (await asked(f"{origin}/{token[:-1]}/")).status == 403
        assert (await asked(f"{origin}/static/js/textual.js")).status == 403
        page = await asked(address)
        assert page.status == 200
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "//fonts" not in policy, "a page asks nothing of other hosts"
        assert "frame-ancestors 'none'" in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert (await asked(f"{address}static/js/textual.js")).status == 200
        assert not list(jar), "a cookie would go to every port of the machine"
        assert (await asked(address, Host=f"evil.example:{port}")).status == 403
        assert (await asked(address, Origin="http://evil.example")).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await browser.ws_connect(f"{address}ws", origin="http://evil.example")

        size = "width=99999999&height=24"
        async with browser.ws_connect(f"{address}ws?{size}", origin=origin) as terminal:
            shown = b""
            async with asyncio.timeout(PATIENCE):
                while b"No runs yet" not in shown:
                    message = await terminal.receive()
                    assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)
                    shown += message.data if isinstance(message.data, bytes) else b""
            windows = process.children(recursive=True)
            assert windows
            assert windows[-1].environ()["COLUMNS"] == "1000"
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(PATIENCE):
                while not terminal.closed:
                    await terminal.receive()
    assert psutil.wait_procs([*windows, process], timeout=PATIENCE)[1] == [], (
        "no window outlives it"
    )


@pytest.mark.parametrize(
    ("asked", "given"),
    [("120", 120), (0, 10), (-5, 10), (10**12, 1000), (None, 80), ("wide", 80), (float("inf"), 80)],
)
def test_a_window_has_a_size_within_bounds(asked: object, given: int) -> None:
    workstation = pytest.importorskip("app.web.workstation")
    assert workstation._within(asked, *workstation.SIZES["width"]) == given


async def test_a_user_without_a_name_gets_the_address_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that runs under any number."""
    pytest.importorskip("textual_serve")
    from aiohttp import web

    from app.web.workstation import Workstation

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    server = Workstation("true", "127.0.0.1", 8123, "token", None)
    await server.on_startup(web.Application())
    said = capsys.readouterr()
    assert said.out == "http://127.0.0.1:8123/token/\n"
    assert f"ssh -L 8123:127.0.0.1:8123 USER@{socket.gethostname()}" in said.err


async def test_a_window_ends_with_a_server_that_was_killed(
    served: tuple[str, psutil.Process],
) -> None:
    import aiohttp

    address, process = served
    origin = address.rstrip("/").rpartition("/")[0]
    async with aiohttp.ClientSession() as browser, asyncio.timeout(PATIENCE):
        while True:  # the address is printed before the server listens
            try:
                terminal = await browser.ws_connect(f"{address}ws", origin=origin)
                break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
        shown = b""
        while b"No runs yet" not in shown:
            message = await terminal.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)
            shown += message.data if isinstance(message.data, bytes) else b""
        windows = process.children(recursive=True)
        process.kill()
        await terminal.close()
    assert psutil.wait_procs(windows, timeout=PATIENCE)[1] == []
