"""`tauscope plan`: the tables, the JSON, the errors of `run`, and what is finished already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.jobs import preflight
from tests.app.families import write_family
from tests.conftest import WEIGHTS, tiny_config, tiny_tensors

ANALYSES = set(WEIGHTS)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_family(tmp_path)


def test_a_plan_runs_nothing_and_knows_what_has_run(tauscope: Any, study: Path) -> None:
    shown = tauscope("plan", study)
    assert shown.code == 0
    assert "skipped: trajectory" in shown.err
    for words in (
        "alignment",
        "medical",
        "From disk:",
        "Peak memory, beside the program's own: cpu",
        "~0 s",
        "a rough estimate",
    ):
        assert words in shown.out
    assert json.loads(tauscope("runs", "--json").out) == []

    before = json.loads(tauscope("plan", study, "--json").out)
    assert {share["analysis"] for share in before["shares"]} == ANALYSES
    assert set(before["skipped"]) == {
        "trajectory", "activation", "edit_distance", "evaluation", "forgetting", "ablation",
        "arithmetic",
    }  # fmt: skip
    assert before["rough"]
    assert before["seconds"] > 0
    size = {name: tensor.nbytes for name, tensor in tiny_tensors().items()}
    once, norm = sum(size.values()), size["model.norm.weight"]
    again = size["model.embed_tokens.weight"] + size["lm_head.weight"]  # for tokens of directions
    read = [model["read"] for model in before["models"]]
    assert read == [once + again + norm, once + again, once + again]

    assert before["here"] == 1
    assert [len(each["shares"]) for each in before["spread"]] == [1, 2, 4, 8]
    spread = tauscope("plan", study, "--workers", 3).out
    assert spread.count("\nworker ") == 1
    assert "on 3," in spread

    tauscope("run", study, "--only", "alignment")
    after = json.loads(tauscope("plan", study, "--json").out)
    done = {s["analysis"]: s["finished"] == s["units"] for s in after["shares"]}
    assert done == {name: name == "alignment" for name in ANALYSES}

    tauscope("run", study)
    assert "Nothing is left to compute" in tauscope("plan", study).out
    assert json.loads(tauscope("plan", study, "--json").out)["seconds"] == 0


def test_the_pace_of_an_earlier_run_is_taken(tauscope: Any, tmp_path: Path) -> None:
    """Another study over a base of the same size: its units took what these will take."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    tauscope("run", write_family(tmp_path / "first"))
    other = write_family(tmp_path / "second")
    config = json.dumps(tiny_config(rope_theta=5000.0))  # other models by their configuration
    for model in ("base", "medical", "control"):
        (tmp_path / "second" / model / "config.json").write_text(config)
    estimate = json.loads(tauscope("plan", other, "--json").out)
    assert all(share["finished"] == 0 and share["measured"] for share in estimate["shares"])
    assert not estimate["rough"]
    assert "measured on finished units of this size" in " ".join(
        tauscope("plan", other).out.split()
    )


def test_only_some_analyses_are_planned(tauscope: Any, study: Path) -> None:
    estimate = json.loads(tauscope("plan", study, "--only", "vector_cosine", "--json").out)
    assert [share["analysis"] for share in estimate["shares"]] == ["vector_cosine"]


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_no_line_is_wider_than_the_terminal(
    tauscope: Any, study: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, tauscope("plan", study).out.splitlines())) <= columns


def test_the_errors_are_those_of_run(tauscope: Any, study: Path, tmp_path: Path) -> None:
    for arguments, spoil in (
        (("nowhere.toml",), None),
        ((study, "--only", "cosine"), None),
        ((study, "--only", "activation"), None),
        ((study,), "base"),
    ):
        if spoil:
            (tmp_path / spoil / "model.safetensors").write_bytes(b"short")
        planned, run = tauscope("plan", *arguments), tauscope("run", *arguments)
        assert planned.code == run.code in (2, 3)
        error = planned.err[planned.err.index("error: ") :]
        assert error == run.err[run.err.index("error: ") :]
        assert planned.out == ""


def _cost(device: str, *spread: tuple[int, float | None], here: int = 1) -> dict[str, Any]:
    """A preflight in JSON, with the times on several cards."""
    share = {"analysis": "alignment", "units": 8, "finished": 0, "stored": 0}
    card = {"slices": 3, "units": [["base", 4], ["medical", 5]], "busy": 90.0}
    return {
        "device": device, "here": here, "seconds": 600.0, "rough": False, "shares": [share],
        "models": [], "needed": {},
        "spread": [
            {"cards": n, "seconds": seconds, "shares": [card] * n if seconds is not None else []}
            for n, seconds in spread
        ],
    }  # fmt: skip


def test_the_times_on_several_cards_are_a_sentence() -> None:
    known = _cost("cuda:0", (1, 600.0), (2, 310.0), (4, 180.0), (8, 170.0))
    assert preflight.totals(known)[-1] == (
        "With --engine ray: about 5 min on 2, 3 min on 4, 3 min on 8 cards like this one, "
        "estimated by a schedule with the longest task first."
    )
    large = _cost("cuda:0", (1, None), (2, 310.0))
    assert preflight.totals(large)[-1].endswith("first. 1 card can't hold every model.")
    assert (
        "on 2 workers, each with its own cores"
        in preflight.totals(_cost("cpu", (1, 600.0), (2, 310.0)))[-1]
    )
    assert "ray" not in preflight.totals(_cost("cpu", (1, 600.0)))[-1]


def test_each_card_of_several_has_a_row() -> None:
    assert preflight.cards(_cost("cuda:0", (1, 600.0), (2, 310.0)))[1] == []
    head, rows = preflight.cards(_cost("cuda:0", (1, 600.0), (2, 310.0), here=2))
    assert head == ("card", "slices", "busy", "units by model")
    assert rows == [(str(n), "3", "90 s", "base 4, medical 5") for n in range(2)]
    assert preflight.cards(_cost("cuda:0", (2, None), here=2))[1] == []
