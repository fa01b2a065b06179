"""The commands as a user or a script meets them: streams, exit codes, errors, widths."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.cells import cell_len
from rich.text import Text

import app
from app.cli.doctor import _colours
from app.cli.main import run_command
from app.cli.printing import print_models
from app.console import narration
from app.console.narration import Narrator
from app.library.appraisal import Entry
from app.library.lineage import Branch
from app.tui.data import DataSource
from core.engine import registry, runner
from core.errors import Cancelled, CheckpointError, RunError, StudyError
from storage import database, runs
from storage.database import open_database
from tests import forked
from tests.app.families import write_family
from tests.conftest import WEIGHTS, tiny_config, tiny_tensors, write_model
from tests.patience import PATIENCE, eventually


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_family(tmp_path)


def test_help_and_version_are_quick_and_light() -> None:
    code = (
        "import sys; from app.cli.main import run_command; run_command(['--help']);"
        "run_command(['--version']); print(*sys.modules, file=sys.stderr)"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "textual", "sqlalchemy", "numpy", "pydantic"} & set(asked.stderr.split())
    assert asked.stdout.endswith(f"tauscope {app.__version__}\n")
    for command in (
        "run",
        "plan",
        "inspect",
        "demo",
        "runs",
        "show",
        "compare",
        "export",
        "merge",
        "watch",
        "cancel",
        "delete",
        "gc",
        "doctor",
    ):
        assert f"\n  {command} " in asked.stdout


def test_a_study_is_run_shown_and_exported(tauscope: Any, study: Path, tmp_path: Path) -> None:
    result = tauscope("run", study)
    assert result.code == 0
    run_id = result.out.splitlines()[-1]
    assert len(run_id) == 12
    assert "skipped: activation, edit_distance" in result.err
    assert "100 %" in result.err
    again = tauscope("run", study)
    assert again.out.strip() != run_id
    assert "reused" in again.err

    listed = tauscope("runs")
    assert listed.out.splitlines()[1].startswith(again.out.strip())
    assert [r["id"] for r in json.loads(tauscope("runs", "--json").out)][1] == run_id

    shown = tauscope("show", run_id[:9])
    assert "\x1b" not in shown.out
    for name in WEIGHTS:
        for view in registry.get(name).views:
            # No model of this study was tuned from another one.
            assert (view.title in shown.out) == (not view.optional)
    one = tauscope("show", run_id, "vector_cosine")
    assert "Cosine" in one.out
    assert len(one.out) < len(shown.out)
    rows = json.loads(tauscope("show", run_id, "vector_cosine", "--json").out)
    assert {row["metric"] for row in rows} == {"cosine"}

    first = tauscope("show", run_id, "overview").out
    assert shown.out.startswith(first.rstrip()[: first.index("Findings")])
    assert "\nmedical" in first
    assert "Findings, largest first" not in one.out
    overview = json.loads(tauscope("show", run_id, "overview", "--json").out)
    assert [card["model"] for card in overview["cards"]][-1] == "control"
    for finding in overview["findings"]:
        assert finding["sentence"][:40] in " ".join(first.split())
    refused = tauscope("show", run_id, "overview", "--model", "medical")
    assert (refused.code, "whole run" in refused.err) == (2, True)

    out = tauscope("export", run_id, "--to", tmp_path / "out", "--format", "csv")
    assert str(tmp_path / "out" / "measurements.csv") in out.out.splitlines()
    assert (tmp_path / "out" / "run.json").exists()


def test_some_models_layers_and_modules_are_shown(tauscope: Any, study: Path) -> None:
    tauscope("run", study)
    some = ("--model", "medical", "--layers", "1-", "--module", "q,attention")
    shown = tauscope("show", "latest", *some).out
    assert "only model:medical layer:1- module:q,attention" in shown
    assert "Size by layer" in shown
    assert "control" not in shown
    rows = json.loads(tauscope("show", "latest", *some, "--json").out)
    whole = json.loads(tauscope("show", "latest", "--json").out)
    assert rows == [
        row
        for row in whole
        if row["model"] == "medical"
        and (row["layer"] is None or row["layer"] >= 1)
        and row["module"] in ("", "q", "attention")
    ]
    assert {row["layer"] for row in rows} > {None}
    alone = tauscope("show", "latest", "vector_cosine", "--model", "medical").out
    assert "No results match the filter." in alone, "one model has no cosine with another"
    for wrong, hint in ((("--model", "medcal"), "'medical'"), (("--layers", "9"), "layers 0 to")):
        result = tauscope("show", "latest", *wrong)
        assert result.code == 2
        assert hint in result.err


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_nothing_is_wider_than_the_terminal(
    tauscope: Any, study: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    tauscope("run", study)
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in (("runs",), ("show", "latest")):
        assert max(map(len, tauscope(*command).out.splitlines())) <= columns


def test_only_some_analyses_can_be_run(tauscope: Any, study: Path) -> None:
    assert tauscope("run", study, "--only", "vector_cosine, tuning_vectors").code == 0
    (run,) = json.loads(tauscope("runs", "--json").out)
    assert run["analyses"] == ["tuning_vectors", "vector_cosine"]
    wrong = tauscope("run", study, "--only", "cosine")
    assert wrong.code == 2
    assert "vector_cosine" in wrong.err
    missing = tauscope("show", "latest", "alignment")
    assert missing.code == 2
    assert "does not have" in missing.err


def test_inspect_takes_bare_models(tauscope: Any, study: Path, tmp_path: Path) -> None:
    result = tauscope("inspect", tmp_path / "base", tmp_path / "medical", tmp_path / "control")
    assert result.code == 0
    (run,) = json.loads(tauscope("runs", "--json").out)
    assert run["id"] == result.out.splitlines()[-1]
    assert run["name"] == "medical and control"
    assert run["models"] == ["medical", "control"]


def test_the_demo_runs_shows_and_exports(
    tauscope: Any, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.demo import family

    def build(folder: Path, *, progress: Any) -> Any:
        progress("training base", 1, 2)
        assert folder == tmp_path / "family"
        learnt = {
            "held_out_loss": {"base": 2.0, "tuned": 1.0},
            "accuracy": {"base": 0.25, "tuned": 1},
        }
        return SimpleNamespace(study=study, measured={"learnt": {"medical": learnt}})

    monkeypatch.setattr(family, "build", build)
    result = tauscope("demo", "--out", tmp_path / "out", "--family-dir", tmp_path / "family")
    assert result.code == 0, result.err
    assert "Cosine" in result.out
    assert (tmp_path / "out" / "report.md").exists()


def test_a_detached_run_can_be_cancelled(tauscope: Any, study: Path, tmp_path: Path) -> None:
    result = tauscope("run", study, "--detach")
    assert result.code == 0
    run_id = result.out.strip()
    assert f"'tauscope watch {run_id}' follows it, 'tauscope cancel {run_id}' stops" in result.err
    cancelled = tauscope("cancel", run_id)
    assert cancelled.code == 0, cancelled.err
    assert run_id in cancelled.err
    # Asked to stop before or after its worker took it: it never ends as done.
    db = open_database()
    assert eventually(lambda: runs.find_run(db, run_id).status != "running")
    assert runs.find_run(db, run_id).status == "cancelled"
    db.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StudyError("bad key"), 2),
        (CheckpointError("cut short"), 3),
        (RunError("no"), 1),
        (Cancelled("stopped"), 130),
        (ValueError("odd"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes_are_by_kind_of_error(
    tauscope: Any, study: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(runner, "run", fail)
    result = tauscope("run", study)
    assert result.code == code
    assert "error: " in result.err
    assert "Traceback" not in result.err
    opened = code not in (2, 3)
    assert len(result.out.strip()) == 12 * opened
    assert len(json.loads(tauscope("runs", "--json").out or "[]")) == opened


def _unlike(folder: Path) -> None:
    """Make it a model of another shape: only the family as a whole shows that."""
    shapes = {"gate": (8, 16), "up": (8, 16), "down": (16, 8)}
    narrow = {
        f"model.layers.{layer}.mlp.{module}_proj.weight": torch.ones(shape)
        for layer in (0, 1)
        for module, shape in shapes.items()
    }
    write_model(folder, tiny_config(intermediate_size=8), {**tiny_tensors(), **narrow})


@pytest.mark.parametrize("detach", [(), ("--detach",)])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "There is no directory"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "it has 5 bytes"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json can't be read"),
        (_unlike, "doesn't fit the base"),
    ],
)
def test_a_start_that_fails_leaves_no_run(
    tauscope: Any, study: Path, tmp_path: Path, spoil: Any, words: str, detach: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("app.jobs.launcher.detach", forked.detach)
    spoil(tmp_path / "medical")
    models = [tmp_path / name for name in ("base", "control", "medical")]
    result = tauscope("inspect", *models, *detach)
    if detach and spoil is _unlike:
        # Only its worker finds out, and nobody is there to be told: the run shows it.
        db = open_database()
        run_id = result.out.strip()
        assert eventually(lambda: runs.find_run(db, run_id).status == "failed")
        assert words in runs.find_run(db, run_id).error_title
        db.close()
        return
    assert result.code == 3
    assert words in result.err
    assert result.out == ""
    assert json.loads(tauscope("runs", "--json").out) == []


def test_a_run_that_had_begun_stays_when_its_inputs_are_gone(
    tauscope: Any, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Cancelled("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run", stop)
        begun = tauscope("run", study).out.strip()
    _unlike(tmp_path / "medical")
    again = tauscope("run", study)
    assert again.code == 3
    assert again.out.strip() == begun
    (run,) = json.loads(tauscope("runs", "--json").out)
    assert (run["id"], run["status"]) == (begun, "failed")


def test_a_run_that_fails_while_it_computes_stays(
    tauscope: Any, study: Path, tmp_path: Path
) -> None:
    tensors = tiny_tensors()
    tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = float("nan")
    write_model(tmp_path / "medical", tiny_config(), tensors)
    result = tauscope("run", study)
    assert result.code == 1
    assert "layers.1.mlp.down_proj.weight contains values that are not finite" in result.err
    (run,) = json.loads(tauscope("runs", "--json").out)
    assert run["id"] == result.out.strip()
    assert run["done"] > 0, "the other layer has results"


@pytest.mark.parametrize(
    ("evaluation", "code", "words"),
    [
        ('tasks = { medical = ["no_such_task"] }', 3, "'no_such_task'"),
        ('tasks = { medical = ["x"] }\ninclude = "nowhere"', 3, "nowhere"),
        ('tasks = { medical = ["x"] }\nreference = { medical = "medcal" }', 2, "'medical'?"),
    ],
)
def test_a_task_that_can_not_be_read_is_input_that_can_not(
    tauscope: Any, study: Path, monkeypatch: pytest.MonkeyPatch, evaluation: str, code: int,
    words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("core.evaluation.tasks._standard", dict)  # they take seconds to read
    study.write_text(f"{study.read_text()}[evaluation]\n{evaluation}\n")
    result = tauscope("run", study, "--only", "evaluation")
    assert result.code == code
    assert words in " ".join(result.err.split())
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run",), 2, "STUDY.toml"),
        (("fly",), 2, "fly"),
        (("run", "--fast", "x.toml"), 2, "--fast"),
        (("run", "nowhere.toml"), 2, "nowhere.toml"),
        (("inspect", "/nowhere/base", "/nowhere/tuned"), 3, "/nowhere"),
        (("runs", "--db", "mysql://x"), 4, "mysql"),
        (("--db", "mysql://x", "runs"), 4, "mysql"),
        (("runs", "--db", "/proc/nothing/x.db"), 4, "/proc"),
        (("show", "latest"), 1, "no runs yet"),
        (("cancel", "abc"), 1, "no runs yet"),
        (("watch", "latest"), 1, "no runs yet"),
        (("delete", "latest", "--yes"), 1, "no runs yet"),
        (("export", "latest"), 2, "--to"),
    ],
)
def test_wrong_uses_are_two_lines(
    tauscope: Any, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = tauscope(*arguments)
    assert result.code == code
    error = result.err[result.err.index("error: ") :]
    assert words in error
    assert 1 <= len(error.splitlines()) <= 2


def test_a_fault_can_be_looked_into(
    tauscope: Any, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(runner, "run", fail)
    monkeypatch.setenv("TAUSCOPE_DEBUG", "1")
    with pytest.raises(RunError) as caught:
        tauscope("run", study)
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_same_study_twice_at_once_is_refused(tauscope: Any, study: Path) -> None:
    tauscope("run", study)
    db = open_database()
    first = runs.find_run(db, "latest")
    again = runs.create_run(db, runs.study_of(db, first.id), first.analyses)
    runs.claim(db, again)
    db.close()
    result = tauscope("run", study)
    assert result.code == 1
    assert f"{again} is running right now" in result.err
    assert f"'tauscope watch {again}', or stop it with 'tauscope cancel {again}'" in result.err


@pytest.mark.parametrize("how", [("run",), ("run", "--detach"), ("workstation",)])
def test_a_refused_start_leaves_no_run(
    tauscope: Any, study: Path, how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any, **__: Any) -> None:
        raise CheckpointError("There is no directory nowhere.")

    monkeypatch.setattr("app.jobs.launcher.check", refuse)
    db = open_database()
    if how == ("workstation",):
        with pytest.raises(CheckpointError, match="nowhere"):
            DataSource(db.url).start(study)
    else:
        result = tauscope(*how, study)
        assert (result.code, result.out) == (3, "")
        assert "There is no directory nowhere." in result.err
        assert "run " not in result.err
    assert runs.list_runs(db) == []
    db.close()


def test_an_unfinished_run_goes_on(
    tauscope: Any, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RunError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run", fail)
        failed = tauscope("run", study)
    assert failed.code == 1
    done = tauscope("run", study)
    assert done.code == 0
    assert done.out == failed.out


class _Typed(io.StringIO):
    """A terminal on which somebody answers."""

    def isatty(self) -> bool:
        return True


def test_a_deleted_run_is_gone_and_its_units_are_freed(
    tauscope: Any, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [tauscope("run", study, "--only", "vector_cosine").out.strip() for _ in range(2)]
    unasked = tauscope("delete", ids[0])
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    monkeypatch.setattr(sys, "stdin", _Typed("n\n"))
    refused = tauscope("delete", ids[0])
    assert (refused.code, refused.out) == (130, "")
    assert f"Delete run {ids[0]} (tiny, done)?" in refused.err
    assert len(json.loads(tauscope("runs", "--json").out)) == 2
    monkeypatch.setattr(sys, "stdin", _Typed("y\n"))
    assert tauscope("delete", ids[0][:9]).code == 0
    for command in (("show",), ("export", "--to", tmp_path / "out"), ("cancel",), ("watch",)):
        result = tauscope(command[0], ids[0], *command[1:])
        assert result.code == 1
        title, hint = result.err.splitlines()
        assert title == f"error: There is no run '{ids[0]}'."
        assert ids[1] in hint
    assert json.loads(tauscope("gc", "--json").out)["units"] == 0, "the other run has them too"
    assert tauscope("delete", ids[1], "--yes").code == 0
    assert tauscope("gc", "--dry-run").out.startswith("would free ")
    freed = json.loads(tauscope("gc", "--json").out)
    assert freed["units"] > 0
    assert not freed["dry_run"]
    assert tauscope("gc").out == "freed 0 units, 0 files, 0 B\n"


def test_a_running_run_is_not_deleted(tauscope: Any, study: Path) -> None:
    tauscope("run", study, "--only", "vector_cosine")
    db = open_database()
    again = runs.create_run(db, runs.study_of(db, runs.find_run(db, "latest").id), ["alignment"])
    runs.claim(db, again)
    result = tauscope("delete", again)
    assert result.code == 1
    assert result.err == (
        f"error: Run {again} is running right now.\n"
        f"  Stop it first, with 'tauscope cancel {again}'.\n"
    )
    assert len(runs.list_runs(db)) == 2
    db.close()


EVIL = "x\\u001b[31m\\u202e[bold red]\\n%s{0}"


def test_text_from_outside_is_only_text(tauscope: Any, tmp_path: Path) -> None:
    study = write_family(tmp_path, name=EVIL)
    outcomes = [
        tauscope("run", study),
        tauscope("runs"),
        tauscope("show", "latest"),
        tauscope("runs", "--json"),
        tauscope("show", "\x1b]0;x\x07"),
        tauscope("run", "\x1b[2J.toml"),
        tauscope("\x1b[2J"),
        tauscope("export", "latest", "--to", tmp_path / "o\x1b[2Jut", "--format", "csv,md"),
    ]
    for result in outcomes:
        for text in (result.out, result.err):
            assert "\x1b" not in text
            assert "\u202e" not in text
    assert "x\\x1b[31m\\u202e[bold red]\\n%s{0}" in outcomes[2].out
    assert "ld red]" in outcomes[1].out


def test_a_database_that_can_only_be_read_can_be_looked_at(
    tauscope: Any, study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tauscope("run", study)
    monkeypatch.setattr(database, "_obstacle", lambda path: f"{path} can't be written.")
    monkeypatch.setattr("app.cli.doctor._devices", dict)
    assert tauscope("runs").code == 0
    assert tauscope("show", "latest").code == 0
    assert tauscope("export", "latest", "--to", tmp_path / "out", "--format", "csv,json").code == 0
    assert tauscope("doctor").out.count("read-only") == 1
    assert tauscope("watch", "latest").code == 0
    assert tauscope("gc", "--dry-run").code == 0
    for command in (("run", study), ("cancel", "latest"), ("delete", "latest"), ("gc",)):
        result = tauscope(*command)
        assert result.code == 4
        assert "can't be written" in result.err


def test_the_workstation_needs_a_terminal(tauscope: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = tauscope()
    assert result.code == 2
    assert "tauscope demo, run" in result.err
    monkeypatch.setenv("TERM", "xterm")
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    result = tauscope()
    assert (result.code, "stdout and stderr" in result.err) == (2, True), "it draws there"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert tauscope().code == 2


def test_the_workstation_is_opened_on_the_database(
    tauscope: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    fake = SimpleNamespace(run=opened.append)
    monkeypatch.setitem(sys.modules, "app.tui.app", fake)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert run_command(["--db", "mine.db"]) == 0
    assert opened == ["mine.db"]


@pytest.mark.parametrize("on_screen", [True, False])
def test_a_model_is_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], on_screen: bool
) -> None:
    """A terminal cuts what stands last; a reader behind a pipe is given all of it."""
    name, trouble = "someone/" + "a-long-name-" * 4, "it can't be read " * 6
    entry = Entry(name=name, path=Path("/x"), kind="model", trouble=trouble)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: on_screen)
    print_models([Branch(name=name, entry=entry, depth=0)])
    head, row = capsys.readouterr().out.splitlines()
    assert name in row
    assert (trouble.strip() in row) is not on_screen
    assert max(cell_len(Text.from_ansi(line).plain) for line in (head, row)) <= 80 or not on_screen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--now",), "--now needs --detach"), (("--idle", "5"), "need --follow"),
        (("--follow", "--idle", "nan"), "minutes from 0"),
        (("--follow", "--until", "-1"), "or equal to 0"),
    ],
)  # fmt: skip
def test_options_without_an_effect_are_refused(
    tauscope: Any, study: Path, options: tuple[str, ...], words: str
) -> None:
    result = tauscope("run", study, *options)
    assert result.code == 2
    assert words in result.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"COLORTERM": "truecolor", "TERM": "dumb"}, "none"),
        ({"COLORTERM": "truecolor", "TERM": "xterm"}, "16 million"),
        ({"TERM": "screen"}, "16"), ({"NO_COLOR": "1", "TERM": "xterm"}, "none (NO_COLOR)"),
    ],
)  # fmt: skip
def test_the_doctor_counts_colours(
    given: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLORTERM", "TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert _colours() == words


def test_what_the_doctor_cannot_find_out_keeps_nothing_else_back(
    tauscope: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.doctor._devices", dict)
    monkeypatch.setattr("app.cli.doctor.cache_folder", lambda: tmp_path / ("x" * 300))
    result = tauscope("doctor", "--json")
    answers = json.loads(result.out)
    assert result.code == 0
    assert answers["models"] == {"state": "unknown: File name too long"}
    assert "python" in answers["versions"]
    assert "path" in answers["database"]


def test_the_doctor_makes_nothing(
    tauscope: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = json.loads(tauscope("doctor", "--json").out)
    assert answers["database"]["state"] == "not made yet"
    assert not (tmp_path / "db").exists()
    assert answers["devices"]["cpu"] == "yes"
    assert "compiled" in answers["devices"]["loops over weights"]
    assert answers["versions"]["tauscope"] == app.__version__
    monkeypatch.setattr("app.cli.doctor._devices", dict)  # it asks a process that imports torch
    bad = json.loads(tauscope("doctor", "--json", "--db", "mysql://x").out)
    assert "can't be used" in bad["database"]["state"]
    assert "journal" not in tauscope("doctor").out


def test_a_closed_pipe_ends_it_silently(tauscope: Any, study: Path) -> None:
    assert tauscope("run", study).code == 0
    command = [sys.executable, "-c", "from app.cli.main import main; main()"]
    with subprocess.Popen(
        [*command, "show", "latest", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as shown:
        assert shown.stdout is not None
        assert shown.stderr is not None
        shown.stdout.read(10)
        shown.stdout.close()
        assert shown.stderr.read() == b""
        assert shown.wait(timeout=PATIENCE) == 0


_MAIN = [sys.executable, "-c", "from app.cli.main import main; main()"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["runs", "--json"]])
@pytest.mark.parametrize("held", ["", "1"])
def test_a_full_output_is_no_fault_of_the_program(
    arguments: list[str], held: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "TAUSCOPE_DB": str(tmp_path / "x.db"), "PYTHONUNBUFFERED": held}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*_MAIN, *arguments], stdout=full, stderr=subprocess.PIPE, env=environment, text=True
        )
    assert done.stderr == "error: The output can't be written: No space left on device.\n"
    assert done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_narration_that_can_t_be_written_ends_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        for arguments, code in ((["runs"], 0), (["show", "latest"], 1)):
            open_database(f"{tmp_path}/x.db", write=True)
            command = [*_MAIN, *arguments, "--db", f"{tmp_path}/x.db"]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full)
            assert (done.returncode, done.stdout) == (code, b"")


def test_closed_streams_are_borne(tmp_path: Path) -> None:
    line = f'exec "{sys.executable}" -c "from app.cli.main import main; main()" runs --json'
    for closed in (">&-", "<&- >&- 2>&-"):
        command = f"{line} --db {tmp_path}/x.db {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with Narrator() as narrator:
        for done in range(1000):
            narrator.progress(done, 1000, f"unit {done}")
        narrator.warn("medical", "is\x1b odd")
        narrator.progress(1000, 1000, "")
    assert log.getvalue() == "warning: medical: is\\x1b odd\n100 % 1000/1000\n"


def test_a_log_gets_no_line_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(narration, "_SELDOM", 0.0)
    with Narrator() as narrator:
        for _ in range(3):
            narrator.show(1, 4, "ETA 3 s", "layer 1")
        narrator.show(2, 4, "", "layer 2")
    assert log.getvalue() == " 25 % 1/4  ETA 3 s  layer 1\n 50 % 2/4  layer 2\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    with Narrator() as narrator:
        narrator.progress(5, 10, "layer 3 of [bold]medical\x1b]0;x\x07")
        assert narrator._bar is not None
        narrator._bar.refresh()
        narrator.say("hello [red]")
        narrator.show(99_999, 100_000, "1234 units/min  ETA 12 min", "a long label " * 9)
        narrator._bar.refresh()
    shown = terminal.getvalue()
    assert "99 % 99999/100000  1234 units/min  ETA 12 min a lo" in shown
    bare = re.sub(r"\x1b\[[\d;?]*\w", "", shown)
    assert max(map(cell_len, re.split(r"[\r\n]", bare))) <= 80
    assert "50 %" in shown
    assert "ETA" in shown
    assert "hello [red]" in shown
    assert "5/10" in shown
    assert "of [bold]medical\\x1b]0;x" in shown
    assert "\x1b]0" not in shown


def test_a_merge_is_written_and_its_folder_printed(
    tauscope: Any, study: Path, tmp_path: Path
) -> None:
    to = tmp_path / "merged"
    result = tauscope("merge", study, "--coefficients", "control=-0.4, medical=0.7", "--to", to)
    assert (result.code, result.out) == (0, f"{to}\n"), result.err
    assert "tiny: medical=0.7,control=-0.4" in result.err
    assert "100 %" in result.err
    assert (to / "config.json").exists()
    more = ("--method", "ties", "--density", "0.5", "--restrict", "mlp,0", "--dtype", "bfloat16")
    result = tauscope("merge", study, "--coefficients", "medical=1", "--to", tmp_path / "x", *more)
    assert result.code == 0, result.err
    recipe = json.loads((tmp_path / "x" / "merge.json").read_text())
    assert recipe["setting"] == "ties(density=0.5):medical=1"
    assert (recipe["restriction"], recipe["dtypes"]) == ("mlp,0", ["bfloat16"])
    assert recipe["models"].keys() == {"base", "medical"}
    assert "was lost in rounding" in result.err


def test_commands_remember_what_identifies_models(
    tauscope: Any, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is read once to identify it, by whichever command is the first to open it."""
    from core.models import identity

    read, hashed = [], identity._hashed

    def counted(contents: Any, pause: Any) -> Any:
        read.append(contents)
        return hashed(contents, pause)

    monkeypatch.setattr(identity, "_hashed", counted)
    monkeypatch.setattr(identity, "SMALL", 0)
    for file in tmp_path.rglob("*.safetensors"):
        os.utime(file, (1e9, 1e9))
    point = ("--coefficients", "medical=1", "--to")
    assert tauscope("merge", study, *point, tmp_path / "alone").code == 0
    assert len(read) == 2
    assert not (tmp_path / "db").exists(), "a merge makes no database"
    read.clear()
    result = tauscope("plan", study)
    assert result.code == 0, result.err
    assert "identifying " in result.err
    assert len(read) == len({id(contents) for contents in read}) == 3
    for command in (("plan", study), ("run", study), ("merge", study, *point, tmp_path / "x")):
        result = tauscope(*command)
        assert result.code == 0, result.err
        assert "identifying" not in result.err
    assert len(read) == 3
    url = ("--db", f"sqlite:///{tmp_path / 'other.db'}")
    assert tauscope("plan", study, *url).code == 0
    read.clear()
    (tmp_path / "db" / "x.db").write_text("no database")
    assert tauscope("merge", study, *point, tmp_path / "z", *url).code == 0
    assert not read, "--db names another cache"
    assert tauscope("merge", study, *point, tmp_path / "y").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--coefficients", "medicl=1"], "Did you mean 'medical'?"),
        (["--coefficients", "medical=x"], "not a number"),
        (["--coefficients", "medical=1", "--method", "tie"], "Did you mean 'ties'?"),
        (
            ["--coefficients", "medical=1", "--density", "0.5"],
            "Options without --method: --density.",
        ),
        (["--coefficients", "medical=1", "--method", "iso_c", "--gamma", "1"], "no option 'gamma'"),
        (["--coefficients", "medical=1", "--method", "ties", "--seed", "1"], "no option 'seed'"),
        (["--coefficients", "medical=1", "--dtype", "bf16"], "Did you mean 'bfloat16'?"),
        (["--coefficients", "medical=1", "--restrict", "attn"], "not a group or a layer"),
        (["--coefficients", "medical=1", "--restrict", "5"], "names layer 5"),
        ([], "--coefficients"),
    ],
)
def test_a_merge_that_can_not_be_is_bad_usage(
    tauscope: Any, study: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    result = tauscope("merge", study, "--to", tmp_path / "merged", *options)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert not (tmp_path / "merged").exists()


def test_a_merge_into_an_occupied_folder_is_refused_before_models_are_read(
    tauscope: Any, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.models.family.open_family", None)
    result = tauscope("merge", study, "--coefficients", "medical=1", "--to", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "is not empty" in result.err


def test_a_merge_says_what_is_doubtful_and_opens_only_what_takes_part(
    tauscope: Any, study: Path, tmp_path: Path
) -> None:
    config = tmp_path / "medical" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rope_theta": 1e6}))
    (tmp_path / "control" / "model.safetensors").unlink()
    result = tauscope("merge", study, "--coefficients", "medical=1", "--to", tmp_path / "m")
    assert result.code == 0
    assert "warning: medical: rope_theta is 1000000.0, in the base 10000.0." in result.err
    result = tauscope("merge", study, "--coefficients", "control=1", "--to", tmp_path / "n")
    assert result.code == 3


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device", "/x/y"), "/x/y: No space left on device."),
        (PermissionError(13, "Permission denied"), "Permission denied."),
        (MemoryError(), "There is not enough memory."),
    ],
)
def test_what_the_system_refuses_is_no_fault_of_the_program(
    error: Exception, expected: str, tauscope: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("app.cli.reading.open_db", fail)
    result = tauscope("runs")
    assert (result.code, result.err.splitlines()[0]) == (1, f"error: {expected}")
    assert "bug in tauscope" not in result.err
    nothing: dict[str, object] = {}
    monkeypatch.setattr("app.cli.reading.open_db", lambda *_, **__: nothing["x"])
    assert "KeyError: there is no 'x'\n  This is a bug in tauscope" in tauscope("runs").err


def test_a_run_that_stays_is_named_once_it_does(tauscope: Any, study: Path) -> None:
    result = tauscope("run", study)
    assert f"run {result.out.split()[-1]}\n" in result.err


def test_a_merge_that_rounding_takes_away_is_a_warning(tauscope: Any, study: Path) -> None:
    to = study.parent / "merged"
    given = ("--coefficients", "medical=0.0000001", "--to", to, "--dtype", "bfloat16")
    result = tauscope("merge", study, *given)
    assert result.code == 0, result.err
    assert "warning: merge: " in result.err
    assert "--dtype float32" in result.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--engine", "dask"), "--engine dask can't be used."),
        (("--engine", "ray", "--address", "auto"), "--engine ray --address auto can't be used."),
        (("--workers", "2"), "--address and --workers need --engine ray."),
    ],
)
def test_wrong_places_of_computation_are_one_error(
    tauscope: Any, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    refused = tauscope("run", write_family(tmp_path), *options)
    assert refused.code == 2
    assert words in refused.err
