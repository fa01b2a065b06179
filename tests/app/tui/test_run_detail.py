"""What the list says of one run, in lines."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from app.tui.widgets.run_detail import LINES, MOST, detail
from storage.database import Database
from storage.runs import RunSummary, claim, create_run, find_run, finish
from tests.app.tui.conftest import WEIGHTS, study

WIDTH = 78
PATH = "/models/" + "/".join(f"snapshot-{i}" for i in range(12))


def failed(db: Database, title: str, hint: str = "") -> RunSummary:
    run_id = create_run(db, study(), WEIGHTS)
    finish(db, run_id, claim(db, run_id), "failed", title=title, hint=hint)
    return find_run(db, run_id)


def said(run: RunSummary, most: int) -> list[str]:
    return [line.plain for line in detail(run, WIDTH, most)]


def test_an_error_takes_the_lines_there_are(db: Database) -> None:
    run = failed(db, f"{PATH} ends before its last tensor.", "Get the file again.")
    lines = said(run, MOST)
    assert "".join(line[10:] for line in lines[2:-1]).replace(" ", "") == (
        f"{PATH}endsbeforeitslasttensor."
    )
    assert lines[-1] == "hint      Get the file again."
    assert all(cell_len(line) <= WIDTH for line in lines)


def test_where_there_is_no_room_it_is_cut(db: Database) -> None:
    lines = said(failed(db, f"{PATH} ends before its last tensor.", "Get it."), LINES)
    assert len(lines) == LINES
    assert lines[2].startswith("error     /models/")
    assert lines[2].endswith("…")
    assert lines[3] == "hint      Get it."


@pytest.mark.parametrize("most", range(LINES, MOST + 1))
@pytest.mark.parametrize("hint", ["", "Get it.", "Get it again. " * 40])
@pytest.mark.parametrize("title", ["It broke.", "宽" * 400, "It broke once more. " * 40])
def test_it_never_takes_more_lines_or_columns(
    db: Database, title: str, hint: str, most: int
) -> None:
    lines = said(failed(db, title, hint), most)
    assert LINES <= len(lines) <= most
    assert all(cell_len(line) <= WIDTH for line in lines)


def test_there_is_no_hint_without_words(db: Database) -> None:
    lines = said(failed(db, "It broke."), MOST)
    assert [line.split()[0] for line in lines] == ["models", "units", "error", "notes"]
