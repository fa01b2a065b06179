"""What `inspect` answers, held against float64 arithmetic on the files and the run's rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from app.cli.inspection import pictures, sentences
from app.cli.inspection.accounts import Account
from core.engine import runner
from core.errors import RunError
from core.figures.figure import Cell, Table
from core.models.naming import MLP
from tests.conftest import tiny_config, tiny_tensors, tuned_from, write_model

TITLES = ("How far?", "Where?", "In how many directions?", "New directions, or the base's own")
MODULES = {"q_proj": "attention", "k_proj": "attention", "v_proj": "attention",
           "o_proj": "attention", **{f"{name}_proj": "mlp" for name in MLP}}  # fmt: skip


@pytest.fixture
def family(tmp_path: Path) -> Any:
    """A base and as many models tuned from it as are asked for, by name."""
    base = tiny_tensors()
    write_model(tmp_path / "base", tiny_config(), base)

    def make(*names: str, size: float = 0.01) -> list[Path]:
        folders = [tmp_path / "base"]
        for seed, name in enumerate(names, start=1):
            folders.append(tmp_path / name)
            write_model(tmp_path / name, tiny_config(), tuned_from(base, seed, size))
        return folders

    return make


def group_of(tensor: str) -> str:
    return next((group for part, group in MODULES.items() if part in tensor), "")


def _float64(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: t.double() for name, t in load_file(folder / "model.safetensors").items()}


def _relative(base: dict[str, Any], tuned: dict[str, Any], wanted: Any) -> float:
    names = [name for name in base if wanted(name)]
    change = sum(float((tuned[n] - base[n]).square().sum()) for n in names)
    return float((change / sum(float(base[n].square().sum()) for n in names)) ** 0.5)


def test_the_answers_are_those_of_the_files(tauscope: Any, family: Any) -> None:
    folders = family("medical")
    data = json.loads(tauscope("inspect", *folders, "--json").out)
    (of,) = data["models"]
    base, tuned = map(_float64, folders)
    size = of["how_far"]["relative_norm"]
    for group in ("attention", "mlp"):
        true = _relative(base, tuned, lambda n, g=group: group_of(n) == g)
        assert size[group]["value"] == pytest.approx(true, rel=1e-6)
    assert size["all"]["value"] == pytest.approx(_relative(base, tuned, lambda n: True), rel=1e-6)
    for row in of["where"]["by_layer"]["blocks"]:
        true = _relative(base, tuned, lambda n, i=row["layer"]: f"layers.{i}." in n)
        assert row["value"] == pytest.approx(true, rel=1e-6)
    for group in ("attention", "mlp"):
        spectra = [
            torch.linalg.svdvals(tuned[n] - base[n]) for n in base if group_of(n) == group
        ]  # fmt: skip
        stable = median(float(s.square().sum() / s[0] ** 2) for s in spectra)
        rank = of["directions"]["stable_rank"][group]
        assert rank["value"] == pytest.approx(stable, rel=1e-5)
        assert rank["n"] == len(spectra)


def test_verdicts_are_by_value_chance_and_spread(tauscope: Any, family: Any) -> None:
    folders = family("medical", "maths")
    data = json.loads(tauscope("inspect", *folders, "--json").out)
    rows = json.loads(tauscope("show", data["run"], "--json").out)

    def beyond(row: dict[str, Any]) -> bool:
        return bool(abs(row["value"] - row["chance"]) >= 2 * row["chance_sd"])

    for of in data["models"]:
        of_model = [r for r in rows if r["model"] == of["model"] and r["head"] is None]
        aligned = [
            r for r in of_model
            if r["metric"] == "two_sided_excess" and r["layer"] is not None
            and r["module"] not in ("attention", "mlp", "blocks")
        ]  # fmt: skip
        assert of["comparison"]["matrices"] == len(aligned) == 14
        assert of["comparison"]["matrices_beyond_chance"] == sum(map(beyond, aligned))
        other = "maths" if of["model"] == "medical" else "medical"
        ((name, cosine),) = of["comparison"]["cosine"].items()
        (row,) = [
            r for r in of_model
            if r["metric"] == "cosine" and r["layer"] is None and r["module"] == "all"
        ]  # fmt: skip
        assert (name, cosine["value"]) == (other, row["value"])
        assert cosine["within_chance"] is not beyond(row)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_it_fits_a_terminal_and_ends_with_the_run(
    tauscope: Any, family: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")  # a pipe, of which nobody says how wide
    names = [f"{'a-model-of-a-long-name-' * (i % 2)}{i}" for i in range(count)]
    result = tauscope("inspect", *family(*names))
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "\x1b" not in result.out
    assert all(result.out.count(title) == 1 for title in TITLES)
    (run,) = json.loads(tauscope("runs", "--json").out)
    assert lines[-1] == run["id"]
    # Each model has an answer to each question: a line of its own, or one in a table.
    rest = result.out
    for title, following in zip(TITLES, (*TITLES[1:], "compare with chance"), strict=True):
        answer, rest = rest.split(title, 1)[1].split(following, 1)
        rest = f"{following}{rest}"
        assert all(name[:10] in answer for name in names[1:])


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_number_of_a_table_is_cut(
    tauscope: Any, family: Any, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = tauscope("inspect", *family("a", "b", "c", "d"))
    tables = result.out[: result.out.index("How do they compare")]
    assert "…" not in tables
    assert tables.count("\na  ") == 4


def test_a_model_that_is_the_base_is_said_to_be(tauscope: Any, family: Any) -> None:
    (base,) = family()
    result = tauscope("inspect", base, base)
    assert "Its weights are the base's." in result.out
    assert "No layer changed." in result.out
    assert "█" not in result.out
    assert result.out.count("seems to have the same weights") == 1
    for many in (2, 4):
        assert tauscope("inspect", base, *[base] * many).code == 0


def test_what_is_doubtful_is_told_once_with_all_that_it_is_about(
    tauscope: Any, family: Any, tmp_path: Path
) -> None:
    folders = family("a", "b")
    for folder in folders[1:]:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    result = tauscope("inspect", *folders)
    assert result.out.count("rms_norm_eps is 0.5") == 1
    assert "\na, b: rms_norm_eps is 0.5" in result.out
    data = json.loads(tauscope("inspect", *folders, "--json").out)
    assert [each["about"] for each in data["warnings"]] == [["a", "b"]]


def test_rounding_that_dominates_is_told(tauscope: Any, tmp_path: Path) -> None:
    base = tiny_tensors(dtype=torch.bfloat16)
    small = tuned_from({n: t.float() for n, t in base.items()}, 1, 1e-5)
    write_model(tmp_path / "base", tiny_config(), base)
    write_model(tmp_path / "small", tiny_config(), {n: t.bfloat16() for n, t in small.items()})
    result = tauscope("inspect", tmp_path / "base", tmp_path / "small")
    assert "A tenth of it or more is rounding" in " ".join(result.out.split())


def test_without_answers_there_is_the_id(
    tauscope: Any, family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RunError("no")

    folders = family("medical")
    monkeypatch.setattr(runner, "run", fail)
    result = tauscope("inspect", *folders)
    assert (result.code, len(result.out.strip())) == (1, 12)
    as_data = json.loads(tauscope("inspect", *folders, "--json").out)
    assert as_data == {"run": result.out.strip()}


def test_a_detached_one_says_which_run_it_is(tauscope: Any, family: Any) -> None:
    result = tauscope("inspect", *family("medical"), "--detach", "--json")
    (run,) = json.loads(tauscope("runs", "--json").out)
    assert json.loads(result.out) == {"run": run["id"]}


# Sentences


def cell(value: float, sd: float | None = None, chance: float | None = 0.0) -> Cell:
    return Cell(value, value, chance, sd)


def account(**changes: Any) -> Account:
    known: dict[str, Any] = {
        "model": "m", "size": {}, "changed": None, "rounding": None, "dominated": False,
        "layers": {"attention": {}, "mlp": {}, "blocks": {}}, "modules": {},
        "ranks": {"stable_rank": {}, "effective_rank": {}}, "excess": {}, "gain": {},
        "intruders": {}, "leading": None, "of_matrices": (), "turn": {}, "cosines": {},
    }  # fmt: skip
    return Account(**(known | changes))


NEITHER = (
    "Attention neither keeps to the base's directions nor avoids them (+0.015, within chance)."
)


def test_nothing_measured_is_no_fault() -> None:
    for question in sentences.QUESTIONS:
        assert question.answer(account()).endswith(".")
        for count in (1, 2, 8):
            pictures.PICTURES[question.key]([account(model=str(i)) for i in range(count)])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.05, "Attention keeps to the base's directions (+0.050 beyond chance)."),
        (-0.05, "Attention avoids the base's directions (-0.050 beyond chance)."),
        (0.015, NEITHER),
    ],
)
def test_what_is_within_chance_is_no_finding(value: float, sentence: str) -> None:
    assert sentences.new_or_amplified(account(excess={"attention": cell(value, 0.01)})) == sentence


def test_a_small_number_is_not_rounded_to_nothing() -> None:
    """Two nominal sd of a cosine over 7.6 billion numbers are 0.00002."""
    turned = {"blocks": cell(-0.00012, sd=1e-5)}
    assert sentences.against_chance(account(turn=turned)) == (
        "Cosine of Δ with the base's layers -0.00012 (nominal 2 sd = 2e-05)."
    )
    tiny = [account(model=name, turn=turned, size={"all": cell(0.0004)}) for name in "abcd"]
    table, _ = pictures.of_sizes(tiny)
    assert isinstance(table, Table)
    numbers = dict(zip(table.columns, table.rows[0], strict=True))
    shown = {column.name: column.written(value) for column, value in numbers.items()}
    assert (shown["all"], shown["cosine with W"].rstrip()) == ("0.0004", "-0.00012")
    written = [sentences.signed(value) for value in (0.0, -0.0, 0.0005)]
    assert written == ["+0.000", "+0.000", "+0.001"]


def test_one_layer_and_one_matrix() -> None:
    one = account(
        layers={"attention": {}, "mlp": {}, "blocks": {0: cell(0.1)}}, modules={"q": cell(0.1)}
    )
    assert sentences.where(one) == "There is one layer; of the matrices only q."
    two = account(layers={"attention": {}, "mlp": {}, "blocks": {0: cell(0.0), 1: cell(0.1)}})
    assert sentences.where(two) == "Only layer 1 changed."


def test_of_equals_none_is_most_and_what_did_not_change_is_said() -> None:
    blocks = {0: cell(0.0), 1: cell(0.1), 2: cell(0.1)}
    same = account(
        layers={"attention": {}, "mlp": {}, "blocks": blocks},
        modules={"q": cell(0.1), "v": cell(0.2), "up": cell(0.0)},
    )
    assert sentences.where(same) == (
        "The same in all 2 that changed (0.1); 1 of 3 layers unchanged; of the matrices most in v "
        "(0.2), least in q (0.1)."
    )
    still = account(layers={"attention": {}, "mlp": {}, "blocks": {0: cell(0.0), 1: cell(0.0)}})
    figures = [pictures.PICTURES["where"]([replace(still, model=str(i)) for i in range(8)])]
    tables = [drawn for drawn, form in figures if isinstance(drawn, Table) and form == "table"]
    assert [row[2:] for table in tables for row in table.rows] == [(None,) * 4] * 8


@given(st.lists(st.floats(0, 1), max_size=200))
def test_a_curve_in_one_line_keeps_its_top(values: list[float]) -> None:
    top = max(values, default=0.0)
    drawn = pictures.spark(values, top)
    assert len(drawn) <= 24
    assert ("█" in drawn) == (top > 0)
