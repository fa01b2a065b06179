"""The environment of a run: versions, machine, settings. Imports no library that it names."""

from __future__ import annotations

import os
import platform
import socket
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

import app

PACKAGES = (
    "torch", "numpy", "scipy", "transformers", "accelerate", "safetensors", "tokenizers",
    "huggingface_hub", "lm_eval", "peft", "sqlalchemy", "textual", "plotext",
)  # fmt: skip
_AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def environment() -> dict[str, Any]:
    """What is kept with a run, as JSON."""
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def tune() -> None:
    """Settings for fast arithmetic; they count only before numpy and torch are imported.

    Large pages for torch's memory, and on AMD processors with AVX-512 the OpenBLAS kernels that
    use it, which OpenBLAS doesn't choose by itself there. What the user has set stays.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    flags = set(processor.partition("flags")[2].partition("\n")[0].split())
    if "AuthenticAMD" in processor and flags >= _AVX512:
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


def quicken() -> None:
    """Have Textual paint up to 120 times a second, which counts only before it is imported: a 60th
    of a second, its default, is felt at each key. What the user has set stays."""
    os.environ.setdefault("TEXTUAL_FPS", "120")


def child_environment() -> dict[str, str]:
    """Ours for a `python -P -m app...`, with the way to a checkout that is not installed.

    `-P` keeps a user's own `app` folder out, and with it the folder that we were started in.
    """
    root = Path(__file__).resolve().parents[1]
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    if root in installed:
        return dict(os.environ)
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else str(root)}


def give_way() -> None:
    """Let whatever somebody waits for at a screen go before this process, on busy processors."""
    if hasattr(os, "nice"):
        os.nice(10)


def versions() -> dict[str, str]:
    """The version of tauscope and of every package that its numbers may depend on."""
    found = {"tauscope": app.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def offline() -> dict[str, str]:
    """Those of Hugging Face's switches for working without a network that are set."""
    return {name: os.environ[name] for name in OFFLINE if name in os.environ}
