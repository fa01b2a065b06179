"""Calls of lm-evaluation-harness: silenced, seeded, and kept off the network.

Owns the state of third-party modules during a call, and restores it. Knows no task and no model.
Importing the harness takes seconds, so it is imported when called.
"""

from __future__ import annotations

import contextlib
import random
import socket
import urllib.request
import warnings
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from core import libraries

_PATIENCE = 3.0
"""Seconds to wait for the hub before it counts as unreachable."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress output, logs, warnings and bars of the harness and its dependencies;
    `core.libraries` reports the important ones."""
    # Imported before listening, since importing sets up loggers.
    import datasets
    import lm_eval.api.task

    with libraries.quiet(), contextlib.ExitStack() as stack:
        warnings.simplefilter("default")
        # The harness has no switch for its progress bar of building requests.
        stack.enter_context(_changed(lm_eval.api.task, "tqdm", _without_bar))
        if not datasets.utils.are_progress_bars_disabled():
            datasets.disable_progress_bars()
            stack.callback(datasets.enable_progress_bars)
        yield


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed every random generator of tasks and sampling; restore the caller's states afterwards.

    The same as the harness's own `--seed`. States of cards are not restored: asking for them would
    take memory on every card.
    """
    import numpy as np
    import torch

    python_state, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(legacy)


@contextlib.contextmanager
def reading(*, local: bool) -> Iterator[str]:
    """Allow reading data sets. `local`: all are files, without network access.

    If the hub is unreachable, its cache is used at once, without minutes of retries for every data
    set. Yields the reason for not asking the hub; empty if it is asked, or not needed.
    """
    import datasets
    import huggingface_hub

    with contextlib.ExitStack() as stack:
        # datasets counts downloads over the network even for a local file.
        stack.enter_context(_changed(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False))
        endpoint, why = huggingface_hub.constants.ENDPOINT, ""
        if not local and not _hub_answers(endpoint):
            why = "HF_HUB_OFFLINE is set" if _is_offline() else f"{endpoint} gives no answer"
        if local or why:
            stack.enter_context(_changed(datasets.config, "HF_HUB_OFFLINE", True))
            stack.enter_context(_changed(huggingface_hub.constants, "HF_HUB_OFFLINE", True))
        yield why


def version() -> str:
    """The harness's version."""
    import importlib.metadata

    return importlib.metadata.version("lm_eval")


def _hub_answers(endpoint: str) -> bool:
    """Is the hub allowed and reachable? True behind a proxy, where this can't be tested."""
    if _is_offline():
        return False
    if urllib.request.getproxies():
        return True
    address = urlsplit(endpoint)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_PATIENCE).close()
    except OSError:
        return False
    return True


def _is_offline() -> bool:
    """Does an environment variable forbid asking the hub?"""
    import datasets
    import huggingface_hub

    return bool(datasets.config.HF_HUB_OFFLINE or huggingface_hub.constants.HF_HUB_OFFLINE)


@contextlib.contextmanager
def _changed(holder: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


def _without_bar(iterable: Iterable[Any], **_: Any) -> Iterable[Any]:
    return iterable
