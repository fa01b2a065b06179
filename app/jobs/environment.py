"""The environment of a run: versions, machine, settings. Imports none of the named libraries."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import socket
import sysconfig
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

import app

PACKAGES = (
    "torch", "numpy", "scipy", "transformers", "accelerate", "safetensors", "tokenizers",
    "huggingface_hub", "datasets", "lm_eval", "peft", "numba", "gguf", "ray", "sqlalchemy",
    "textual", "plotext",
)  # fmt: skip
_AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_QUOTA, _LOAD = Path("/sys/fs/cgroup/cpu.max"), Path("/proc/loadavg")
_SAMPLES, _MOMENT = 5, 0.004  # samples of the load, and seconds before each
_WATCH = 1.0  # seconds between two looks for the parent
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def environment() -> dict[str, Any]:
    """The environment stored with a run, as JSON."""
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def tune() -> None:
    """Set environment variables for fast arithmetic; they work only before scipy and torch are
    imported.

    Large pages for torch's memory, and on AMD processors with AVX-512 the OpenBLAS kernels that use
    it, which OpenBLAS doesn't choose automatically. Threads that wait sleep, and there are as many
    as this machine has room for (`free_threads`). The user's own settings stay.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "OMP_NUM_THREADS" not in os.environ and (threads := free_threads()) is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    flags = set(processor.partition("flags")[2].partition("\n")[0].split())
    if "AuthenticAMD" in processor and flags >= _AVX512:
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


def free_threads() -> int | None:
    """The number of threads for arithmetic; None where the libraries' own choice, one a core, fits.

    One thread for each core that no other process uses now. At least half of this process's cores,
    since they may be busy only for a moment, and at most the quota of its container.
    Threads without a core of their own are slow: all wait for the last at the end of each
    operation.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = min(usable or 1, psutil.cpu_count(logical=False) or usable or 1)
    room = math.ceil(min(cores, _quota()))
    busy = sorted(_running() for _ in range(_SAMPLES))[_SAMPLES // 2]
    threads = max(1, math.ceil(room / 2), min(room, (os.cpu_count() or 1) - busy))
    return threads if threads < cores else None


def _quota() -> float:
    """The processors that a container may use at once; infinite without a limit."""
    with contextlib.suppress(OSError, ValueError):
        allowed, period = _QUOTA.read_text(encoding="ascii").split()
        return math.inf if allowed == "max" else int(allowed) / int(period)
    return math.inf


def _running() -> int:
    """The tasks of this machine that run or wait for a processor a moment later, without this
    one; 0 where the system does not say."""
    time.sleep(_MOMENT)
    try:
        return max(0, int(_LOAD.read_text(encoding="ascii").split()[3].partition("/")[0]) - 1)
    except (OSError, ValueError, IndexError):
        return 0


def quicken() -> None:
    """Let Textual paint up to 120 times a second, which works only before it is imported: its
    default, a 60th of a second, is noticeable at each key. The user's own setting stays."""
    os.environ.setdefault("TEXTUAL_FPS", "120")


def child_environment() -> dict[str, str]:
    """This process's environment for `python -P -m app...`, with the path of a checkout that is not
    installed.

    `-P` excludes the current folder, which may have a user's own `app` folder.
    """
    root = Path(__file__).resolve().parents[1]
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    if root in installed:
        return dict(os.environ)
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else str(root)}


def give_way() -> None:
    """Lower this process's priority, so that interactive programs run first on busy processors."""
    if hasattr(os, "nice"):
        os.nice(10)


def end_with_parent() -> None:
    """End this process as soon as its parent has ended, whatever it computes."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, name="orphan", daemon=True).start()


def versions() -> dict[str, str]:
    """The versions of tauscope and of every package that may affect its numbers."""
    installed = {"tauscope": app.__version__}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def offline() -> dict[str, str]:
    """The set environment variables of Hugging Face's offline mode."""
    return {name: os.environ[name] for name in OFFLINE if name in os.environ}
