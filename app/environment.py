"""What a run is computed in: versions and the machine. Imports none of what it names."""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

import app

PACKAGES = (
    "torch", "numpy", "scipy", "transformers", "accelerate", "safetensors", "tokenizers",
    "huggingface_hub", "lm_eval", "peft", "sqlalchemy", "textual", "plotext",
)  # fmt: skip
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
