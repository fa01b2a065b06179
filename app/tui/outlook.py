"""What a study will take, asked of `tauscope plan` in a process of its own, and shown.

Owns that process and the words about its answer. The engine is never imported here: it would hold
the screen up for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from textual.content import Content

from app import building, studyfile
from app.building import Draft
from app.charts.lines import exactly, fitted
from app.environment import child_environment
from app.text import plain
from app.wording import count, size, span
from core.errors import RunError

UNKNOWN = "The preflight failed without a word."


async def foresee(draft: Draft, db_url: str) -> dict[str, Any]:
    """What `plan --json` says of a draft. Cancelled, it ends its process.

    Raises RunError with what that process said.
    """
    with tempfile.TemporaryDirectory(prefix="tauscope-") as folder:
        file = Path(folder) / "study.toml"
        studyfile.save(draft, file)
        only = building.only(draft)
        asked = ["--db", db_url, "plan", str(file), "--json"]
        asked += ["--only", ",".join(only)] if only else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "app.cli", *asked,
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
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        raise RunError(UNKNOWN) from None
    return found


def _failure(said: str) -> RunError:
    """The error among what a command said; of a fault, the last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith("error: ")), None)
    if start is None:
        return RunError(lines[-1] if lines else UNKNOWN)
    title = lines[start].removeprefix("error: ")
    return RunError(title, hint=" ".join(line.strip() for line in lines[start + 1 :]))


def shown(found: Mapping[str, Any], width: int) -> Content:
    """What the preflight found: the sums first, then memory, then each analysis and model."""
    held = [(device, size(nbytes)) for device, nbytes in found["needed"].items()]
    blocks = [
        list(_totals(found)),
        _table(("on", "weights held at most"), held, width),
        _table(("analysis", "units", "done", "time", "asks"), _shares(found), width),
        _table(("model", "size", "read", "loaded", "layers lie on"), _models(found), width),
        [Content.assemble(("! ", "$warning bold"), f"{plain(about)}: {plain(note)}")
         for about, note in found["notes"]],
    ]  # fmt: skip
    return Content("\n\n").join(Content("\n").join(block) for block in blocks if block)


def _totals(found: Mapping[str, Any]) -> Iterator[Content]:
    left = sum(share["units"] - share["finished"] for share in found["shares"])
    if not left:
        yield Content.styled(
            "Nothing is left to compute: every unit is in the database.", "$success"
        )
        return
    rough = found["rough"]
    yield Content.assemble(
        "About ", (span(found["seconds"]), "bold $accent"), f" on {plain(found['device'])}, for ",
        (str(left), "bold"), " units. ",
        ("A rough guess: it may be several times off." if rough
         else "Taken from finished units of this size.", "$warning" if rough else "$muted"),
    )  # fmt: skip
    read = sum(model["read"] for model in found["models"])
    loaded = sum(m["stored"] * (m["loads"] + m["as_vector"]) for m in found["models"])
    yield Content.assemble(
        "Reads ", (size(read), "bold"), " in the pass over the weights, ",
        (size(loaded), "bold"), " for loading. Activations need memory on top of the weights.",
    )  # fmt: skip


def _shares(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for share in found["shares"]:
        items = sum(times * items for _, times, items in share["asked"])
        asks = [f"{count(items)} items" if items else ""]
        asks += [f"{count(share['forward'])} tokens" if share["forward"] else ""]
        about = "" if share["measured"] else "~"
        rows.append((
            share["analysis"].replace("_", " "), str(share["units"]), str(share["finished"] or ""),
            f"{about}{span(share['seconds'])}", ", ".join(filter(None, asks)),
        ))  # fmt: skip
    return rows


def _models(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for model in found["models"]:
        places = [f"{on}: {_part(modules)}{size(n)}" for on, modules, n in model["places"]]
        loaded = [f"{model['loads']} ×" if model["loads"] else ""]
        loaded += ["as vector" if model["as_vector"] else ""]
        rows.append((
            model["model"], count(model["parameters"]),
            size(model["read"]) if model["read"] else "",
            ", ".join(filter(None, loaded)), "; ".join(places),
        ))  # fmt: skip
    return rows


def _part(modules: Sequence[str]) -> str:
    return f"{len(modules)} parts, " if len(modules) > 1 else ""


def _table(head: Sequence[str], rows: Sequence[tuple[str, ...]], width: int) -> list[Content]:
    """Columns as wide as they need to be; the last gets what is left."""
    if not rows:
        return []
    cells = [tuple(plain(word) for word in row) for row in (head, *rows)]
    widths = [min(24, max(cell_len(row[i]) for row in cells)) for i in range(len(head) - 1)]
    last = max(4, width - sum(widths) - 2 * len(widths))
    lines = []
    for at, row in enumerate(cells):
        words = "  ".join(fitted(word, w) for word, w in zip(row, widths, strict=False))
        words += "  " + exactly(row[-1], min(last, cell_len(row[-1])))
        lines.append(Content.styled(words.rstrip(), "$muted" if at == 0 else ""))
    return lines
