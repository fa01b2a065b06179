"""One figure as a file, or a whole run, in a process of its own: drawing would hold up a screen.

Run as `python -m app.export.single` with a request as JSON; prints what was written, or why
nothing was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.environment import give_way
from app.export.files import placed, written
from core.errors import RunError, TauscopeError
from core.places import expanded

WHOLE = "run"
"""In the place of a format: everything of the run, in all of them."""
WIDTH, HEIGHT = 100, 30
"""Cells of a figure as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is wanted: `format` is svg, png, txt, csv, md or WHOLE, `choice` a Choice's fields,
    `filter` the line of a filter. `rows` are those wanted of a table: texts by columns' names."""

    db: str
    run: str
    format: str
    folder: str
    analysis: str = ""
    view: str = ""
    choice: Mapping[str, Any] = field(default_factory=dict)
    filter: str = ""
    rows: Mapping[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        """What starts the process that serves it."""
        return [sys.executable, "-P", "-m", "app.export.single", json.dumps(asdict(self))]


def serve(request: Request) -> Path:
    """Write what is wanted; the file, or the folder of the run. Raises TauscopeError."""
    from storage.database import open_database

    folder = expanded(request.folder)
    db = open_database(request.db)
    try:
        if request.format == WHOLE:
            from app.export.folder import export

            export(db, request.run, folder / request.run)
            return folder / request.run
        with _reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            return _figure(db, request, folder)
    finally:
        db.close()


def main(argument: str) -> int:
    """Serve the request in the argument; 0, or 1 with the reason on stderr.

    Drawing can wait, the screen from which it was asked for can't.
    """
    give_way()
    try:
        print(serve(Request(**json.loads(argument))))
    except TauscopeError as error:
        print(f"{error.title} {error.hint}".strip(), file=sys.stderr)
        return 1
    return 0


def _figure(db: Any, request: Request, folder: Path) -> Path:
    from app.figures import Shown, drawn, names_in
    from core import registry
    from core.filters import read
    from core.pictures.figures import Table
    from core.views import Choice
    from storage.runs import find_run

    analysis = registry.get(request.analysis)
    view = next(v for v in analysis.views if v.key == request.view)
    run = find_run(db, request.run)
    by = read(request.filter, names_in(db, run))
    made = drawn(db, run.id, analysis, view, Choice(**request.choice), by=by)
    figure = made.figure
    if isinstance(figure, Table):
        figure = figure.narrowed(request.rows)
    shown = Shown(analysis, view, made.choice, figure, "")
    parts = [shown.name, made.choice.measure, made.choice.reading]
    parts += [str(getattr(made.choice, s)) for s in view.selectors if s != "model"]
    parts += [str(by), *(f"{name}-{text}" for name, text in request.rows.items())]
    name = "-".join("".join(c if c.isalnum() or c in "._=" else "-" for c in p) for p in parts if p)
    # Files of several runs lie in one folder: the id keeps each from another's.
    path = folder / f"{name[:150]}-{run.id}.{request.format}"
    if request.format in ("svg", "png"):
        _draw(shown, path, request.format)
    else:
        with written(path) as file:
            file.write(_text(shown, request.format))
    return path


def _draw(shown: Any, path: Path, kind: str) -> None:
    from app.export.paper.plates import draw
    from app.export.paper.sheet import save, styled

    with placed(path) as part, styled():
        save(draw(shown, [shown]), part, kind)


def _text(shown: Any, kind: str) -> str:
    from app import charts
    from app.export.clippings import as_csv, as_markdown, clipping

    if kind == "csv":
        return as_csv(clipping(shown.figure))
    if kind == "md":
        return as_markdown(clipping(shown.figure))
    text = charts.draw(shown.figure, shown.view.kind, width=WIDTH, height=HEIGHT, colour=False)
    return f"{text.rstrip()}\n"


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The export to {folder} failed: {error.strerror or error}.",
            hint="Name a folder that you may write, with space for it.",
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
