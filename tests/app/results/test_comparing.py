"""Two runs held against each other: from the database to figures, and `tauscope compare`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.results.comparing import (
    alone,
    analyses_of_both,
    asked_differently,
    compared,
    pair,
    pairs,
    views_of_both,
)
from core.engine import registry
from core.engine.measurement import Measurement
from core.errors import RunError, StudyError
from core.figures.choices import default_choice, options
from core.figures.figure import Grid, Lines, Table
from core.study.study import Probe
from storage.database import Database, open_database
from storage.runs import catalogue, claim, create_run, find_run
from storage.schema import RunRow
from tests import pretend
from tests.app.families import write_family
from tests.app.results.two_runs import keep, other_rows
from tests.app.tui.conftest import fill, study
from tests.conftest import WEIGHTS


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Database, str, str]:
    pretend.register(monkeypatch)
    db = open_database(str(tmp_path / "runs.db"))
    return db, keep(db, "one", pretend.rows()), keep(db, "two", other_rows())


def test_every_view_of_both_has_a_pair_but_that_of_two_tasks(
    both: tuple[Database, str, str],
) -> None:
    by_view = {view.key: made for view, made in pairs(*both, pretend.ANALYSIS)}
    assert set(by_view) == {view.key for view in pretend.VIEWS} - {"nowhere"}
    for key, made in by_view.items():
        assert (made.difference is None) == (key in ("neurons", "document"))
    assert isinstance(by_view["neurons"].figures[1], Table)


def test_what_the_studies_ask_differently_is_noted() -> None:
    one = study("one").model_copy(update={"probe": Probe(builtin="medical")})
    probe = Probe(builtin="maths", documents=40)
    other = one.model_copy(update={"probe": probe, "analyses": {"alignment": {"rank": 8}}})
    differing = {
        name: asked_differently(one, other, registry.get(name))
        for name in ("alignment", "activation", "tuning_vectors", "evaluation", "edit_distance")
    }
    of_probe = ("probe.builtin", "probe.documents")
    assert differing == {
        "alignment": ("analyses.alignment.rank",), "activation": of_probe, "tuning_vectors": (),
        "evaluation": (), "edit_distance": of_probe,
    }  # fmt: skip
    assert asked_differently(one, one, registry.get("alignment")) == ()
    run = one.run.model_copy(update={"seed": 7, "attention": "eager"})
    other = one.model_copy(update={"run": run})
    differing = {
        name: asked_differently(one, other, registry.get(name))
        for name in ("alignment", "activation", "evaluation")
    }
    assert differing == {
        "alignment": (), "activation": ("run.attention", "run.seed"),
        "evaluation": ("run.attention", "run.seed"),
    }, "weights are measured without either"  # fmt: skip


def test_a_difference_of_questions_stands_beside_the_figures(tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "runs.db"))
    ids = []
    for name, given in (("one", {}), ("two", {"alignment": {"rank": 8}})):
        asked = study(name).model_copy(update={"analyses": given})
        run_id = create_run(db, asked, WEIGHTS)
        fill(db, run_id, claim(db, run_id))
        ids.append(run_id)

    def noted() -> set[tuple[str, ...]]:
        made = [made for _, made in pairs(db, ids[0], ids[1], registry.get("alignment"))]
        return {tuple(each.notes) for each in made}

    assert noted() == {("the studies differ in analyses.alignment.rank",)}
    with db.writing() as connection:
        changed = study("two").model_dump(mode="json") | {"analyses": {"alignment": {"gone": 1}}}
        connection.execute(update(RunRow).where(RunRow.id == ids[1]).values(study=changed))
    assert noted() == {("the study of one run can't be read by this version",)}


def test_values_come_from_their_own_run(both: tuple[Database, str, str]) -> None:
    made = pair(*both, pretend.ANALYSIS, pretend.view("curves"))
    of_first, of_second = (
        {
            (row.model, str(row.layer)): row.value
            for row in rows
            if row.metric == "activated" and row.layer is not None
        }
        for rows in (pretend.rows(), other_rows())
    )
    assert {place: c.value for place, c in made.figures[0].places().items()} == of_first
    assert {place: c.value for place, c in made.figures[1].places().items()} == of_second
    assert made.difference is not None
    apart = {place: c.value for place, c in made.difference.figure.places().items()}
    assert apart == pytest.approx({place: 0.5 for place in of_first if place in of_second})
    assert made.notes == (
        "only A has model medical",
        "only B has layer 6",
        "6 against 7 layers, matched by number",
    )
    assert isinstance(made.figures[0], Lines)
    assert isinstance(made.figures[1], Lines)
    names = [[s.name for s in f.panels[0].series] for f in made.figures if isinstance(f, Lines)]
    assert names[0] == names[1]


def test_layers_are_matched_by_depth_when_asked(both: tuple[Database, str, str]) -> None:
    made = pair(*both, pretend.ANALYSIS, pretend.view("curves"), by_depth=True)
    assert made.difference is not None
    # Layer 5 of 6 is the last, as is layer 6 of 7, which repeats layer 5: +0.5 there.
    last = made.difference.figure.places()["maths", "5"]
    assert last.value == pytest.approx(0.5)
    assert made.notes[-1] == "6 against 7 layers, matched by relative depth, at the layers of A"


def test_only_what_both_measured_is_stepped_through(both: tuple[Database, str, str]) -> None:
    view = pretend.view("drop")
    made = pair(*both, pretend.ANALYSIS, view)
    assert made.choice.task == "medqa"
    assert options(view, "task", made.choice, made.catalogue) == ("medqa",)
    first, second = made.figures
    assert isinstance(first, Grid)
    assert isinstance(second, Grid)
    assert first.rows == second.rows
    assert all(cell is None for cell in second.cells[second.rows.index("medical")])
    wanted = replace(made.choice, task="gsm8k")  # only A has it
    assert pair(*both, pretend.ANALYSIS, view, wanted).choice.task == "medqa"


def test_a_table_keeps_to_its_own_run(both: tuple[Database, str, str]) -> None:
    db, first, second = both
    view = pretend.view("neurons")
    made = pair(db, first, second, pretend.ANALYSIS, view)
    assert made.told == ""
    assert made.notes == ()
    notes = [f.note for f in made.figures if isinstance(f, Table)]
    assert notes == ["1 models were measured"] * 2
    opening = default_choice(view, catalogue(db, first, pretend.NAME))
    assert made.choice.model != "medical"
    assert opening.model == "instruct"


def test_the_analyses_of_one_run_alone_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend.register(monkeypatch)
    db = open_database(str(tmp_path / "runs.db"))
    first = keep(db, "one", [], besides=("vector_cosine", "alignment", "evaluation"))
    second = keep(db, "two", [], besides=("evaluation",))
    one, two = find_run(db, first), find_run(db, second)
    names = [name for name in registry.names() if name in {"vector_cosine", "alignment"}]
    titles = tuple(registry.get(name).title for name in names)
    assert alone(one, two) == (titles, ())
    assert alone(two, one) == ((), titles)
    assert alone(one, one) == ((), ())


def test_what_both_runs_refer_to_is_one_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of medical there is one result for both; that of maths was computed twice, equally."""
    pretend.register(monkeypatch)
    db = open_database(str(tmp_path / "runs.db"))
    medical, maths = (
        [row for row in pretend.rows() if row.model == name] for name in ("medical", "maths")
    )
    keep(db, "both", medical)
    first, second = keep(db, "one", maths, ("both",)), keep(db, "two", maths, ("both",))
    view = pretend.view("distance")
    asked = default_choice(view, catalogue(db, first, pretend.NAME))
    spreads = {}
    for model in ("medical", "maths"):
        made = pair(db, first, second, pretend.ANALYSIS, view, replace(asked, model=model))
        assert made.difference is not None
        cells = made.difference.figure.places().values()
        assert {cell.shown for cell in cells} == {0.0}
        spreads[model] = {cell.chance_sd for cell in cells}
        rows = compared(pretend.ANALYSIS, view, made)["differences"]
        assert {row["reading"] == "the same measurement" for row in rows} == {model == "medical"}
        if model == "medical":
            assert made.told == "All 6 places are the same measurements."
    assert spreads["medical"] == {None}
    assert list(spreads["maths"]) == [pytest.approx(0.01 * 2**0.5)]
    curves = pair(db, first, second, pretend.ANALYSIS, pretend.view("curves"))
    assert curves.told == (
        "The two runs do not differ at the 12 places that they share."
        " At 6 of the 12 places it is the same measurement."
    )
    itself = pair(db, first, first, pretend.ANALYSIS, pretend.view("curves"), by_depth=True)
    assert itself.told == "All 12 places are the same measurements."


def test_a_layer_held_against_another_is_not_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend.register(monkeypatch)
    db = open_database(str(tmp_path / "runs.db"))
    rows = [
        Measurement(metric="activated", value=1.0, model="maths", layer=layer) for layer in range(9)
    ]
    keep(db, "both", rows[:3])
    first, second = keep(db, "one", [], ("both",)), keep(db, "two", rows[3:], ("both",))
    by_number, by_depth = (
        pair(db, first, second, pretend.ANALYSIS, pretend.view("curves"), by_depth=by_depth).told
        for by_depth in (False, True)
    )
    assert by_number == "All 3 places are the same measurements."
    assert by_depth == "The two runs do not differ at the 3 places that they share."


def test_runs_that_share_nothing_say_what_each_has(both: tuple[Database, str, str]) -> None:
    db, first, _ = both
    other = create_run(db, study("other"), ["alignment"])
    one, two = find_run(db, first), find_run(db, other)
    with pytest.raises(StudyError) as caught:
        analyses_of_both(one, two)
    assert f"Run {first} has pretend. Run {other} has alignment." in caught.value.hint
    with pytest.raises(StudyError, match="analysis 'alignment'"):
        analyses_of_both(one, one, "alignment")
    with pytest.raises(StudyError):
        analyses_of_both(one, one, "alignmnt")
    assert views_of_both(db, first, other, pretend.ANALYSIS) == ()
    with pytest.raises(RunError, match="nothing in common"):
        pair(db, first, other, pretend.ANALYSIS, pretend.view("curves"))


def test_the_command_prints_both_and_their_difference(tauscope: Any, tmp_path: Path) -> None:
    path = write_family(tmp_path)
    first = tauscope("run", path, "--only", "tuning_vectors").out.strip()
    text = path.read_text(encoding="utf-8")
    smaller = "\n".join(line for line in text.split("\n") if not line.startswith("control"))
    path.write_text(smaller, encoding="utf-8")
    second = tauscope("run", path, "--only", "tuning_vectors,vector_cosine").out.strip()
    result = tauscope("compare", first[:10], second)
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    assert f"A  tiny · run {first}" in result.out
    assert f"B  tiny · run {second}" in result.out
    assert "Differences are B − A" in result.out
    assert "B − A · " in result.out
    assert " places are the same measurements." in result.out
    assert "every value is 0" in result.out
    assert "Note: only A has model control." in result.out
    assert "Cosine" not in result.out
    assert "\x1b" not in result.out

    data = json.loads(tauscope("compare", first, second, "tuning_vectors", "--json").out)
    assert (data["A"], data["B"]) == (first, second)
    curves = data["views"][0]
    assert curves["notes"] == ["only A has model control"]
    assert {row["difference"] for row in curves["differences"]} == {0.0}
    assert all(row["A"] == row["B"] for row in curves["differences"])
    assert {row["reading"] for row in curves["differences"]} == {"the same measurement"}
    assert {row["chance_sd"] for row in curves["differences"]} == {None}

    missing = tauscope("compare", first, second, "vector_cosine")
    assert missing.code == 2
    assert f"Run {first} has tuning_vectors." in missing.err
    assert tauscope("show", first, "vector_cosine").code == 2
    assert tauscope("compare", first, "nothing").code == 1
    assert tauscope("compare", first).code == 2
