"""The connection of a run to Ray, and its security.

A cluster of our own listens on the loopback device and asks for a token; a cluster at another
address must ask for a token too.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from app.jobs.environment import child_environment
from core.errors import RunError, StudyError, reason
from core.files import partial
from core.study.study import Run

STARTS = 2
"""Starts of a cluster on this host, one after another, before the run fails."""

_QUIET: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
_SPARE = "tau-ray-"
_CONNECT = 5.0  # seconds that an address may take to answer
_KILLED = 10.0  # seconds for killed processes to end
_LONGEST = 18  # characters of the parent of a run's folder: paths of sockets have at most 107


@contextlib.contextmanager
def connected(address: str | None, workers: int | None, run: Run) -> Iterator[None]:
    """Connect to a cluster. Without an address, start one on this host that ends with the block."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None:
        guard()
    else:
        _check_address(address)
    import ray  # reads the environment

    with contextlib.ExitStack() as stack:
        before = signal.getsignal(signal.SIGTERM)
        try:
            if address is None:
                _start(stack, workers, run)
            else:
                ray.init(address=address, **_QUIET)
        except Exception as error:  # Ray raises plain ones too
            ended = f"reached at {address}" if address else "started"
            raise RunError(
                f"Ray can't be {ended}: {reason(error)}",
                hint="Finished units are stored; start the run again to go on.",
            ) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has replaced the handler
        stack.callback(ray.shutdown)
        with _silent(ray):
            yield


def _start(stack: contextlib.ExitStack, workers: int | None, run: Run) -> None:
    """Start a cluster on this host, in a folder that the stack removes.

    Ray gives a start 30 s, which a busy host may exceed, so there are up to STARTS starts.
    """
    import ray

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    for left in reversed(range(STARTS)):
        others = set(psutil.Process().children(recursive=True))
        try:
            ray.init(
                address="local", include_dashboard=False, _node_ip_address="127.0.0.1",
                _temp_dir=str(stack.enter_context(short_folder())),
                num_cpus=max(cores or os.cpu_count() or 1, workers or 1),
                num_gpus=0 if run.device == "cpu" else None, **_QUIET,
            )  # fmt: skip
        except Exception:
            ray.shutdown()
            _end(set(psutil.Process().children(recursive=True)) - others)
            if not left:
                raise
        else:
            return


def _end(processes: Iterable[psutil.Process]) -> None:
    """End the processes of a start that failed; without that they live as long as this one."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=_KILLED)


def guard() -> None:
    """Make our own cluster require a token that only this process and its children know."""
    os.environ["RAY_AUTH_MODE"] = "token"
    if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if known := child_environment().get("PYTHONPATH"):
        os.environ["PYTHONPATH"] = known


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder for Ray's sockets, whose paths may have 107 bytes; removes folders of dead runs."""
    root = Path(tempfile.gettempdir())
    if len(str(root)) > _LONGEST:
        root = Path("/tmp")
    for old in root.glob(f"{_SPARE}*"):
        number = old.name.removeprefix(_SPARE).partition("-")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            with partial.holding(old) as is_free:  # a container sees no other one's processes
                if is_free:
                    shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_SPARE}{os.getpid()}-", dir=root))
    try:
        with partial.holding(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """Keep Ray from printing inside the block: the run itself reports lost workers.

    Ray prints the ends of its processes to stderr whatever `log_to_driver` says.
    """
    printing, name = ray._private.worker, "print_worker_logs"
    before = getattr(printing, name, None)
    setattr(printing, name, lambda *_, **__: None)
    try:
        yield
    finally:
        setattr(printing, name, before)


def _check_address(address: str) -> None:
    """Raise RunError if nothing answers at an address, StudyError if it is open to a network."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT) as connection:
            is_loopback = ipaddress.ip_address(connection.getpeername()[0]).is_loopback
    except (OSError, OverflowError, ValueError) as error:
        raise RunError(
            f"Ray does not answer at {address}: {reason(error)}.",
            hint="Start it there with: ray start --head.",
        ) from None
    if not is_loopback and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise StudyError(
            f"The Ray cluster at {address} may be open to everyone on its network.",
            hint="Set RAY_AUTH_MODE=token here and where its nodes start: see docs/cluster.md.",
        )
