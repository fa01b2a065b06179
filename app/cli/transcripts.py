"""Trials of the bench on stdout: texts, scores by token, grids of the lens, or JSON.

Texts of models are shown with escapes for whatever acts on a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from app.cli.printing import colourful, folds, print_json, print_table, width
from app.render.terminal.lines import folded
from app.text import plain
from core.sizes import counted

if TYPE_CHECKING:
    from app.bench.trials import Outcome

_INDENT = "  "
_LARGE = 1e6


def print_trials(study: str, trials: Sequence[dict[str, Any]], *, json: bool) -> None:
    """Print trials (see `app.bench.trials`), each under its prompt."""
    if json:
        print_json({"study": study, "trials": list(trials)})
        return
    for index, trial in enumerate(trials):
        if index:
            print()
        print_trial(trial)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print kept trials in brief."""
    for each in outcomes:
        when = f", {each.created:%Y-%m-%d %H:%M} UTC" if each.created else ""
        print()
        _print_text(f"bench, trial {each.id}{when}", each.prompt)
        if each.settings:
            print(f"{_INDENT}({plain(each.settings)})")
        previous = None
        for row in each.rows:
            loss = "" if row.loss is None else f", loss {_number(row.loss)}"
            change = (
                "" if row.difference is None else f", difference {_number(row.difference, '+')}"
            )
            title = f"{row.column} ({counted(row.tokens, 'token')}{loss}{change})"
            if row.text == previous:
                _print_title(title)
            else:
                _print_text(title, row.text)
            previous = row.text


def print_trial(trial: dict[str, Any]) -> None:
    """Print one trial."""
    request = trial["request"]
    columns = request.get("columns") or [request.get("column", "")]
    _print_text("prompt", request["prompt"]["text"])
    if "written" in trial:
        for answer in trial["written"]:
            length = f"{counted(answer['tokens'], 'token')}, ended by {_ENDS[answer['ended']]}"
            _print_text(f"{columns[answer['column']]} ({length})", answer["text"])
    if "scored" in trial:
        _print_scores(columns, request["against"], trial)
    if "nll" in trial:
        _print_crossed(columns, trial["nll"])
    for name, rows in zip(columns, trial.get("lenses", ()), strict=False):
        _print_lens(name, _pieces(trial), rows)


_ENDS = {"end": "its end token", "stop": "a stop text", "length": "its length"}


def _print_text(title: str, text: str) -> None:
    _print_title(title)
    for line in text.split("\n"):
        for part in folded(plain(line), max(20, width() - len(_INDENT))) or [""]:
            print(f"{_INDENT}{part}".rstrip())


def _print_title(title: str) -> None:
    print(f"\x1b[1m{plain(title)}\x1b[0m" if colourful() else plain(title))


def _print_scores(columns: Sequence[str], against: int, trial: dict[str, Any]) -> None:
    """A row for each token: its log-probability under each column, and the KL divergence of each
    column's prediction from the compared column's."""
    scored = trial["scored"]
    others = [score for score in scored if score["column"] != against]
    head = ["token", *(columns[score["column"]] for score in scored)]
    head += [f"KL {columns[score['column']]}" for score in others]
    start = trial["tokens"]["start"]
    _print_title("log-probability by token")
    _print_wide(
        head,
        [
            (
                repr_of(piece),
                *(_number(score["logprobs"][position]) for score in scored),
                *(_number(score["kl"][position]) for score in others),
            )
            for position, piece in enumerate(trial["tokens"]["pieces"][start:])
        ],
    )
    _print_title(f"loss per token, against {columns[against]}")
    print_table(
        ("column", "loss", "difference"),
        [
            (columns[score["column"]], _number(score["nll"]), _number(score["nll_change"], "+"))
            for score in scored
        ],
    )


def _print_crossed(columns: Sequence[str], rows: Sequence[Sequence[float | None]]) -> None:
    _print_title("loss per token of each text under each column")
    _print_wide(
        ("text of", *columns),
        [
            (name, *("" if value is None else _number(value) for value in row))
            for name, row in zip(columns, rows, strict=True)
        ],
    )


def _print_lens(name: str, pieces: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A row for each token, a column for each layer."""
    _print_title(f"likeliest next token after each layer: {name}")
    _print_wide(
        ("after", *(str(layer) for layer in range(len(rows)))),
        [
            (repr_of(piece), *(repr_of(row[position][0]) for row in rows if position < len(row)))
            for position, piece in enumerate(pieces)
        ],
    )


def _print_wide(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where it is wider than the terminal, in parts one below the other, each with
    the first column. Long names of columns become numbers with a legend."""
    if not folds() or _width(head, rows) <= width():
        print_table(head, rows)
        return
    widest = max((cell_len(plain(words)) for row in rows for words in row[1:]), default=0)
    if any(cell_len(plain(name)) > max(widest, 6) for name in head[1:]):
        print_table(
            ("", ""), [(f"{_INDENT}{place}", name) for place, name in enumerate(head[1:], 1)]
        )
        head = [head[0], *(str(place) for place in range(1, len(head)))]
    start = 1
    while start < len(head):
        stop = start + 1
        while stop < len(head) and _width(*_columns(head, rows, start, stop + 1)) <= width():
            stop += 1
        print_table(*_columns(head, rows, start, stop))
        start = stop


def _columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], start: int, stop: int
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The first column of a table, and those from `start` to `stop`."""
    return [head[0], *head[start:stop]], [[row[0], *row[start:stop]] for row in rows]


def _width(head: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The cells that `print_table` takes for a table without folding it."""
    columns = zip_longest(head, *rows, fillvalue="")
    return sum(2 + max(cell_len(plain(words)) for words in column) for column in columns) - 2


def _pieces(trial: dict[str, Any]) -> list[str]:
    return list(trial.get("tokens", {}).get("pieces", ()))


def repr_of(piece: str) -> str:
    """A token with visible spaces."""
    return piece.replace(" ", "·") or "∅"


def _number(value: float, sign: str = "") -> str:
    """Three decimals, without a sign of zero; few digits of a large or infinite value."""
    return f"{value:{sign}z.3f}" if abs(value) < _LARGE else f"{value:{sign}g}"
