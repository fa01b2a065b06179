"""The report of `tauscope doctor`: versions, devices, terminal, settings, database, caches.

Answers are independent: a failing one reports its error and stops no other. Torch is examined in a
separate process, which may fail or hang.
"""

from __future__ import annotations

import json
import locale
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from app import config
from app.bench import registry
from app.jobs.environment import child_environment, offline, versions
from app.library.shelves import cache_folder
from app.results import wording
from core.errors import TauscopeError
from storage.database import open_database, path_of

_DEVICES = """
import json, torch
from app.jobs.gauge import open_nvml
from core.models import cards
from core.sizes import counted
rows = [["cpu", "yes", 0]]
for i in range(torch.cuda.device_count()):
    card = torch.cuda.get_device_properties(i)
    rows.append([f"cuda:{i}", card.name, card.total_memory])
if torch.backends.mps.is_available():
    rows.append(["mps", "yes", 0])
nvml = open_nvml()
if nvml is not None:
    seen = f"{counted(nvml.nvmlDeviceGetCount(), 'card')}; torch sees {torch.cuda.device_count()}"
    rows.append(["NVIDIA driver", f"{nvml.nvmlSystemGetDriverVersion()}, {seen}", 0])
if cards.unused():
    rows.append(["cards not used", cards.unused(), 0])
if cards.outdated():
    rows.append(["CUDA", cards.outdated(), 0])
try:
    import numba
    rows.append(["loops over weights", f"compiled by numba {numba.__version__}", 0])
except ImportError:
    rows.append(["loops over weights", 'not compiled; faster with the extra "fast"', 0])
print(json.dumps(rows))
"""

Answers = dict[str, str]


def examine(url: str | None) -> dict[str, Answers]:
    """Answers by topic, in order."""
    topics: dict[str, Callable[[], Answers]] = {
        "versions": lambda: {"python": platform.python_version(), **versions()},
        "devices": _devices,
        "terminal": _terminal,
        "settings": _settings,
        "database": lambda: _database(url),
        "benches": lambda: _benches(url),
        "models": _models,
    }
    return {topic: _answered(ask) for topic, ask in topics.items()}


def _answered(ask: Callable[[], Answers]) -> Answers:
    """The answers of a topic, or the system's error."""
    try:
        return ask()
    except (OSError, ValueError) as error:
        return {"state": f"unknown: {getattr(error, 'strerror', None) or error}"}


def _devices() -> Answers:
    try:
        asked = subprocess.run(
            [sys.executable, "-P", "-c", _DEVICES],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=child_environment(),
        )
        devices = json.loads(asked.stdout.splitlines()[-1])
        return {name: f"{what}, {wording.size(memory)}" if memory else what
                for name, what, memory in devices}  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"torch": "gave no answer within a minute"}
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:]
        return {"torch": f"failed: {''.join(last)}"}
    except (OSError, ValueError, IndexError) as error:
        return {"torch": f"failed: {error}"}


def _terminal() -> Answers:
    size = shutil.get_terminal_size()
    encoding = sys.stdout.encoding or locale.getpreferredencoding()
    return {
        "stdout": "a terminal" if sys.stdout.isatty() else "not a terminal",
        "TERM": os.environ.get("TERM", "not set"),
        "colours": _colours(),
        "size": f"{size.columns} x {size.lines}",
        "encoding": encoding
        + ("" if "utf" in encoding.lower() else ": charts need UTF-8, set LANG=C.UTF-8"),
        "inside": ", ".join(n.lower() for n in ("TMUX", "STY") if n in os.environ) or "nothing",
    }


def _colours() -> str:
    """The terminal's colours, by the same environment variables as the screens."""
    if os.environ.get("NO_COLOR"):
        return "none (NO_COLOR)"
    term = os.environ.get("TERM", "")
    if term == "dumb":
        return "none"
    if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "16 million"
    if not term:
        return "none"
    return "256 (set COLORTERM=truecolor if the terminal supports it)" if "256" in term else "16"


def _settings() -> Answers:
    """The settings file, its existence and its errors."""
    file = config.path()
    try:
        config.read(file)
    except TauscopeError as error:
        return {"file": str(file), "state": f"can't be used: {error.title} {error.hint}".strip()}
    return {"file": str(file), "state": "readable" if file.exists() else "not made yet"}


def _database(url: str | None) -> Answers:
    """The database, opened for reading only; it is not created."""
    try:
        path = path_of(url)
        if not path.exists():
            return {"path": str(path), "state": "not made yet"}
        db = open_database(url)
        try:
            with db.reading() as connection:
                version = connection.exec_driver_sql("PRAGMA user_version").scalar()
                count = connection.exec_driver_sql("SELECT count(*) FROM runs").scalar()
        finally:
            db.close()
    except TauscopeError as error:
        return {"state": f"can't be used: {error.title} {error.hint}"}
    return {
        "path": str(path),
        "state": "readable and writable" if db.writable else "read-only",
        "journal": str(db.journal),
        "schema": str(version),
        "runs": str(count),
        "size": wording.size(path.stat().st_size),
        "artifacts": wording.size(_sum_of(db.folder("artifacts"))),
    }


def _benches(url: str | None) -> Answers:
    """The running benches beside the database."""
    try:
        benches = registry.benches(path_of(url))
    except TauscopeError:
        return {"state": "unknown without a database"}
    return {
        f"process {each.pid}": f"{each.study}, {each.state}, holds {wording.size(each.nbytes)}"
        for each in benches
    } or {"state": "none is running"}


def _models() -> Answers:
    cache = cache_folder()
    switches = ", ".join(f"{name}={value}" for name, value in offline().items())
    free = ""
    if cache.exists():
        free = f", {wording.size(shutil.disk_usage(cache).free)} free"
    return {
        "cache": f"{cache} ({'there' if cache.exists() else 'not made yet'}{free})",
        "offline": switches or "no",
    }


def _sum_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.npz"))
