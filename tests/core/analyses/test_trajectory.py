"""The path of a series of checkpoints against a decomposition of its vectors in float64."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.analyses.trajectory import ANALYSIS, MODULES
from core.engine import runner
from core.engine.measurement import Measurement
from core.figures.choices import default_choice, query
from core.figures.figure import Cell, Lines, Point, Scatter
from core.figures.layout import figure
from core.figures.paths import of_path
from core.figures.views import Catalogue
from core.statistics import paths
from core.study.intake import read
from tests.conftest import MemorySink, load_all, tiny_config, tiny_tensors, tuned_from, write_model
from tests.selection import combinations, matches

STUDY = """\
name = "path"
[models]
base = "base"
[models.tuned]
parent = "parent"
sft = { path = "sft", checkpoints = "checkpoint-*", parent = "parent" }
dpo = { path = "dpo", checkpoints = "checkpoint-*" }
"""
STEPS = (5, 20, 100, 300)
GROUPS = {"attention": "self_attn", "mlp": ".mlp.", "all": ""}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A base, a series of four steps from it, and one of three from a tuned parent."""
    base = tiny_tensors()
    parent = tuned_from(base, 1)
    for folder, tensors in (("base", base), ("parent", parent)):
        write_model(tmp_path / folder, tiny_config(), tensors)
    for series, start, seed in (("dpo", base, 10), ("sft", parent, 20)):
        weights = start
        for i, step in enumerate(STEPS if series == "dpo" else STEPS[:3]):
            weights = tuned_from(weights, seed + i, 0.004 * (i + 1))
            write_model(tmp_path / series / f"checkpoint-{step}", tiny_config(), weights)
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return file


def run(study: Path, sink: MemorySink | None = None) -> MemorySink:
    sink = sink or MemorySink()
    runner.run(read(study), sink, ("trajectory",))
    return sink


def _vectors(folders: Iterable[Path], part: str) -> Any:
    """The parameters of each model whose names hold `part`, [models, parameters] float64."""
    models = [load_all(folder) for folder in folders]
    names = [name for name in sorted(models[0]) if part in name]
    flat = [[m[n].double().numpy().reshape(-1) for n in names] for m in models]
    return np.array([np.concatenate(parts) for parts in flat])


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(("series", "start", "steps"), [("dpo", "base", 4), ("sft", "parent", 3)])
def test_a_path_equals_the_decomposition_of_its_vectors(
    study: Path, series: str, start: str, steps: int, module: str
) -> None:
    sink, home = run(study), study.parent
    points = [home / start, *(home / series / f"checkpoint-{s}" for s in STEPS[:steps])]
    names = [start, *(f"{series}@{s}" for s in STEPS[:steps])]
    vectors = _vectors(points, GROUPS[module])
    left, singular, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    shares = singular**2 / (singular**2).sum()
    for k in range(steps):
        coordinates = {"metric_of": f"PC{k + 1}", "module": module, "setting": series}
        assert sink.value("explained_share", **coordinates).value == pytest.approx(
            shares[k], rel=1e-5
        )
        if k < 3:
            positions = [sink.value("position", model=name, **coordinates).value for name in names]
            expected = left[:, k] * singular[k] * (1 if left[-1, k] >= 0 else -1)
            assert positions == pytest.approx(expected, rel=1e-4, abs=1e-4 * singular[k])
    moves = np.diff(vectors, axis=0)
    lengths = np.linalg.norm(moves, axis=1)
    for i, name in enumerate(names[1:]):
        coordinates = {"model": name, "module": module}
        assert sink.value("move", **coordinates).value == pytest.approx(lengths[i], rel=1e-5)
        travelled = lengths[: i + 1].sum()
        assert sink.value("path_length", **coordinates).value == pytest.approx(travelled, rel=1e-5)
        straight = sink.value("straightness", **coordinates)
        apart = np.linalg.norm(vectors[i + 1] - vectors[0])
        assert straight.value == pytest.approx(apart / travelled, rel=1e-5)
        by_chance = np.sqrt((lengths[: i + 1] ** 2).sum()) / travelled
        assert straight.chance == pytest.approx(by_chance, rel=1e-5)
        assert straight.n == vectors.shape[1]
        if i < steps - 1:
            turn = sink.value("turning_cosine", **coordinates)
            cosine = moves[i] @ moves[i + 1] / (lengths[i] * lengths[i + 1])
            assert turn.value == pytest.approx(cosine, abs=1e-5)
            assert turn.chance == 0
            assert turn.chance_sd == pytest.approx(vectors.shape[1] ** -0.5)
    assert sink.rows("turning_cosine", model=names[-1]) == []


def test_chance_is_what_random_walks_have() -> None:
    draw = np.random.default_rng(0)
    sizes = np.array([3.0, 1.0, 1.0, 0.5, 0.5, 0.2])
    deviations = []
    for _ in range(20):
        moves = draw.standard_normal((len(sizes), 20_000)) * sizes[:, None] / np.sqrt(20_000)
        walk = np.vstack([np.zeros(20_000), moves.cumsum(axis=0)])
        gram = walk @ walk.T
        components, chance = paths.components(gram), paths.components(paths.walk(gram))
        assert components is not None
        assert chance is not None
        difference = components.shares - chance.shares
        straight = paths.straightness(gram) - paths.straightness_of_walk(gram)
        deviations.append(np.concatenate([difference, straight, paths.turns(gram)]))
    assert np.abs(deviations).max() < 0.03
    assert np.abs(np.mean(deviations, axis=0)).max() < 0.005


def test_a_straight_line_goes_on_and_a_return_turns_back() -> None:
    line = np.array([[0.0], [1.0], [3.0], [4.0], [3.0]])
    gram = line @ line.T
    assert paths.turns(gram) == pytest.approx([1, 1, -1])
    assert paths.straightness(gram) == pytest.approx([1, 1, 1, 3 / 5])
    components = paths.components(gram)
    assert components is not None
    assert components.shares == pytest.approx([1, 0, 0, 0], abs=1e-12)
    assert components.positions[:, 0] == pytest.approx((line - line.mean())[:, 0])
    assert paths.components(np.zeros((4, 4))) is None


def test_a_checkpoint_saved_twice_makes_no_move(study: Path) -> None:
    twice = study.parent / "dpo"
    for name in ("config.json", "model.safetensors"):
        (twice / "checkpoint-300" / name).write_bytes(
            (twice / "checkpoint-100" / name).read_bytes()
        )
    sink = run(study)
    assert sink.value("move", model="dpo@300", module="all").value == 0
    assert sink.value("turning_cosine", model="dpo@100", module="all").value is None
    assert sink.value("turning_cosine", model="dpo@20", module="all").value is not None


def test_a_series_that_never_moves_has_no_components(study: Path) -> None:
    for step in STEPS:
        write_model(study.parent / "dpo" / f"checkpoint-{step}", tiny_config(), tiny_tensors())
    sink = run(study)
    coordinates = {"module": "all", "setting": "dpo", "metric_of": "PC1"}
    assert sink.value("explained_share", **coordinates).value is None
    assert sink.rows("position", setting="dpo") == []
    assert sink.value("straightness", model="dpo@300", module="all").value is None


def test_a_further_checkpoint_costs_the_path_of_its_series_alone(study: Path) -> None:
    sink = run(study)
    before = {key for key, (unit, _) in sink.units.items() if unit.analysis == "trajectory"}
    assert len(before) == 2
    folder = study.parent / "sft" / "checkpoint-400"
    write_model(folder, tiny_config(), tuned_from(tiny_tensors(), 40))
    run(study, sink)
    after = {key: u for key, (u, _) in sink.units.items() if u.analysis == "trajectory"}
    assert [after[key].label for key in after.keys() - before] == ["path of sft"]


def test_the_spread_of_turns_counts_the_parameters_that_changed(study: Path) -> None:
    """As in the cosine of two vectors: unchanged parameters can't agree by chance."""
    base = tiny_tensors()
    queries = [name for name in base if "q_proj" in name]
    for i, step in enumerate(STEPS):
        tuned = tuned_from(base, i)
        write_model(
            study.parent / "dpo" / f"checkpoint-{step}", tiny_config(),
            {**base, **{name: tuned[name] for name in queries}},
        )  # fmt: skip
    sink = run(study)
    count = sum(base[name].numel() for name in queries)
    for module in ("attention", "all"):
        turn = sink.value("turning_cosine", model="dpo@20", module=module)
        assert turn.n == count
        assert turn.chance_sd == pytest.approx(count**-0.5)
    whole = sum(tensor.numel() for tensor in base.values())
    assert sink.value("move", model="dpo@20", module="all").n == whole


def test_two_checkpoints_make_no_path(study: Path) -> None:
    for step in (5, 20):
        folder = study.parent / "dpo" / f"checkpoint-{step}"
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    assert {row.setting for row in run(study).rows("explained_share")} == {"sft"}


def drawn(key: str, rows: list[Measurement], measure: str = "") -> Any:
    """A view of these rows, under the choice with which it opens."""
    models = ("base", "parent", *(f"sft@{s}" for s in STEPS[:3]), *(f"dpo@{s}" for s in STEPS))
    ranges = {
        "model": models, "setting": ("dpo", "sft"), "metric_of": ("PC1", "PC2", "PC3", "PC4"),
        "module": MODULES, "metric": tuple({row.metric: 0 for row in rows}),
    }  # fmt: skip
    catalogue = Catalogue(ranges=ranges, combinations=combinations(rows), models=models)
    view = next(view for view in ANALYSIS.views if view.key == key)
    choice = default_choice(view, catalogue)
    choice = replace(choice, measure=measure or choice.measure)
    asked = query(view, choice, catalogue)
    chosen = [row for row in rows if matches(asked, row)]
    made = figure(view, choice, chosen, catalogue, ANALYSIS.metric(choice.measure))
    return made, view.finding(made)


def test_a_path_is_told_from_its_start_wherever_the_study_names_it() -> None:
    steady = {"sft@5": 1.0, "sft@20": 2.0, "sft@100": 3.0, "parent": 0.0}
    points = tuple(Point(n, n, Cell(x, x), Cell(0.0, 0.0)) for n, x in steady.items())
    figure = Scatter(
        title="", measure="position", unit="", across="component", x_name="PC1", y_name="PC2",
        point_name="model", points=points, chosen={"setting": "sft"},
    )  # fmt: skip
    assert of_path(figure) == "sft goes 3 along PC1 in 3 moves, none backwards."


def test_figures_say_how_the_path_goes(study: Path) -> None:
    sink = run(study)
    rows = [r for unit, result in sink.units.values() if unit.analysis == "trajectory"
            for r in result.measurements]  # fmt: skip
    path, finding = drawn("path", rows)
    assert isinstance(path, Scatter)
    assert [p.name for p in path.points] == ["base", *(f"dpo@{s}" for s in STEPS)]
    assert (path.x_name, path.y_name) == ("PC1", "PC2")
    first, last = (path.points[i].x.value for i in (0, -1))
    assert first is not None
    assert last is not None
    assert finding.startswith(f"dpo goes {last - first:.3g} along PC1 in 4 moves, ")

    shares, finding = drawn("shares", rows)
    assert isinstance(shares, Lines)
    coordinates = {"metric_of": "PC1", "module": "all", "setting": "dpo"}
    share = sink.value("explained_share", **coordinates)
    assert f"dpo has {share.value:.0%} of its variance along PC1, a random walk" in finding
    assert f"{share.chance:.0%}" in finding
    lines = [(line.name, line.companion) for line in shares.panels[0].series]
    assert lines[:2] == [("dpo", False), ("dpo random walk", True)]

    turns, finding = drawn("turns", rows)
    least = min(sink.rows("turning_cosine", module="all"), key=lambda row: row.value or 0.0)
    assert f"a cosine of {least.value:+.2f}" in finding
    assert {line.name for line in turns.panels[0].series if not line.companion} == {"sft", "dpo"}
    _, finding = drawn("turns", rows, "straightness")
    end = sink.value("straightness", model="dpo@300", module="all")
    assert f"dpo has a straightness of {end.value:.2f} in the end, a random walk" in finding
    assert f"a random walk {end.chance:.2f}" in finding
