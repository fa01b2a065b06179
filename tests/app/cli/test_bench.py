"""`tauscope bench` with a bench without models, in its process and by a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.bench import loading, registry
from core.bench.messages import Event, Generate, Prompt, Request, Score
from core.errors import RunError
from core.study.study import Study
from storage import runs, trials
from storage.database import open_database
from tests.app.bench import fake
from tests.app.bench.fake import FakeBench


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that reached the bench of the command's process."""
    requests: list[Request] = []

    class Noting(FakeBench):
        def answer(self, request: Request, give: Any, pause: Any) -> None:
            requests.append(request)
            super().answer(request, give, pause)

    @contextmanager
    def loaded(study: Study, db: Any, say: Any) -> Iterator[FakeBench]:
        say("loading base")
        yield Noting()

    monkeypatch.setattr(loading, "loaded", loaded)
    return requests


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for name in ("b", "m", "c"):
        (tmp_path / name).mkdir()
    file = tmp_path / "s.toml"
    file.write_text(
        'name = "s"\n[models]\nbase = "b"\n[models.tuned]\nmedical = "m"\n'
        'maths = "m"\ncontrol = { path = "c", role = "control" }\n'
    )
    return file


def test_it_generates_with_the_base_and_all_but_controls(
    tauscope: Any, study: Path, asked: list[Request]
) -> None:
    result = tauscope("bench", study, "--prompt", "hi\x1b[2J there")
    assert (result.code, asked) == (
        0,
        [Generate(prompt=Prompt(text="hi\x1b[2J there"), columns=("base", "medical", "maths"))],
    )
    assert "\x1b" not in result.out
    assert "maths (1 token, ended by its length)\n  hi\\x1b[2J there" in result.out
    assert "answers hi" in result.err


def test_every_option_reaches_the_bench(tauscope: Any, study: Path, asked: list[Request]) -> None:
    tauscope(
        "bench", study, "--prompt", "hi", "--tokens", 3, "--temperature", 0.5, "--top-p", 0.9,
        "--seed", 7, "--stop", "a", "--stop", "b", "--system", "be kind", "--column",
        "graft(medical):0-3", "--column", "base", "--mix", "maths=0.4,medical=0.7",
    )  # fmt: skip
    assert asked == [
        Generate(
            prompt=Prompt(text="hi", system="be kind", template=True),
            columns=("base", "graft(medical):0-3", "medical=0.7,maths=0.4"), tokens=3,
            temperature=0.5, top_p=0.9, seed=7, stop=("a", "b"),
        )
    ]  # fmt: skip
    asked.clear()
    tauscope("bench", study, "--prompt", "hi", "--system", "be kind", "--no-template")
    tauscope("bench", study, "--prompt", "hi", "--template")
    assert [(r.prompt.system, r.prompt.template) for r in asked] == [("be kind", False), ("", True)]
    asked.clear()
    tauscope("bench", study, "--continuation", "x", "--alone", "text", "--column", "maths")
    assert asked == [
        Score(prompt=Prompt(text="", alone="text"), continuation="x", columns=("base", "maths"))
    ]


def test_it_scores_a_continuation_and_shows_the_layers(
    tauscope: Any, study: Path, asked: list[Request]
) -> None:
    given = ("bench", study, "--prompt", "Q", "--continuation", "xy", "--column", "medical")
    result = tauscope(*given, "--lens")
    assert asked[0] == Score(
        prompt=Prompt(text="Q"), continuation="xy", columns=("base", "medical")
    )
    lines = [line.split() for line in result.out.splitlines()]
    assert ["x", "-1.500", "-2.500", "0.250"] in lines
    assert ["medical", "2.500", "+1.000"] in lines
    assert ["Q", "p", "r"] in lines
    assert [r.do for r in asked] == ["score", "lens", "lens"]
    (trial,) = json.loads(tauscope(*given, "--json").out)["trials"]
    assert trial["tokens"] == {"pieces": ["Q", "x", "y"], "start": 1, "cut": 0}
    assert [score["nll"] for score in trial["scored"]] == [1.5, 2.5]
    assert trial["request"]["columns"] == ["base", "medical"]


def test_a_wide_table_is_printed_in_parts(
    tauscope: Any, study: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "48")
    names = [f"steer(medical,layer=3,module={module}):0.5" for module in ("o", "down", "gate")]
    columns = [option for name in names for option in ("--column", name)]
    result = tauscope("bench", study, "--prompt", "Q", "--continuation", "xy", *columns)
    lines = result.out.splitlines()
    assert all(f"  {place}  {name}" in lines for place, name in enumerate(names, 2))
    heads = [line.split() for line in lines if line.startswith("token")]
    assert max(len(line) for line in lines if line.startswith(("token", "x ", "y "))) <= 48
    assert [place for head in heads for place in head[1:]] == [*"1234567"]
    assert sum(line.startswith("x ") for line in lines) == len(heads) > 1


def test_a_file_has_many_prompts(tauscope: Any, study: Path, asked: list[Request]) -> None:
    text, rows = study.with_name("p.txt"), study.with_name("p.jsonl")
    text.write_text("one\n\ntwo\n")
    rows.write_text('{"prompt": "a", "continuation": "b", "system": "s"}\n{"prompt": "c"}\n')
    assert tauscope("bench", study, "--prompts", text, "--prompt", "zero").code == 0
    assert [request.prompt.text for request in asked] == ["zero", "one", "two"]
    asked.clear()
    result = tauscope("bench", study, "--prompts", rows, "--json")
    assert [trial["request"]["do"] for trial in json.loads(result.out)["trials"]] == [
        "score", "generate",
    ]  # fmt: skip
    # As with --system, a system prompt implies the chat template, unless an option says no.
    prompts = [(request.prompt.system, request.prompt.template) for request in asked]
    assert prompts == [("s", True), ("", False)]
    asked.clear()
    tauscope("bench", study, "--prompts", rows, "--no-template")
    assert not asked[0].prompt.template


def test_only_line_breaks_part_a_file_of_prompts(
    tauscope: Any, study: Path, asked: list[Request]
) -> None:
    """JSON allows other separators inside of a text, as text from the web has them."""
    odd = "a\u2028b\x85c"
    text, rows = study.with_name("p.txt"), study.with_name("p.jsonl")
    text.write_text(f"{odd}\x0c\r\ntwo\n", encoding="utf-8")
    rows.write_text(json.dumps({"prompt": odd}, ensure_ascii=False) + "\r\n", encoding="utf-8")
    assert tauscope("bench", study, "--prompts", text).code == 0
    assert tauscope("bench", study, "--prompts", rows).code == 0
    assert [request.prompt.text for request in asked] == [f"{odd}\x0c", "two", odd]


def test_what_was_found_before_a_fault_is_shown(
    tauscope: Any, study: Path, asked: list[Request]
) -> None:
    file = study.with_name("p.txt")
    file.write_text("one\nnonsense\ntwo\n")
    result = tauscope("bench", study, "--prompts", file, "--json")
    assert result.code == 2
    assert "Prompt 2 of 3: That makes no sense." in result.err
    trials = json.loads(result.out)["trials"]
    assert [trial["request"]["prompt"]["text"] for trial in trials] == ["one"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "tauscope bench STUDY.toml --prompt TEXT"),
        (["--prompt", "x", "--column", "medicine"], "Did you mean 'medical'?"),
        (["--prompt", "x", "--mix", "medical=a"], "medical"),
        (["--prompt", "x", "--tokens", "0"], "tokens must be"),
        (["--prompt", "x", "--seed", "-1"], "seed must be"),
        (["--prompt", "x", "--temperature", "inf"], "temperature must be"),
        (["--prompt", "x", "--continuation", "\udcff"], "a part of a character"),
        (["--prompts", "half.jsonl"], "Prompt 2 of 2: The text has a part of a character"),
        (["--prompt", "x", "--top-p", "nan"], "top-p must be"),
        (["--prompt", "x", "--continuation", ""], "nothing to score"),
        (["--prompt", "x", "--lens"], "--lens needs a continuation"),
        (["--prompt", "x", "--idle", "5"], "--idle"),
        (["--mix", "medical=0.5", "--json"], "a screen, which does not take --json, --mix."),
        (["--no-template"], "a screen, which does not take --template."),
        (["--prompt", "x", "--detach", "--idle", "0"], "--idle"),
        (["--prompts", "none.txt"], "none.txt can't be read"),
        (["--prompts", "empty.txt"], "empty.txt are empty"),
        (["--prompts", "odd.jsonl"], "odd.jsonl, line 2"),
        (["--prompts", "none.jsonl"], "none.jsonl, line 2: the continuation is empty"),
        (["--prompts", "bytes.txt"], "bytes.txt can't be read: it is not text in UTF-8"),
    ],
)
def test_what_can_not_be_asked_is_a_usage_error_before_models_load(
    tauscope: Any, study: Path, asked: list[Request], options: list[str], words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(study.parent)
    Path("empty.txt").write_text("\n")
    Path("odd.jsonl").write_text('{"prompt": "a"}\n{"prompt": 1}\n')
    Path("half.jsonl").write_text('{"prompt": "a"}\n{"prompt": "\\ud800"}\n')
    Path("none.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "continuation": ""}\n')
    Path("bytes.txt").write_bytes(b"\xd7\xff")
    result = tauscope("bench", study, *options)
    assert (result.code, asked) == (2, [])
    assert words in result.err


def test_a_doubt_is_told_and_a_fault_ends_it(
    tauscope: Any, study: Path, asked: list[Request]
) -> None:
    assert "warning: The prompt was cut." in tauscope("bench", study, "--prompt", "doubt").err
    assert tauscope("bench", study, "--prompt", "fault").code == 1


def test_a_trial_is_kept_in_a_run(tauscope: Any, study: Path, asked: list[Request]) -> None:
    from core.study import intake

    assert tauscope("bench", study, "--prompt", "hi", "--keep", "latest").code == 1
    db = open_database(write=True)
    run = runs.create_run(db, intake.read(study), ["tuning_vectors"])
    tauscope("bench", study, "--prompt", "hi", "--keep", "latest")
    (stored,) = trials.trials(db, run)
    assert stored.content["request"]["prompt"]["text"] == "hi"
    assert [answer["text"] for answer in stored.content["written"]] == ["hi"] * 3
    db.close()


def test_a_worker_answers_the_same_and_is_listed_and_ended(
    tauscope: Any, study: Path, asked: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.use(monkeypatch)
    given = ("bench", study, "--prompt", "hi", "--json")
    here = tauscope(*given)
    assert len(asked) == 1
    first, second = tauscope(*given, "--detach", "--idle", 1), tauscope(*given)
    assert len(asked) == 1  # the worker has answered the others
    assert here.out == first.out == second.out
    for prompt, code in (("nonsense", 2), ("fault", 1)):
        result = tauscope("bench", study, "--prompt", prompt)
        assert (result.code, len(asked)) == (code, 1)
        assert ("That makes no sense." in result.err) is (code == 2)
    (listed,) = json.loads(tauscope("runs", "--benches", "--json").out)
    assert (listed["study"], listed["held"], listed["idle"]) == ("s", {"cpu": 123}, 60.0)
    assert json.loads(tauscope("runs", "--json").out) == []
    row = [line.split() for line in tauscope("runs").out.splitlines() if line.startswith("s ")]
    assert row == [["s", str(listed["pid"]), "ready", "123", "B", "on", "cpu", *row[0][7:]]]
    assert f"process {listed['pid']}" in tauscope("doctor", "--json").out
    result = tauscope("bench", study, "--end")
    assert (result.code, result.err.startswith("the bench of s (process ")) == (0, True)
    assert registry.benches(study.parent / "db" / "x.db") == []
    assert tauscope("bench", study, "--end").err == "no bench of s is running\n"
    assert "No bench is running" in tauscope("runs", "--benches").err


def test_a_log_is_told_line_by_line(tauscope: Any, study: Path, asked: list[Request]) -> None:
    """The end of a worker's log is such a hint."""
    hint = "Last lines of its log x.log:\n08:00 loading base\nKilled\x1b[2J"

    def killed(*_: Any) -> None:
        raise RunError("The bench's worker ended.", hint=hint)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FakeBench, "answer", killed)
        result = tauscope("bench", study, "--prompt", "hi")
    assert result.err.splitlines()[-4:] == [
        "error: The bench's worker ended.", "  Last lines of its log x.log:",
        "  08:00 loading base", "  Killed\\x1b[2J",
    ]  # fmt: skip
