"""The list of runs as lines: columns that stay apart."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import pytest

from app.results import wording
from app.tui.widgets.run_list import heading, row
from storage.database import Database
from storage.runs import list_runs


@pytest.mark.parametrize("left", [timedelta(minutes=99), timedelta(hours=47, minutes=59)])
@pytest.mark.parametrize("width", [80, 160])
def test_a_long_time_left_leaves_a_gap_before_the_start(
    filled: Database, monkeypatch: pytest.MonkeyPatch, width: int, left: timedelta
) -> None:
    first = list_runs(filled)[0]
    assert first.started is not None
    now = first.started + timedelta(days=30)
    monkeypatch.setattr(wording, "now", lambda: now)
    run = replace(first, status="running", heartbeat=now, expected=now + left, rough=True)
    line = "".join(part.text for part in row(run, width, now, defaultdict(lambda: "red")))
    start = heading(width).index("started")
    assert line[start - 1] == " "
    assert f"~{wording.span(left.total_seconds())} " in line
