"""Trials that are kept in a run: shown, exported, and gone with it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from app.bench.trials import outcomes, trial
from core.bench.messages import Crossed, Done, Generate, Prompt, Score, Scored, Tokens, Written
from core.errors import RunError
from storage import runs, trials
from storage.database import Database, open_database
from tests.app.bench.fake import study

EVIL = "=1+1 <script> \x1b[2J\n```\n|x|"


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A database with a run and two trials, and the run's id."""
    db = open_database(str(tmp_path / "db" / "x.db"), write=True)
    run = runs.create_run(db, study(), ["tuning_vectors"])
    columns = ("base", "m=0.5")
    generated = Generate(
        prompt=Prompt(text=EVIL, system="be kind", template=True), columns=columns,
        temperature=0.5, seed=3, stop=("\n",),
    )  # fmt: skip
    written = [
        Written(column=column, text=EVIL, tokens=4, ended="length") for column in reversed(range(2))
    ]
    trials.keep_trial(
        db, run, trial(generated, [*written, Crossed(nll=((1.25, 2.0), (3.0, None)))])
    )
    scored = Score(prompt=Prompt(text="Q"), continuation="a", columns=columns)
    scores = [
        Scored(
            column=column, logprobs=(-2.0 - column,), kl=(0.5 * column,),
            likeliest=((("a", -1.0),),), nll=2.0 + column, nll_change=float(column),
        )
        for column in range(2)
    ]  # fmt: skip
    content = trial(scored, [Tokens(pieces=("Q", "a"), start=1), *scores, Done(seconds=1.0)])
    trials.keep_trial(db, run, content)
    trials.keep_trial(db, run, {"request": {"do": "other"}})
    yield db, run
    db.close()


def test_trials_are_shown_without_what_acts_on_a_terminal(
    stored: tuple[Database, str], tauscope: Any
) -> None:
    shown = tauscope("show", stored[1], "bench")
    assert (shown.code, "\x1b" in shown.out) == (0, False)
    lines = shown.out.splitlines()
    assert (
        "  (chat template, system prompt: be kind, temperature 0.5, top-p 1, seed 3, at most"
        in (shown.out)
    )
    assert "base (4 tokens, loss 1.250)" in lines
    assert "m=0.5 (4 tokens)" in lines
    assert "m=0.5 (1 token, loss 3.000, difference +1.000)" in lines
    data = json.loads(tauscope("show", stored[1], "bench", "--json").out)
    assert [each["request"]["do"] for each in data] == ["generate", "score", "other"]
    assert data[1]["scored"][1]["logprobs"] == [-3.0]
    assert "m=0.5 (4 tokens)" in tauscope("show", stored[1]).out


def test_trials_are_exported(stored: tuple[Database, str], tauscope: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert tauscope("export", stored[1], "--to", out, "--format", "csv,json,md,html").code == 0
    with (out / "tables" / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["mode"], row["column"], row["loss"], row["difference"]) for row in rows] == [
        ("generate", "base", "1.25", ""), ("generate", "m=0.5", "", ""),
        ("score", "base", "2.0", "0.0"), ("score", "m=0.5", "3.0", "1.0"),
    ]  # fmt: skip
    assert rows[0]["text"].startswith("'=1+1")
    data = json.loads((out / "run.json").read_text())["bench"]
    assert data[0]["written"][0]["text"] == EVIL
    assert data[0]["created"].endswith("+00:00")
    for name in ("report.md", "report.html"):
        text = (out / name).read_text()
        assert "Bench" in text
        assert "\x1b" not in text
        assert "&lt;script&gt;" in text
    page = (out / "report.html").read_text()
    assert "<script>" not in page
    assert page.count('<a href="#bench">') == page.count('<section id="bench">') == 1


def test_trials_go_with_their_run(stored: tuple[Database, str]) -> None:
    db, run = stored
    assert len(outcomes(trials.trials(db, run))) == 2
    runs.delete_run(db, run)
    assert trials.trials(db, run) == []
    with pytest.raises(RunError, match="There is no run"):
        trials.keep_trial(db, run, {})


def test_numbers_that_json_lacks_are_kept_as_null(stored: tuple[Database, str]) -> None:
    db, run = stored
    trials.keep_trial(db, run, {"x": (float("nan"), [float("-inf"), 1.0])})
    assert trials.trials(db, run)[-1].content == {"x": [None, [None, 1.0]]}
