"""An inspection on stdout, question by question, or as data for JSON.

Owns the order and the width of the answer. The other modules here make its sentences and charts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.cli import printing
from app.cli.inspection.accounts import Account, ByName, Inspection, read
from app.cli.inspection.pictures import FEW, PICTURES
from app.cli.inspection.sentences import QUESTIONS, beyond_chance
from app.render.terminal.chart import draw
from app.render.terminal.lines import folded
from app.text import plain
from core.figures.figure import Cell
from core.figures.significance import judge
from storage.database import Database
from storage.runs import find_run

WIDEST = 80
"""Most columns of the output."""
_HIGH = 13  # rows of a picture of curves


def tell_of(db: Database, run_id: str, *, done: bool, json: bool = False) -> None:
    """Print the results of a `done` run, and the run's id: as the last line, or within the JSON."""
    inspection = read(db, find_run(db, run_id)) if done else None
    if json:
        printing.print_json({"run": run_id} if inspection is None else data(inspection))
        return
    if inspection is not None:
        tell(inspection)
    print(run_id)


def tell(inspection: Inspection) -> None:
    """Print five answers for each model and a figure for each question; then the doubts."""
    columns, colour = min(printing.width(), WIDEST), printing.colourful()
    names = ", ".join(of.model for of in inspection.accounts)
    printing.print_words(f"{names} against {Path(inspection.base).name}", columns, bold=colour)
    for question in QUESTIONS:
        print()
        several = len(inspection.accounts) > 1
        title = question.of_several if several and question.of_several else question.title
        printing.print_words(title, columns, bold=colour)
        if len(inspection.accounts) <= FEW:
            for of in inspection.accounts:
                answer = question.answer(of)
                _say(
                    f"{of.model}: {answer[:1].lower()}{answer[1:]}" if several else answer, columns
                )
        figure, kind = PICTURES[question.key](inspection.accounts)
        if kind == "table":  # a narrow terminal may fold its numbers, but must not cut them
            wide, high = WIDEST, 2 * WIDEST
        else:
            wide, high = columns, _HIGH
        if kind == "table" or any(cell.shown for cell in figure.measured()):
            printing.print_chart(draw(figure, kind, width=wide, height=high, colour=colour))
    if inspection.doubts:
        print()
        printing.print_words("What is doubtful?", columns, bold=colour)
    for subjects, message in inspection.doubts:
        about = ", ".join(filter(None, subjects))
        _say(f"{about}: {message}" if about else message, columns)
    print()


def data(inspection: Inspection) -> dict[str, Any]:
    """The same as data: every value with its interval, its chance level and its verdict."""
    return {
        "run": inspection.run,
        "base": inspection.base,
        "models": [
            {"model": of.model, "path": inspection.places[of.model], **_answers(of)}
            for of in inspection.accounts
        ],
        "warnings": [
            {"about": list(subjects), "message": message} for subjects, message in inspection.doubts
        ],
    }


def _answers(of: Account) -> dict[str, Any]:
    return {
        "how_far": {
            "relative_norm": _by_name(of.size),
            "changed_share": _cell(of.changed),
            "rounding_share": _cell(of.rounding),
            "rounding_dominated": of.dominated,
        },
        "where": {
            "by_layer": {
                name: [{"layer": layer, **_cell(cell)} for layer, cell in cells.items()]
                for name, cells in of.layers.items()
            },
            "by_module": _by_name(of.modules),
        },
        "directions": {metric: _by_name(cells) for metric, cells in of.ranks.items()},
        "new_or_amplified": {
            "two_sided_excess": _by_name(of.excess),
            "gain": _by_name(of.gain),
            "intruders": _by_name(of.intruders),
            "intruders_of": of.leading,
        },
        "comparison": {
            "matrices": len(of.of_matrices),
            "matrices_beyond_chance": beyond_chance(of),
            "base_cosine": _by_name(of.turn),
            "cosine": _by_name(of.cosines),
        },
    }


def _by_name(cells: ByName) -> dict[str, Any]:
    return {name: _cell(cell) for name, cell in cells.items()}


_FIELDS = ("value", "low", "high", "n", "chance", "chance_sd")


def _cell(cell: Cell | None) -> dict[str, Any]:
    """A value with its chance level and interval; the verdict is null without either."""
    if cell is None:
        return {}
    verdict = judge(cell)
    return {
        **{name: getattr(cell, name) for name in _FIELDS},
        "within_chance": None if verdict is None else verdict.is_null,
    }


def _say(words: str, columns: int) -> None:
    """Print a sentence, folded, with further lines indented."""
    print("\n".join(folded(plain(words), columns, indent="  ", hyphens=False)))
