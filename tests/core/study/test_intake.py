"""How a study comes in: which paths are meant, and what a mistake in its file is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import StudyError
from core.study import intake
from core.study.study import Study
from core.vectors import arithmetic

WHOLE = """
name = "domains"
[models]
base = "org/base"
[models.tuned]
instruct = "org/instruct"
medical = { path = "models/medical", revision = "main", parent = "instruct" }
retrained = { path = "models/control", role = "control" }
[probe]
file = "abstracts.jsonl"
[evaluation]
include = "tasks"
limit = 200
reference = { }
[evaluation.tasks]
medical = ["medqa_4options", "pubmedqa"]
[analyses.alignment]
energy = 0.8
[analyses.arithmetic]
vectors = ["medical", "maths"]
[run]
max_memory = { "0" = "60GiB", cpu = "100GiB" }
"""


def _read(folder: Path, text: str) -> Study:
    file = folder / "study.toml"
    file.write_text(text)
    return intake.read(file)


@pytest.mark.parametrize("path", ["x" * 5000, "/x/" + "y" * 300, "~nobody-here/x"])
def test_a_path_that_no_file_system_knows_is_kept(tmp_path: Path, path: str) -> None:
    study = _read(tmp_path, WHOLE.replace("org/base", path))
    assert study.models.base.path.endswith(path)


def test_a_whole_study(tmp_path: Path) -> None:
    (tmp_path / "models" / "medical").mkdir(parents=True)
    study = _read(tmp_path, WHOLE)
    assert study.models.base.path == "org/base"
    assert study.models.tuned["medical"].path == str(tmp_path / "models" / "medical")
    assert study.models.tuned["medical"].parent == "instruct"
    assert study.probe is not None
    assert study.probe.file == str(tmp_path / "abstracts.jsonl")
    assert study.parameters("alignment").model_dump()["energy"] == 0.8
    assert list(study.probe_sets()) == ["probe"]


def test_probe_sets_are_those_of_both_sections_in_order(tmp_path: Path) -> None:
    more = '[probes.z]\nfile = "texts.txt"\n[probes.a]\nbuiltin = "code"\n[run]'
    study = _read(tmp_path, WHOLE.replace("[run]", more))
    assert list(study.probe_sets()) == ["probe", "z", "a"]
    assert study.probe_sets()["z"].file == str(tmp_path / "texts.txt")
    assert study.first_probe() == study.probe
    assert study.key(["activation"]) != _read(tmp_path, WHOLE).key(["activation"])
    content = _read(tmp_path, WHOLE).model_dump(mode="json", exclude={"probes"})
    assert "probes" not in content, "studies without [probes] keep their keys"


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("models", "tokenizer"), '[models]\ntokenizer = "{}"'),
        (("probe", "file"), '[probe]\nfile = "{}"'),
        (("evaluation", "include"), '[evaluation]\ninclude = "{}"'),
        (("run", "offload_folder"), '[run]\noffload_folder = "{}"'),
    ],
)
def test_paths_are_the_files_own_and_a_home_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: tuple[str, str], line: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    section = line.split("\n")[0]
    for typed, meant in (("./there", "there"), ("~/there", "home/there")):
        part, name = key
        lines = [each for each in WHOLE.splitlines() if not each.startswith(f"{name} =")]
        text = "\n".join(lines).replace(section, line.format(typed), 1)
        assert getattr(getattr(_read(tmp_path, text), part), name) == str(tmp_path / meant)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('base = "org/base"', 'basis = "org/base"', "models.basis'. Did you mean 'base'"),
        ("[probe]", "[prob]", "'prob'. Did you mean 'probe'"),
        ("limit = 200", "limits = 200", "evaluation.limits'. Did you mean 'limit'"),
        ("limit = 200", 'limit = "many"', "evaluation.limit"),
        ("energy = 0.8", "energi = 0.8", "analyses.alignment.energi'. Did you mean 'energy'"),
        ("energy = 0.8", "energy = 2.0", "analyses.alignment.energy"),
        ("[analyses.alignment]", "[analyses.alignmet]", "Did you mean 'alignment'"),
        ('parent = "instruct"', 'parent = "instrct"', "Did you mean 'instruct'"),
        ('parent = "instruct"', 'parnt = "instruct"', "parnt'. Did you mean 'parent'"),
        ('instruct = "org/instruct"', '"in/struct" = "org/instruct"', "in/struct"),
        ('instruct = "org/instruct"', 'base = "org/instruct"', "reserved"),
        ('role = "control"', 'role = "contrl"', "role"),
        ("[run]", '[run]\ndevice = "gpu"', "run.device"),
        ('name = "domains"', "", "name"),
        ("[models]", "[models", "not valid TOML"),
        ('file = "abstracts.jsonl"', "documents = 5", "one of 'file'"),
        (
            'file = "abstracts.jsonl"',
            'file = "abstracts.jsonl"\nbuiltin = "medical"',
            "probe: has 'file' and 'builtin', but may have only one of them",
        ),
        (
            "[evaluation]",
            '[probes.a]\nfil = "x"\n[evaluation]',
            "probes.a.fil'. Did you mean 'file'",
        ),
        ("[evaluation]", "[probes.a]\ndocuments = 5\n[evaluation]", "probes.a: needs one of"),
        ("[evaluation]", '[probes."a b"]\nbuiltin = "code"\n[evaluation]', "can't be called 'a b'"),
        (
            "[evaluation]",
            '[probes.probe]\nbuiltin = "code"\n[evaluation]',
            "probes.probe: [probe] is",
        ),
        (
            "reference = { }",
            'reference = { medicl = "medical" }',
            "reference: 'medicl' is not a domain of evaluation.tasks. Did you mean 'medical'",
        ),
        (
            "reference = { }",
            'reference = { medical = "instrct" }',
            "'instrct' is not a tuned model of this study. Did you mean 'instruct'",
        ),
        ("reference = { }", 'reference = { medical = "base" }', "'base' is not a tuned model"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in WHOLE
    with pytest.raises(StudyError) as error:
        _read(tmp_path, WHOLE.replace(old, new, 1))
    assert "study.toml" in error.value.title
    assert words in error.value.title


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('points = ["one=1", 3]', "analyses.arithmetic.points[1]: must be a string, not 3"),
        ('coefficients = [0.5, "x"]', "analyses.arithmetic.coefficients[1]: must be a number"),
        ('restrict = ["mlp", "x"]', "restrict[1]: 'x' is not a group or a layer"),
    ],
)
def test_an_item_of_a_list_is_named(given: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    models = 'name = "x"\n[models]\nbase = "a/b"\n[models.tuned]\none = "a/one"\n3 = "a/three"\n'
    file.write_text(f"{models}[analyses.arithmetic]\n{given}\n")
    with pytest.raises(StudyError) as raised:
        intake.read(file)
    assert message in raised.value.title
    with pytest.raises(StudyError, match=r"points\[2\]: 'nonsense'"):
        arithmetic.grid(("one",), (), ["one=1", "one=0.5", "nonsense"], known=("one",))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study file .*nowhere.toml"):
        intake.read(tmp_path / "nowhere.toml")


def test_all_that_is_wrong_stands_at_its_key_at_once() -> None:
    faults = intake.faults(
        {
            "name": "",
            "models": {
                "base": "b",
                "tuned": {"one": "1", "two": {"path": "2", "parent": "nobody"}},
            },
            "probe": {"file": "x", "documents": 0},
            "analyses": {"alignment": {"energy": 2.0}},
        }
    )
    assert faults.keys() == {"name", "models", "probe.documents", "analyses.alignment.energy"}
    assert "parent 'nobody'" in faults["models"]


def test_bare_models_are_named_after_their_paths(tmp_path: Path) -> None:
    hostile = "a/\x1b[31m[bold]evil"
    study = intake.of_models("org/base", ["org/one", "elsewhere/one", hostile, "x/base"])
    assert list(study.models.tuned) == ["one", "one-2", "31m-bold-evil", "base-tuned"]
    assert study.name == "one, one-2 and 2 more"
    for tuned, name in ((["a/x"], "x"), (["x", "y"], "x and y"), ("xyz", "x, y and z")):
        assert intake.of_models("org/base", tuned).name == name
    with pytest.raises(StudyError):
        intake.of_models("org/base", [])
