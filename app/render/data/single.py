"""One figure or a whole run as files, in a process of its own, since drawing would block a screen.

Run as `python -m app.render.data.single` with a request as JSON; prints the written path, or
the error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.jobs.environment import give_way
from app.results.figures import Shown
from app.text import plain
from core.engine.registry import Analysis
from core.errors import RunError, TauscopeError
from core.figures.figure import Table
from core.figures.views import Choice, View
from core.files.making import made
from core.files.partial import placed, written
from core.study.places import expanded

WHOLE = "run"
"""Instead of a format: the whole run in all formats."""
WIDTH, HEIGHT = 100, 30
"""Cells of a figure as text."""
_LONGEST = 150
"""Bytes of a file's name before its hash and its runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request: `format` is svg, png, txt, csv, md, parquet or WHOLE, `choice` a Choice's fields,
    `filter` the line of a filter. `rows` select rows of a table: texts by columns' names. With a
    run to compare `against`, `side` chooses the figure: of the first run, of the second, or the
    difference, which matches layers `by_depth` or by number."""

    db: str
    run: str
    format: str
    folder: str
    analysis: str = ""
    view: str = ""
    choice: Mapping[str, Any] = field(default_factory=dict)
    filter: str = ""
    rows: Mapping[str, str] = field(default_factory=dict)
    against: str = ""
    side: int = 0
    by_depth: bool = False

    def command(self) -> list[str]:
        """The command of the process that serves it."""
        return [sys.executable, "-P", "-m", "app.render.data.single", json.dumps(asdict(self))]


def serve(request: Request) -> Path:
    """Write the requested file, or the run's folder; return its path. Raises TauscopeError."""
    from storage.database import open_database

    folder = expanded(request.folder)
    db = open_database(request.db)
    try:
        if request.format == WHOLE:
            from app.render.data.folder import export

            export(db, request.run, folder / request.run)
            return folder / request.run
        with _reported(folder), made(folder):
            return _figure(db, request, folder)
    finally:
        db.close()


def main(argument: str) -> int:
    """Serve the request in the argument; 0, or 1 with the reason on stderr.

    The process has a low priority: the screen comes first.
    """
    give_way()
    try:
        print(plain(str(serve(Request(**json.loads(argument))))))
    except TauscopeError as error:
        print(plain(f"{error.title} {error.hint}".strip()), file=sys.stderr)
        return 1
    return 0


def _figure(db: Any, request: Request, folder: Path) -> Path:
    shown = _compared(db, request) if request.against else _alone(db, request)
    choice = shown.choice
    parts = [shown.name, choice.measure, choice.reading]
    parts += [str(getattr(choice, s)) for s in shown.view.steppers if s != "model"]
    parts += [choice.order] * (choice.order not in shown.view.orders[:1])
    parts += [request.filter, *(f"{name}-{text}" for name, text in request.rows.items())]
    parts += ["by depth"] * (request.by_depth and bool(request.against))
    # Files of several runs lie in one folder: the ids keep each from another's.
    whose = [request.run]
    if request.against:
        whose += [request.against, ("a", "b", "difference")[request.side]]
    path = folder / f"{_file_name(parts)}-{'-'.join(whose)}.{request.format}"
    if request.format in ("svg", "png"):
        _draw(shown, path, request.format)
    elif request.format == "parquet":
        _columns(shown, path)
    else:
        with written(path) as file:
            file.write(_text(db, request, shown))
    return path


def _file_name(parts: Sequence[str]) -> str:
    """The parts that are not empty, as a file's name. A changed one ends in a part of its hash, so
    that no other choice has the same name."""
    name = "-".join(filter(None, parts))
    tame = "".join(c if c.isalnum() or c in "._=@-" else "-" for c in name)
    tame = tame.encode()[:_LONGEST].decode(errors="ignore")
    if tame == name:
        return name
    return f"{tame}-{sha256(name.encode(errors='backslashreplace')).hexdigest()[:8]}"


def _alone(db: Any, request: Request) -> Shown:
    from app.results.figures import drawn, finding, names_in
    from core.figures.filters import read
    from storage.runs import find_run

    analysis, view, choice = _wanted(request)
    run = find_run(db, request.run)
    by = read(request.filter, names_in(db, run))
    made = drawn(db, run.id, analysis, view, choice, by=by)
    figure = made.figure
    if isinstance(figure, Table):
        figure = figure.narrowed(request.rows)
    return Shown(analysis, view, made.choice, figure, finding(view, made))


def _compared(db: Any, request: Request) -> Shown:
    from app.results.comparing import pair

    analysis, view, choice = _wanted(request)
    made = pair(db, request.run, request.against, analysis, view, choice, by_depth=request.by_depth)
    if request.side < len(made.figures):
        return Shown(analysis, view, made.choice, made.figures[request.side], "")
    if made.difference is None:
        raise RunError("These two figures have no difference.", hint="Choose A or B.")
    sentence = " ".join(filter(None, (made.told, *(f"Note: {note}." for note in made.notes))))
    return Shown(analysis, view, made.choice, made.difference.figure, sentence)


def _wanted(request: Request) -> tuple[Analysis, View, Choice]:
    from core.engine import registry

    analysis = registry.get(request.analysis)
    view = next(v for v in analysis.views if v.key == request.view)
    return analysis, view, Choice(**request.choice)


def _draw(shown: Shown, path: Path, kind: str) -> None:
    from app.render.print.plates import draw
    from app.render.print.sheet import save, styled

    with placed(path) as part, styled():
        save(draw(shown, [shown]), part, kind)


def _columns(shown: Shown, path: Path) -> None:
    from app.render.data import columnar
    from app.render.data.clippings import clipping

    with placed(path) as part:
        columnar.write_clipping(clipping(shown.figure), part)


def _text(db: Any, request: Request, shown: Shown) -> str:
    from app.render.data.clippings import as_csv, as_markdown, clipping

    if request.format == "csv":
        return as_csv(clipping(shown.figure))
    if request.format == "md":
        return as_markdown(clipping(shown.figure))
    return _explained(db, request, shown)


def _explained(db: Any, request: Request, shown: Shown) -> str:
    """The figure in characters, between its title and its notes."""
    from app.render.data import sentences
    from app.render.terminal import chart
    from app.render.terminal.lines import folded
    from storage.runs import find_run

    runs = [find_run(db, each) for each in (request.run, request.against) if each]
    of = " against ".join(f"{run.name} · run {run.id}" for run in runs)
    if request.against:
        of = f"{('A of', 'B of', 'B − A:')[request.side]} {of}"
    text = chart.draw(shown.figure, shown.view.kind, width=WIDTH, height=HEIGHT, colour=False)
    only = [f"only {request.filter}"] if request.filter else []
    held = [] if request.against else [sentences.on_chance([shown])]
    below = [shown.finding, *held, sentences.on_method([shown])]
    notes = [line for words in below if words for line in folded(plain(words), WIDTH)]
    head = [line for words in (of, *only, shown.heading) for line in folded(plain(words), WIDTH)]
    return "\n".join([*head, "", text.rstrip(), "", *notes, ""])


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The export to {folder} failed: {error.strerror or error}.",
            hint="Name a writable folder with enough space.",
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
