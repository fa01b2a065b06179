"""The cost of a study, from `tauscope plan` in a process of its own.

Owns that process and the layout of its answer; app.jobs.preflight has the words. Never imports the
engine: that would halt the screen for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from textual.content import Content

from app.drafts import building, studyfile
from app.drafts.building import Draft
from app.jobs import preflight
from app.jobs.environment import child_environment
from app.text import plain
from app.tui.columns import table
from core.errors import RunError
from core.files.partial import scratch

UNKNOWN = "The preflight failed without an error message."


async def foresee(draft: Draft, db_url: str) -> dict[str, Any]:
    """The output of `plan --json` for a draft. A cancellation ends its process.

    Raises RunError with what that process said.
    """
    with scratch("outlook") as folder:
        file = folder / "study.toml"
        studyfile.save(draft, file)
        only = building.only(draft)
        asked = ["--db", db_url, "plan", str(file), "--json"]
        asked += ["--only", ",".join(only)] if only else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "app.cli.main", *asked,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=child_environment(), start_new_session=True,
        )  # fmt: skip
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
    if process.returncode:
        raise _failure(err.decode(errors="replace").replace(str(file), "the study"))
    try:
        forecast: dict[str, Any] = json.loads(out)
    except ValueError:
        raise RunError(UNKNOWN) from None
    return forecast


def _failure(output: str) -> RunError:
    """The error in a command's output; the last line of a traceback."""
    lines = [line for line in output.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith("error: ")), None)
    if start is None:
        return RunError(lines[-1] if lines else UNKNOWN)
    title = lines[start].removeprefix("error: ")
    return RunError(title, hint=" ".join(line.strip() for line in lines[start + 1 :]))


def shown(cost: Mapping[str, Any], width: int) -> Content:
    """The answer of the preflight: the sums first, then each analysis and model."""
    first, *more = map(plain, preflight.totals(cost))
    blocks = [
        [Content.styled(first, "bold" if more else "$success"), *map(Content, more)],
        table(preflight.SHARES, preflight.shares(cost), width),
        table(preflight.MODELS, preflight.models(cost), width),
        table(*preflight.cards(cost), width),
        [Content.assemble(("! ", "$warning bold"), f"{plain(about)}: {plain(note)}")
         for about, note in cost["notes"]],
    ]  # fmt: skip
    return Content("\n\n").join(Content("\n").join(block) for block in blocks if block)
