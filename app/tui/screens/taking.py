"""What is taken from the screen of a run: to the clipboard, and into files, asked for by a letter.

What is taken is what is seen, under the same choice and filter. Writes in a process of its own.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from app.text import plain
from app.tui.memory import Remembering
from app.tui.screens.pick import Offer, PickScreen
from app.tui.source import Source
from core.filters import Filter
from core.places import expanded

if TYPE_CHECKING:
    from app.tui.widgets.pane import Pane

FOLDER = "tauscope-exports"
"""Below where we were started: where the first export goes unless another folder is typed."""
CLIPS: tuple[Offer, ...] = (
    ("v", "the value, in words", "value"),
    ("r", "its row as CSV", "row"),
    ("c", "the whole table as CSV", "csv"),
    ("m", "the whole table as Markdown", "md"),
)
FILES: tuple[Offer, ...] = (
    ("s", "this figure as SVG", "svg"),
    ("p", "this figure as PNG", "png"),
    ("t", "this figure as text", "txt"),
    ("c", "its values as CSV", "csv"),
    ("m", "its values as Markdown", "md"),
    ("a", "all of the run, in every format", "run"),
)


def ask_to_copy(screen: Screen[None], pane: Pane) -> None:
    """Ask what of a picture is wanted on the clipboard."""
    screen.app.push_screen(
        PickScreen("copy", CLIPS), lambda got: pane.clip(got[0]) if got else None
    )


def ask_to_write(
    screen: Screen[None], source: Source, run_id: str, pane: Pane | None, by: Filter
) -> None:
    """Ask what of a picture or its run is wanted as a file, and where: at first where the last
    one went."""
    app = screen.app
    drawn = pane is not None and pane.drawn is not None
    table = pane is not None and pane.view.kind == "table"
    offers = FILES if drawn else FILES[-1:]
    offers = tuple(o for o in offers if not (table and o[2] in ("svg", "png")))

    def picked(got: tuple[str, str] | None) -> None:
        if got is not None:
            kind, typed = got
            folder = str(Path.cwd() / expanded(typed))
            if isinstance(app, Remembering):
                app.remember(app.memory.model_copy(update={"folder": folder}))
            _write(screen, source, run_id, _shown(pane, by), kind, folder)

    before = app.memory.folder if isinstance(app, Remembering) else ""
    app.push_screen(PickScreen("export", offers, before or str(Path.cwd() / FOLDER)), picked)


def _shown(pane: Pane | None, by: Filter) -> dict[str, Any]:
    """What a request says of the picture that a pane shows."""
    if pane is None or pane.choice is None:
        return {}
    return {
        "analysis": pane.analysis.name,
        "view": pane.view.key,
        "choice": asdict(pane.choice),
        "filter": str(by),
        "rows": pane.narrow,
    }


def _write(
    screen: Screen[None],
    source: Source,
    run_id: str,
    shown: dict[str, Any],
    kind: str,
    folder: str,
) -> None:
    """Write it in a process of its own, and say where it is."""
    import subprocess

    from app.environment import child_environment
    from app.export.single import Request

    def writing() -> None:
        wanted = Request(db=source.database.url, run=run_id, format=kind, folder=folder, **shown)
        done = subprocess.run(
            wanted.command(), capture_output=True, text=True, check=False, env=child_environment()
        )
        failed = done.returncode != 0
        words = (done.stderr if failed else done.stdout).strip().splitlines()[-1:]
        screen.app.call_from_thread(
            screen.notify,
            plain(f"{'' if failed else 'Wrote '}{''.join(words) or 'The export failed.'}"),
            severity="error" if failed else "information",
            markup=False,
        )

    screen.notify("Writing…", timeout=2, markup=False)
    screen.run_worker(writing, thread=True, exit_on_error=False)
