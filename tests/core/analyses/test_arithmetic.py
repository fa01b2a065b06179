"""Points of task arithmetic against the models themselves, and shares against plain fractions."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.engine import registry, runner
from core.engine.measurement import KEY_COLUMNS, Measurement
from core.errors import Cancelled, StudyError
from core.evaluation.evaluator import Evaluator
from core.evaluation.tasks import open_tasks
from core.figures.choices import default_choice, present
from core.figures.layout import figure, no_arrays
from core.figures.passages import Passages
from core.figures.score_findings import mark_best, of_grid
from core.figures.score_tables import pair_grid, points
from core.figures.views import Catalogue, Combination, Tabulation
from core.study.study import Study
from core.vectors import sweep as sweeps
from core.vectors.arithmetic import parse
from core.vectors.sweep import hash_parameters
from tests.conftest import MemorySink
from tests.core import harness_zoo, zoo

BOTH = ["evaluation", "arithmetic"]
LOWER = {"brier_score", "bits_per_byte", "word_perplexity", "perplexity"}
DOMAINS = {"medical": ["tiny_choice", "tiny_generation"], "maths": ["tiny_last_word"]}
Folders = dict[str, Path]


def _study(folders: Folders, tasks: Path, *names: str, **more: Any) -> Study:
    tuned = {n: folders[n] for n in names or ("medical", "maths", "copy")}
    given = {"coefficients": [], "negation": [], "removal": [], **more.pop("arithmetic", {})}
    more.setdefault("domains", {"medical": ["tiny_choice"]})
    return harness_zoo.study_of(
        folders["base"], tuned, tasks, analyses={"arithmetic": given}, **more
    )


class Hashed(sweeps.Sweep):
    """A sweep that keeps the hash of the base's weights before it and after."""

    seen: list[tuple[str, str]]

    def __init__(self, model: Any, vectors: Any, pieces: Any, *, near: bool) -> None:
        super().__init__(model, vectors, pieces, near=near)
        self.model, self.before = model, hash_parameters(model)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.seen.append((self.before, hash_parameters(self.model)))


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    Hashed.seen = []
    monkeypatch.setattr(sweeps, "Sweep", Hashed)
    return Hashed.seen


@pytest.fixture(scope="module")
def sink(family_folders: Folders, task_folder: Path) -> MemorySink:
    """A grid of two vectors, with what else can be asked for."""
    results = MemorySink()
    points = ["medical=0.5,maths=0.5,copy=1", "transfer:maths+medical=1"]
    given = {
        "vectors": ["medical", "maths"], "coefficients": [0.0, 0.5, 1.0], "negation": [1.0],
        "removal": [0.5, 1.0], "points": points, "restrict": ["attention"],
    }  # fmt: skip
    domains = {**DOMAINS, "general": ["tiny_text"]}
    runner.run(
        _study(family_folders, task_folder, domains=domains, arithmetic=given, limit=6),
        results,
        BOTH,
    )
    return results


def _made(sink: MemorySink, setting: str, module: str = "") -> dict[tuple[str, str], Any]:
    """The harness's scores of a point by task and metric."""
    ours = {"normalised", "regained", "rounding_loss"}
    return {
        (row.task, row.metric): row.value
        for unit, result in sink.units.values() if unit.analysis == "arithmetic"
        for row in result.measurements
        if row.metric not in ours and (row.setting, row.module) == (setting, module)
    }  # fmt: skip


def _own(sink: MemorySink, model: str) -> dict[tuple[str, str], Any]:
    """The scores of a model itself."""
    return {
        (row.task, row.metric): row.value
        for unit, result in sink.units.values() if unit.analysis == "evaluation"
        for row in result.measurements
        if row.model == model and not row.reference and not row.metric_of
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "model"),
    [
        ("base", "base"), ("removal:medical=1", "base"), ("removal:maths=1", "base"),
        ("medical=1", "medical"), ("maths=1", "maths"),
    ],
)  # fmt: skip
def test_points_that_are_models_score_as_those_do(
    sink: MemorySink, setting: str, model: str
) -> None:
    """To the last bit: it is the self-test of the whole chain."""
    scores = _made(sink, setting)
    assert len(scores) == 11
    assert scores == _own(sink, model)
    assert scores != _own(sink, "medical" if model == "base" else "base")


def test_the_points_are_those_that_were_asked_for(sink: MemorySink) -> None:
    settings = {row.setting for row in sink.rows("rounding_loss", module="")}
    assert settings == {
        "base", "medical=0.5", "medical=1", "maths=0.5", "maths=1", "medical=0.5,maths=0.5",
        "medical=0.5,maths=1", "medical=1,maths=0.5", "medical=1,maths=1", "medical=-1",
        "maths=-1", "removal:medical=0.5", "removal:medical=1", "removal:maths=0.5",
        "removal:maths=1", "medical=0.5,maths=0.5,copy=1", "transfer:maths+medical=1",
    }  # fmt: skip
    restricted = {row.setting for row in sink.rows("rounding_loss", module="attention")}
    assert restricted == settings - {"base"}
    for row in sink.rows("rounding_loss"):
        start = {"removal": row.setting[8:].split("=")[0], "transfer": "maths"}
        assert row.reference == start.get(row.setting.partition(":")[0], "base")
        nothing = row.setting in ("base", "removal:medical=1", "removal:maths=1")
        assert (row.value is None) == nothing
        assert row.value is None or row.value < 1e-6


def test_rows_have_places_of_their_own_and_declared_metrics(sink: MemorySink) -> None:
    results = [r for u, r in sink.units.values() if u.analysis == "arithmetic"]
    rows = [row for result in results for row in result.measurements]
    places = [tuple(getattr(row, c) for c in KEY_COLUMNS[1:]) for row in rows]
    assert len(places) == len(set(places))
    declared = {metric.name for metric in registry.get("arithmetic").metrics}
    assert {row.metric for row in rows} - declared == {m for _, m in _own(sink, "base")}
    assert declared <= {row.metric for row in rows}


def test_shares_are_fractions_of_the_domain_s_own_model(sink: MemorySink) -> None:
    base, checked = _own(sink, "base"), set()
    for row in [r for name in ("normalised", "regained") for r in sink.rows(name)]:
        if row.task.startswith("domain:"):
            continue
        made = _made(sink, row.setting, row.module)[row.task, row.metric_of]
        domain = next(d for d, tasks in DOMAINS.items() if row.task in tasks)
        tuned = _own(sink, domain)[row.task, row.metric_of]
        above, below = (tuned, made) if row.metric_of in LOWER else (made, tuned)
        if row.metric == "regained":
            start = base[row.task, row.metric_of]
            above, below = made - start, tuned - start
        assert row.value == (pytest.approx(above / below, rel=1e-9) if below else None)
        if row.low is not None:
            assert row.high is not None
            assert row.low <= row.high
        checked.add((row.metric, row.metric_of))
    assert {m for _, m in checked} == {m for task, m in base if task != "tiny_text"}
    coordinates = {"setting": "maths=1", "task": "tiny_last_word", "metric_of": "perplexity"}
    whole = sink.value("normalised", module="", **coordinates)
    assert (whole.value, whole.low, whole.high) == (1, None, None), "few items, all alike"


def test_a_domain_s_share_is_the_mean_over_its_tasks(sink: MemorySink) -> None:
    first = {"tiny_choice": "acc", "tiny_generation": "exact_match:whole"}
    for row in sink.rows("regained", task="domain:medical"):
        coordinates = {"setting": row.setting, "module": row.module, "reference": row.reference}
        shares = [
            sink.value("regained", task=task, metric_of=metric, **coordinates).value
            for task, metric in first.items()
        ]
        known = [value for value in shares if value is not None]
        assert row.n == 2
        assert row.value == (
            pytest.approx(sum(known) / 2) if len(known) == 2 else None
        )  # fmt: skip
    assert not sink.rows("normalised", task="tiny_text"), "no domain's own model"
    assert not sink.rows("normalised", task="domain:general")


def test_a_task_of_two_domains_is_held_against_the_own_model_of_each(
    family_folders: Folders, task_folder: Path
) -> None:
    sink = MemorySink()
    shared = {"medical": ["tiny_last_word"], "maths": ["tiny_last_word"], "g": ["tiny_choice"]}
    asked = _study(
        family_folders, task_folder, "medical", "maths", domains=shared,
        arithmetic={"points": ["medical=1", "maths=1"]},
    )  # fmt: skip
    runner.run(asked, sink, BOTH)
    scores = {name: _own(sink, name) for name in ("base", "medical", "maths")}
    metric = "perplexity"
    by_model = {
        name: model_scores["tiny_last_word", metric] for name, model_scores in scores.items()
    }
    assert len(set(by_model.values())) == 3
    for domain in ("medical", "maths"):
        for point in ("base", "medical", "maths"):
            setting = point if point == "base" else f"{point}=1"
            coordinates = {"setting": setting, "reference": "base"}
            alone = {**coordinates, "task": f"tiny_last_word@{domain}", "metric_of": metric}
            normalised, back = (sink.value(name, **alone) for name in ("normalised", "regained"))
            assert normalised.value == pytest.approx(by_model[domain] / by_model[point])
            share = (by_model[point] - by_model["base"]) / (by_model[domain] - by_model["base"])
            assert back.value == pytest.approx(share, abs=1e-9)
            mean = sink.value("normalised", task=f"domain:{domain}", **coordinates)
            assert (mean.value, mean.n) == (normalised.value, 1)
    rows = [r for u, result in sink.units.values() if u.analysis == "arithmetic"
            for r in result.measurements]  # fmt: skip
    places = [tuple(getattr(row, c) for c in KEY_COLUMNS[1:]) for row in rows]
    assert len(places) == len(set(places))
    view = next(v for v in registry.get("arithmetic").views if v.key == "table")
    catalogue = Catalogue(ranges={"setting": ("base", "medical=1", "maths=1")})
    choice = default_choice(view, catalogue)
    table = points(Tabulation(choice=choice, catalogue=catalogue, rows=tuple(rows),
                              arrays=no_arrays))  # fmt: skip
    lines = [row for row in table.rows if row[3] == metric]
    assert {(row[0], row[2]): row[7] for row in lines} == {
        (s, f"tiny_last_word@{d}"): pytest.approx(by_model[d] / by_model[s.removesuffix("=1")])
        for s in ("base", "medical=1", "maths=1") for d in ("medical", "maths")
    }  # fmt: skip


def test_a_restricted_point_has_the_vectors_of_those_parts_alone(
    sink: MemorySink, family_folders: Folders, task_folder: Path
) -> None:
    from transformers import PreTrainedTokenizerFast

    from core.demo import checkpoints

    model = checkpoints.read(family_folders["base"]).eval()
    theirs = load_file(family_folders["medical"] / checkpoints.WEIGHTS)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "self_attn" in name:
                parameter.copy_(theirs[name])
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(family_folders["base"]))
    evaluator = Evaluator(model, tokenizer)
    evaluation = harness_zoo.evaluation(task_folder, "tiny_last_word", limit=6)
    (task,) = open_tasks(evaluation, seed=5)
    scores = _made(sink, "medical=1", "attention")
    for score in evaluator.evaluate(task):
        assert scores[task.name, score.metric] == score.value
    assert scores != _made(sink, "medical=1")


def test_a_single_point_may_name_its_part(
    sink: MemorySink, family_folders: Folders, task_folder: Path
) -> None:
    """As the study's `restrict` computes it, with the same key, for this point alone."""
    from core.engine.subject import open_subject

    points = ["medical=1@attention", "maths=1", "medical=1 @ attention"]
    asked = _study(
        family_folders, task_folder, domains={**DOMAINS, "general": ["tiny_text"]}, limit=6,
        arithmetic={"vectors": ["medical"], "coefficients": [1.0], "points": points},
    )  # fmt: skip
    units = runner.planned_units(open_subject(asked, ["tasks"]), ["arithmetic"])
    (restricted,) = [
        u for u in units if u.analysis == "arithmetic" and u.loads and u.options["restriction"]
    ]
    assert (restricted.setting, restricted.options["restriction"]) == ("medical=1", "attention")
    assert restricted.key in sink.units


def test_a_sweep_that_is_cancelled_goes_on_with_the_next_point(
    family_folders: Folders, task_folder: Path, hashes: list[tuple[str, str]]
) -> None:
    asked = _study(
        family_folders, task_folder, "medical",
        arithmetic={"vectors": ["medical"], "coefficients": [0.25, 0.5, 1.0]},
    )  # fmt: skip
    broken, unbroken = MemorySink(stop_after=4), MemorySink()
    with pytest.raises(Cancelled):
        runner.run(asked, broken, BOTH)
    before = [broken.units[key][0].setting for key in broken.saved if broken.units[key][0].setting]
    assert 0 < len(before) < 4
    broken.stop_after = None
    runner.run(asked, broken, BOTH)
    runner.run(asked, unbroken, BOTH)
    assert len(broken.saved) == len(set(broken.saved)) == len(unbroken.saved) == 3 + 2 * 4
    assert {k: r.measurements for k, (_, r) in broken.units.items()} == {
        k: r.measurements for k, (_, r) in unbroken.units.items()
    }
    assert len(hashes) == 3
    assert len({digest for pair in hashes for digest in pair}) == 1, "the base, whatever happened"


def test_each_domain_s_model_alone_and_in_pairs_by_default(
    family_folders: Folders, task_folder: Path
) -> None:
    from core.analyses.arithmetic import points_of
    from core.engine.subject import open_subject

    asked = harness_zoo.study_of(
        family_folders["base"],
        {n: family_folders[n] for n in ("medical", "maths", "copy")},
        task_folder,
        domains={"medical": ["tiny_choice"], "sums": ["tiny_last_word"], "g": ["tiny_text"]},
        reference={"sums": "maths"},
    )
    parameters: Any = asked.parameters("arithmetic")
    settings = [p.setting for p in points_of(open_subject(asked, ["tasks"]), parameters)]
    assert settings[0] == "base"
    assert len(settings) == len(set(settings)) == 1 + 2 * 2 + 4 + 2 * 2
    assert {"medical=1,maths=0.5", "removal:maths=1", "medical=-1"} <= set(settings)
    assert not [name for name in settings if "copy" in name]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"vectors": ["medicl"], "coefficients": [1.0]},
            "'medicl' is not a tuned model of this study. Did you mean",
        ),
        ({"points": ["mats=1"]}, "'mats' is not a tuned model of this study. Did you mean 'maths'"),
        ({"points": ["medical"]}, "'medical' is not written as name=number"),
        ({"vectors": ["medical", "maths", "copy"]}, "at most two vectors"),
        ({"restrict": ["0-7"]}, "names layer 7"),
        ({"points": ["medical=1@heads"]}, "'heads' is not a group or a layer"),
        ({"points": ["medical=1@"]}, "names no layers or groups after @"),
    ],
)
def test_points_that_can_not_be_are_one_clear_error(
    family_folders: Folders, task_folder: Path, given: dict[str, Any], words: str
) -> None:
    asked = _study(family_folders, task_folder, arithmetic={"points": ["medical=1"], **given})
    sink = MemorySink()
    with pytest.raises(StudyError) as raised:
        runner.run(asked, sink, BOTH)
    assert words in f"{raised.value.title} {raised.value.hint}"
    assert not sink.saved, "nobody waits for it"


@pytest.fixture(scope="module")
def adapter(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of random weights over the base."""
    import peft
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter") / "lora"
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        config = peft.LoraConfig(
            r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM",
            init_lora_weights=False,
        )  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(str(model_folder))
        peft.get_peft_model(model, config).save_pretrained(str(folder))
    return folder


def test_an_adapter_is_a_vector_like_any_other(
    family_folders: Folders, task_folder: Path, adapter: Path, hashes: list[tuple[str, str]]
) -> None:
    sink, folders = MemorySink(), {**family_folders, "lora": adapter}
    asked = _study(
        folders, task_folder, "lora", "medical", domains={"lora": ["tiny_last_word"]},
        arithmetic={"points": ["lora=1", "removal:lora=1", "lora=0.5,medical=0.5"]},
    )  # fmt: skip
    runner.run(asked, sink, BOTH)
    assert _made(sink, "removal:lora=1") == _own(sink, "base")
    for place, value in _own(sink, "lora").items():  # there the adapter is not merged
        assert _made(sink, "lora=1")[place] == pytest.approx(value, rel=1e-5)
    assert _made(sink, "lora=1") != _own(sink, "base")
    assert len(set(hashes[0])) == 1


def test_an_adapter_may_be_the_base(
    family_folders: Folders, task_folder: Path, adapter: Path, hashes: list[tuple[str, str]]
) -> None:
    sink, folders = MemorySink(), {**family_folders, "base": adapter}
    asked = _study(
        folders, task_folder, "medical", domains={"medical": ["tiny_last_word"]},
        arithmetic={"points": ["medical=1", "removal:medical=1"]},
    )  # fmt: skip
    models = asked.models.model_copy(update={"tokenizer": str(family_folders["base"])})
    runner.run(asked.model_copy(update={"models": models}), sink, BOTH)
    assert _made(sink, "medical=1") == _own(sink, "medical")
    assert _made(sink, "removal:medical=1") == _own(sink, "base")
    assert len(set(hashes[0])) == 1


@pytest.mark.parametrize("name", ["gpt_neox", "phi3", "mixtral", "gemma2"])
def test_architectures_that_store_tensors_their_own_way(
    name: str, task_folder: Path, tmp_path: Path
) -> None:
    """Fused, interleaved by head, stacked experts, and tied embeddings."""
    zoo.build(name, tmp_path)
    for folder in ("base", "tuned0"):
        zoo.write_tokenizer(tmp_path / folder)
    sink = MemorySink()
    folders = {"base": tmp_path / "base", "medical": tmp_path / "tuned0"}
    asked = _study(
        folders, task_folder, "medical", domains={"medical": ["tiny_last_word"]}, limit=4,
        arithmetic={"points": ["medical=1", "removal:medical=1"], "restrict": ["mlp"]},
    )  # fmt: skip
    runner.run(asked, sink, BOTH)
    assert _made(sink, "medical=1") == _own(sink, "medical")
    assert _made(sink, "removal:medical=1") == _made(sink, "base") == _own(sink, "base")
    assert _made(sink, "medical=1", "mlp") not in (_own(sink, "base"), _own(sink, "medical"))


# --- the heat map of coefficients ---------------------------------------------------------------


def _catalogue(*settings: str, task: str = "t") -> Catalogue:
    combinations = [
        Combination(metric="normalised", reference="base", task=task, setting=s, metric_of="acc")
        for s in settings
    ]
    return Catalogue(
        ranges={
            "reference": ("base",),
            "task": (task,),
            "setting": settings,
            "metric_of": ("acc",),
            "metric": ("normalised",),
        },
        combinations=frozenset(combinations),
    )


def _rows(values: dict[str, float | None]) -> Sequence[Measurement]:
    return [
        Measurement(metric="normalised", value=v, reference="base", task="t", setting=s,
                    metric_of="acc")
        for s, v in values.items()
    ]  # fmt: skip


def test_coefficients_of_the_pair_with_most_points_are_the_axes() -> None:
    values: dict[str, float | None] = {
        "base": 0.5, "a=1": 0.6, "b=0.5": 0.7, "b=-1": 0.1, "c=1": 0.2, "b=0.5,c=1": 0.9,
        "a=1,b=0.5": 2.0, "b=1,c=0.5": None, "a=1,b=1,c=1": 9.0, "ties(density=0.2):b=1,c=1": 9.0,
        "removal:c=1": 9.0,
    }  # fmt: skip
    catalogue = _catalogue(*values)
    view = next(v for v in registry.get("arithmetic").views if v.key == "grid")
    assert view in present(registry.get("arithmetic").views, catalogue)
    spec = registry.get("arithmetic").metric("normalised")
    grid: Any = figure(
        view, default_choice(view, catalogue), _rows(values), catalogue, spec
    )  # fmt: skip
    assert (grid.row_name, grid.column_name) == ("b", "c")
    assert (grid.rows, grid.columns) == (("-1", "0", "0.5", "1"), ("0", "0.5", "1"))
    cells = {
        (r, c): cell.value
        for r, row in zip(grid.rows, grid.cells, strict=True)
        for c, cell in zip(grid.columns, row, strict=True)
        if cell is not None
    }
    assert cells == {
        ("0", "0"): 0.5, ("0.5", "0"): 0.7, ("-1", "0"): 0.1, ("0", "1"): 0.2, ("0.5", "1"): 0.9,
        ("1", "0.5"): None,
    }  # fmt: skip
    assert grid.mark_name == "best"
    assert [c.value for row in grid.cells for c in row if c is not None and c.mark] == [0.9]
    assert of_grid(grid) == "t, acc: best with b 0.5 and c 1 (0.90 of the domain's own model)."
    ties = {"base": 0.3, "b=1": 1.0, "c=1": 0.4, "b=1,c=0.5": 1.0}
    catalogue = _catalogue(*ties)
    grid = figure(view, default_choice(view, catalogue), _rows(ties), catalogue, spec)  # type: ignore[arg-type]
    assert "b 1 and c 0.5" in of_grid(grid), "a sum that does as well says more"
    empty = mark_best(figure(view, default_choice(view, catalogue), [], catalogue, spec))  # type: ignore[arg-type]
    assert of_grid(empty) == ""


@pytest.mark.parametrize(
    ("low", "high", "gap"),
    [(0.9, 1.1, "interval includes 1"), (0.5, 0.9, "interval excludes 1"), (None, None, None)],
)
def test_the_table_of_points_says_where_base_and_own_model_are_alike(
    low: float | None, high: float | None, gap: str | None
) -> None:
    catalogue = _catalogue("base", "a=1")
    view = next(v for v in registry.get("arithmetic").views if v.key == "table")
    coordinates: dict[str, Any] = {"reference": "base", "task": "t"}
    rows = [Measurement(metric="acc", value=0.5, setting=s, **coordinates) for s in ("base", "a=1")]
    coordinates |= {"metric": "normalised", "metric_of": "acc"}
    rows.append(Measurement(value=0.9, low=low, high=high, setting="base", **coordinates))
    rows.append(Measurement(value=1.0, low=0.9, high=1.2, setting="a=1", **coordinates))
    choice = default_choice(view, catalogue)
    table = points(
        Tabulation(choice=choice, catalogue=catalogue, rows=tuple(rows), arrays=no_arrays)
    )
    column = [c.name for c in table.columns].index("gap")
    assert [row[column] for row in table.rows] == [gap, gap], "of the base and of its points"


def test_without_a_pair_there_is_no_grid() -> None:
    catalogue = _catalogue("base", "a=1", "b=1", "a=1,b=1,c=1")
    assert "grid" not in {v.key for v in present(registry.get("arithmetic").views, catalogue)}
    assert pair_grid(_catalogue("a=1,b=1", "b=1,c=1")).names == ("a", "b"), "the first of equals"


@pytest.mark.parametrize("setting", ["medical=0.5,maths=1", "removal:medical=0.5"])
def test_behind_a_point_are_its_scores_and_the_command_that_writes_it(
    sink: MemorySink, setting: str
) -> None:
    rows = [row for unit, result in sink.units.values() if unit.analysis == "arithmetic"
            for row in result.measurements]  # fmt: skip
    view = next(v for v in registry.get("arithmetic").views if v.key == "point")
    catalogue = Catalogue(ranges={"setting": (setting,)})
    choice = default_choice(view, catalogue)
    made = view.tabulate
    assert made is not None
    chosen = tuple(row for row in rows if row.setting == setting)
    figure = made(Tabulation(choice=choice, catalogue=catalogue, rows=chosen, arrays=no_arrays))
    assert isinstance(figure, Passages)
    *scores, commands = figure.blocks
    point_scores = _made(sink, setting)
    lines = {(p.label.partition("@")[0], *p.text.split(" (")[0].split(" "))
             for p in scores[0].passages}  # fmt: skip
    assert lines == {(*key, f"{value:.4g}") for key, value in point_scores.items()}
    whole, restricted = (shlex.split(each.text) for each in commands.passages)
    assert whole[whole.index("--coefficients") + 1] == setting
    assert "--restrict" not in whole
    assert restricted[restricted.index("--restrict") + 1] == "attention"
    assert str(parse(setting, ("medical", "maths", "copy")).setting) == setting
