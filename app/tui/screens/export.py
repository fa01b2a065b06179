"""What is taken from the screen of a run: to the clipboard, and into files, asked for by a letter.

What is taken is what is seen, under the same choice and filter. Writes in a process of its own.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from textual.notifications import SeverityLevel
from textual.screen import Screen

from app.commands import completed
from app.text import plain
from app.tui.data import DataSource
from app.tui.keys import Where, actions
from app.tui.screens.pick import PickScreen, answer_of
from app.tui.screens.whole import WholeScreen
from core.errors import of_the_system
from core.study.places import expanded, working_folder

if TYPE_CHECKING:
    from app.tui.widgets.pane import Pane

FOLDER = "tauscope-exports"
"""The folder of the first export, below the working directory."""
_DRAWN = frozenset({"svg", "png"})
"""Formats that a table lacks."""


def ask_to_copy(screen: Screen[None], pane: Pane) -> None:
    """Ask which content of a picture to copy."""
    screen.app.push_screen(
        PickScreen("copy", "copy", _offers("copy")), lambda got: pane.clip(got[0]) if got else None
    )


def ask_to_write(
    screen: WholeScreen[None], source: DataSource, pane: Pane | None, wanted: dict[str, Any]
) -> None:
    """Ask for the content, format and folder of an export; the folder of the last export is
    offered. `wanted`: the fields of the request that the pane does not know."""
    home = screen.home
    table = pane is not None and pane.view.kind == "table"
    hidden = _DRAWN if table else frozenset()
    offers = {a: words for a, words in _offers("export").items() if a not in hidden}
    if "against" in wanted:
        del offers["run"]
    if pane is None or pane.drawn is None:
        offers = {"run": offers["run"]}

    def picked(got: tuple[str, str] | None) -> None:
        if got is not None:
            kind, typed = got
            folder = str(working_folder() / expanded(typed))
            home.remember(home.memory.model_copy(update={"folder": folder}))
            _write(screen, source, _shown(pane) | wanted | {"format": kind, "folder": folder})

    before = home.memory.folder or str(working_folder() / FOLDER)
    screen.app.push_screen(PickScreen("export", "export", offers, before), picked)


def _offers(place: Where) -> dict[str, str]:
    return {answer_of(action): action.help for action in actions(place)}


def _shown(pane: Pane | None) -> dict[str, Any]:
    """The fields of a request for the picture of a pane."""
    if pane is None or pane.choice is None:
        return {}
    return {
        "analysis": pane.analysis.name,
        "view": pane.view.key,
        "choice": asdict(pane.choice),
        "rows": pane.narrow,
    }


def _write(screen: Screen[None], source: DataSource, wanted: dict[str, Any]) -> None:
    """Write it in a process of its own, and say where it is.

    Whoever leaves meanwhile does not wait for it, and it goes on.
    """
    import subprocess
    import threading

    from app.jobs.environment import child_environment
    from app.render.data.single import Request

    app = screen.app

    def written() -> tuple[bool, str]:
        try:
            done = subprocess.run(
                Request(db=source.database.url, **wanted).command(), capture_output=True,
                encoding="utf-8", errors="replace", check=False,
                env={**child_environment(), "PYTHONIOENCODING": "utf-8"}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return False, f"The export can't start: {of_the_system(error) or error}"
        fine = done.returncode == 0
        words = "".join((done.stdout if fine else done.stderr).strip().splitlines()[-1:])
        return fine, f"Wrote {words}" if fine else completed(words) or "The export failed."

    def writing() -> None:
        fine, message = written()
        kind: SeverityLevel = "information" if fine else "error"
        with suppress(RuntimeError):  # there is nobody left to be told
            app.call_from_thread(app.notify, plain(message), severity=kind, markup=False)

    app.notify("Writing…", timeout=2, markup=False)
    threading.Thread(target=writing, daemon=True).start()
