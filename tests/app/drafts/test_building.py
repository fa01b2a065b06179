"""A draft and its study file: what is written reads back as the very study that was meant."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.drafts import building, fields, studyfile, toml
from app.drafts.building import DOMAINS, TUNED, Draft
from core.engine import registry
from core.errors import StudyError
from core.study import intake
from core.study.models import NAME

# Anything that a file system or a person may call a thing, but for NUL and halves of characters.
WORDS = st.text(
    st.one_of(
        st.sampled_from("\"'\\#[]{}=,\n\r\t\x7f\x1b\x85\u2028\u202e\ufeff.-_ /~𝄞é"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=30,
).filter(str.strip)
NAMES = st.from_regex(NAME, fullmatch=True).filter(lambda n: n != "base" and len(n) < 30)
COUNTS = st.integers(1, 10**6)
SHARES = st.floats(0.001, 1, exclude_max=True)
LISTED = st.lists(WORDS, min_size=1, max_size=3)
RAW: dict[str, st.SearchStrategy[Any]] = {
    "models.tokenizer": WORDS,
    "models.trust_remote_code": st.booleans(),
    "probe.documents": COUNTS,
    "probe.max_tokens": COUNTS,
    "probe.token": st.sampled_from(["mean", "last"]),
    "evaluation.include": WORDS,
    "evaluation.limit": COUNTS,
    "evaluation.fewshot": COUNTS,
    "evaluation.chat_template": st.booleans(),
    "evaluation.trust_task_code": st.booleans(),
    "run.device": st.sampled_from(["auto", "cpu", "cuda:3"]),
    "run.dtype": st.sampled_from(["auto", "bfloat16"]),
    "run.max_memory": st.dictionaries(
        st.sampled_from(["0", "1", "cpu"]), COUNTS.map("{}GiB".format), min_size=1
    ),
    "run.offload_folder": WORDS,
    "run.batch_size": st.one_of(st.just("auto"), COUNTS),
    "run.attention": WORDS,
    "run.seed": st.integers(0, 2**32 - 1),
    "analyses.tuning_vectors.ranks": st.booleans(),
    "analyses.alignment.energy": SHARES,
    "analyses.alignment.rank": COUNTS,
    "analyses.activation.criteria": st.sampled_from([["gate"], ["gate", "magnitude"]]),
    "analyses.arithmetic.vectors": st.lists(NAMES, max_size=2),
    "analyses.arithmetic.coefficients": st.lists(SHARES, min_size=1, max_size=4),
    "analyses.arithmetic.points": LISTED,
}


def as_typed(value: Any) -> str:
    """A value as one would type it; lists and mappings as in TOML, which holds any text."""
    if isinstance(value, list | dict):
        return toml.value(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


@st.composite
def drafts(draw: st.DrawFn) -> tuple[Draft, dict[str, Any]]:
    """A draft, and what its study holds: made of the same values, but not of each other."""
    held: dict[str, Any] = {"name": draw(WORDS), "models": {"base": draw(WORDS), "tuned": {}}}
    tuned: list[dict[str, str]] = []
    texts = {"name": held["name"], "models.base.path": held["models"]["base"]}
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        model = {"path": draw(WORDS)}
        if draw(st.booleans()):
            model["revision"] = draw(WORDS)
        if len(tuned) > 0 and draw(st.booleans()):
            model["parent"] = draw(st.sampled_from(["base", *(row["name"] for row in tuned)]))
        if draw(st.booleans()):
            model["role"] = draw(st.sampled_from(["tuned", "control"]))
        held["models"]["tuned"][name] = model
        tuned.append({"name": name, **model})
    probe = draw(st.sampled_from(building.SOURCES))
    if probe:
        source = "builtin" if probe in building.BUILTIN else probe
        held["probe"] = {source: probe if source == "builtin" else draw(WORDS)}
        texts[f"probe.{source}"] = held["probe"][source]
    probes = []
    for name in draw(st.lists(NAMES.filter(lambda name: name != "probe"), max_size=2, unique=True)):
        source = draw(st.sampled_from(["builtin", "task", "file"]))
        words = draw(st.sampled_from(building.BUILTIN) if source == "builtin" else WORDS)
        row = {"texts": f"task:{words}" if source == "task" else words}
        if building.source_of(row["texts"]) != {source: words}:
            continue  # a file of such a name is written as a path
        held.setdefault("probes", {})[name] = {source: words}
        if draw(st.booleans()):
            held["probes"][name]["documents"] = draw(COUNTS)
            row["documents"] = str(held["probes"][name]["documents"])
        probes.append({"name": name, **row})
    domains = []
    for name in draw(st.lists(WORDS, max_size=2, unique=True)):
        asked = draw(LISTED)
        held.setdefault("evaluation", {"tasks": {}})["tasks"][name] = asked
        domains.append({"name": name, "tasks": as_typed(asked)})
    for key, strategy in RAW.items():
        if draw(st.booleans()):
            value, (section, _, name) = draw(strategy), key.rpartition(".")
            texts[key] = as_typed(value)
            part = held.setdefault("analyses", {}) if section.startswith("analyses.") else held
            if section not in ("probe", "evaluation") or section in held:
                part.setdefault(section.removeprefix("analyses."), {})[name] = value
    made = Draft(
        values=texts, tuned=tuple(tuned), domains=tuple(domains), probe=probe, probes=tuple(probes)
    )
    return made, held


@given(drafts())
def test_what_is_written_is_the_study_that_was_meant(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[Draft, dict[str, Any]]
) -> None:
    draft, held = made
    file = tmp_path_factory.getbasetemp() / "study.toml"
    file.write_bytes(studyfile.written(draft).encode())
    read, wanted = intake.read(file), intake.parsed(held, file.parent)
    assert read == intake.parsed(building.data(building.checked(draft)), file.parent)
    assert read.model_dump(exclude={"analyses"}) == wanted.model_dump(exclude={"analyses"})
    for name in registry.names():
        assert read.parameters(name) == wanted.parameters(name)
    assert building.faults(draft) == {}


KEYS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    WORDS | COUNTS | st.booleans() | st.floats(allow_nan=False),
    lambda each: st.lists(each) | st.dictionaries(KEYS, each),
    max_leaves=8,
)


@given(VALUES)
def test_every_value_is_spelt_as_toml_spells_it(value: Any) -> None:
    assert tomllib.loads(f"it = {toml.value(value)}")["it"] == value


def small() -> Draft:
    draft = building.begun("Qwen/Qwen2.5-7B", ["Qwen/Qwen2.5-7B-Instruct", "runs/medical"])
    draft = building.changed(draft, "probe", "medical")
    draft = building.with_domain(draft)
    return building.changed(draft, f"{DOMAINS}.0.tasks", "pubmedqa medqa_4options")


def test_only_what_differs_from_the_defaults_is_said() -> None:
    draft = building.changed(small(), "run.dtype", "auto")
    draft = building.changed(draft, "probe.documents", "500")
    draft = building.changed(draft, "evaluation.limit", "20")
    assert tomllib.loads(studyfile.written(draft)) == {
        "name": "Qwen2.5-7B",
        "models": {
            "base": "Qwen/Qwen2.5-7B",
            "tuned": {"instruct": "Qwen/Qwen2.5-7B-Instruct", "medical": "runs/medical"},
        },
        "probe": {"builtin": "medical"},
        "evaluation": {"limit": 20, "tasks": {"instruct": ["pubmedqa", "medqa_4options"]}},
    }


def test_every_hint_holds_when_it_is_taken_up(tmp_path: Path) -> None:
    draft = building.changed(small(), f"{DOMAINS}.0.name", "general")
    text = studyfile.written(building.changed(draft, "run.dtype", "bfloat16"))
    hints = re.findall(r"^# (\w+ = .*)$", text, re.MULTILINE)
    assert len(hints) > 15
    file = tmp_path / "study.toml"
    for hint in hints:
        taken = text.replace(f"# {hint}", hint).replace("# [analyses.", "[analyses.")
        if hint == 'builtin = "general"':
            taken = taken.replace("# [probes.", "[probes.")
        if hint.startswith(("file", "task")):
            taken = taken.replace("builtin =", "# builtin =")
        file.write_text(taken, encoding="utf-8")
        intake.read(file)


def test_further_probe_sets_are_added_named_and_dropped(tmp_path: Path) -> None:
    draft = building.with_probe(building.with_probe(small()))
    assert building.data(draft)["probes"] == {
        "general": {"builtin": "general"}, "code": {"builtin": "code"},
    }  # fmt: skip
    draft = building.changed(draft, "probes.1.name", "mine")
    draft = building.changed(draft, "probes.1.texts", "task:pubmedqa")
    draft = building.changed(draft, "probes.1.documents", "7")
    read = tomllib.loads(studyfile.written(draft))
    assert read["probes"]["mine"] == {"task": "pubmedqa", "documents": 7}
    assert building.value(draft, "probes.1.documents") == "7"
    left = building.without(draft, "probes.0.texts")
    assert list(building.data(left)["probes"]) == ["mine"]
    alone = building.changed(left, "probe", "")
    assert "activation" in building.possible(alone), "the first set is a named one"


@pytest.mark.parametrize(
    ("field", "words", "key", "expected"),
    [
        ("name", "a b", "name", "can't be called 'a b'"),
        ("name", "", "name", "needs a name"),
        ("texts", "", "texts", "is needed"),
        ("texts", "task:", "texts", "is needed"),
        ("documents", "many", "documents", "whole number"),
    ],
)
def test_a_fault_of_a_further_probe_set_is_at_its_field(
    field: str, words: str, key: str, expected: str
) -> None:
    draft = building.changed(building.with_probe(small()), f"probes.0.{field}", words)
    faults = building.faults(draft)
    assert list(faults) == [f"probes.0.{key}"]
    assert expected in faults[f"probes.0.{key}"]


def test_lines_and_comments_stay_readable() -> None:
    lines = studyfile.written(small()).splitlines()
    assert max(map(len, lines)) <= 110
    begun = [line.index("#") for line in lines if re.match(r"\w+ = .* #", line)]
    assert set(begun) == {studyfile.COMMENT}, "comments are aligned"


@pytest.mark.parametrize(
    ("path", "base", "taken", "name"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B", (), "instruct"),
        ("HPAI-BSC/Qwen2.5-Aloe-Beta-7B", "Qwen/Qwen2.5-7B", (), "aloe-beta"),
        ("org/x-instruct", "org/x", ("instruct",), "instruct-2"),
        ("/data/models/Medical/", "/data/models/base", (), "medical"),
        ("org/Same", "elsewhere/Same", (), "same"),
        ("/somewhere/base", "/elsewhere/x", (), "base-tuned"),
        ("/models/宽字符", "x", (), "tuned"),
        ("a\x1b[31m b", "x", (), "a-31m-b"),
        (
            "/cache/hub/models--Qwen--Qwen2.5-7B-Instruct/snapshots/0a1b2c",
            "/cache/hub/models--Qwen--Qwen2.5-7B/snapshots/99",
            (),
            "instruct",
        ),
    ],
)
def test_names_are_what_the_tuning_adds(
    path: str, base: str, taken: tuple[str, ...], name: str
) -> None:
    assert building.suggested(path, base, taken) == name


@given(WORDS, WORDS, st.sets(NAMES))
def test_a_suggested_name_is_allowed_and_free(path: str, base: str, taken: set[str]) -> None:
    name = building.suggested(path, base, taken)
    assert NAME.fullmatch(name)
    assert name != "base"
    assert name not in taken


@pytest.mark.parametrize(
    ("key", "words", "field", "expected"),
    [
        ("models.base.path", "", "models.base.path", "is needed"),
        (f"{TUNED}.0.name", "in/struct", f"{TUNED}.0.name", "letters"),
        (f"{TUNED}.1.name", "instruct", f"{TUNED}.1.name", "another model"),
        (f"{TUNED}.1.name", "", f"{TUNED}.1.name", "needs a name"),
        (f"{TUNED}.0.path", "", f"{TUNED}.0.path", "is needed"),
        (f"{TUNED}.0.parent", "nobody", "models", "'nobody'"),
        (f"{DOMAINS}.0.tasks", " , ", f"{DOMAINS}.0.tasks", "at least one"),
        ("probe", "file", "probe.file", "is needed"),
        ("probe.documents", "many", "probe.documents", "whole number"),
        ("evaluation.reference", "instruct=nobody", "evaluation.reference", "nobody"),
        ("run.max_memory", "60GiB", "run.max_memory", "names with values"),
        ("run.max_memory", "gpu=60GiB", "run.max_memory", "number of a GPU"),
        ("run.batch_size", "x", "run.batch_size", "whole number"),
        ("run.batch_size", "0", "run.batch_size", "1 or more"),
        ("analyses.alignment.energy", "3", "analyses.alignment.energy", "1 or less"),
        ("analyses.ablation.selections", "top-x", "analyses.ablation.selections", "top-x"),
    ],
)
def test_what_is_wrong_is_said_where_it_was_typed(
    key: str, words: str, field: str, expected: str
) -> None:
    draft = building.changed(small(), key, words)
    faults = building.faults(draft)
    assert len({key.removesuffix(".int").partition(".literal")[0] for key in faults}) == 1
    (blamed, *_) = faults
    assert f"{blamed}.".startswith(f"{field}.")
    assert expected in faults[blamed]
    with pytest.raises(StudyError):
        building.checked(draft)


def test_a_new_name_is_taken_over_by_those_tuned_from_it() -> None:
    draft = building.changed(small(), f"{TUNED}.1.parent", "instruct")
    draft = building.changed(draft, f"{TUNED}.0.name", "chat")
    assert building.value(draft, f"{TUNED}.1.parent") == "chat"
    assert building.value(building.without(draft, f"{TUNED}.0"), f"{TUNED}.0.parent") == ""


def test_lineage_is_filled_in() -> None:
    draft = building.with_model(small(), "org/qa", parents=("elsewhere", "runs/medical"))
    assert draft.tuned[-1] == {"name": "qa", "path": "org/qa", "parent": "medical"}


def test_the_study_is_called_like_its_base_until_it_has_a_name() -> None:
    draft = building.changed(small(), "models.base.path", "org/Other")
    assert building.value(draft, "name") == "Other"
    draft = building.changed(draft, "name", "mine")
    assert building.value(building.changed(draft, "models.base.path", "x/y"), "name") == "mine"


def test_what_another_source_of_texts_said_is_kept_but_not_meant() -> None:
    draft = building.changed(building.changed(small(), "probe", "file"), "probe.file", "a.txt")
    draft = building.changed(draft, "probe", "maths")
    assert building.data(draft)["probe"] == {"builtin": "maths"}
    assert building.value(building.changed(draft, "probe", "file"), "probe.file") == "a.txt"


def test_analyses_that_are_left_out_are_asked_for_by_the_others() -> None:
    draft = small()
    assert building.only(draft) == ()
    draft = building.toggled(draft, "ablation")
    assert building.only(draft) == tuple(
        n for n in registry.names() if n not in ("trajectory", "ablation")
    )
    bare = building.changed(draft.model_copy(update={"domains": ()}), "probe", "")
    assert building.only(bare) == (), "what could not run anyway is not left out"
    assert "--only tuning_vectors,vector_cosine" in studyfile.written(draft)
    assert building.only(building.toggled(draft, "ablation")) == ()


@pytest.mark.parametrize("key", fields.settable())
def test_every_field_is_explained(key: str) -> None:
    field = fields.field(key)
    assert field.help.endswith(".")
    assert len(field.help) <= 72, "it has one line, at 80 columns"


@pytest.mark.parametrize("section", ["models.base", "probe", "evaluation", "run"])
def test_a_default_as_it_is_shown_is_the_default(section: str) -> None:
    for name in fields.names(section):
        field = fields.field(f"{section}.{name}")
        if field.otherwise:
            assert fields.overrides(section, {name: field.otherwise}) == {}


def test_paths_are_found_from_where_the_file_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "medical").mkdir(parents=True)
    (tmp_path / "texts.txt").write_text("a text\n")
    monkeypatch.chdir(tmp_path)
    draft = building.begun("org/base", ["models/medical"])
    draft = building.changed(building.changed(draft, "probe", "file"), "probe.file", "texts.txt")
    draft = building.changed(building.with_probe(draft), "probes.0.texts", "texts.txt")
    file = tmp_path / "studies" / "mine.toml"
    studyfile.save(draft, file)
    read = intake.read(file)
    assert read.models.base.path == "org/base"
    assert read.models.tuned["medical"].path == str(tmp_path / "models" / "medical")
    assert read.probe is not None
    assert read.probe.file == str(tmp_path / "texts.txt")
    assert read.probes["general"].file == read.probe.file
    studyfile.save(draft, tmp_path / "here.toml")
    assert 'file = "texts.txt"' in (tmp_path / "here.toml").read_text()


def test_a_file_that_can_not_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="can't be written"):
        studyfile.save(small(), tmp_path)
    with pytest.raises(StudyError, match="models"):
        studyfile.save(Draft(), tmp_path / "x.toml")
    bytes_in_path = building.begun("a/b", ["/models/\udcff"])
    with pytest.raises(StudyError):
        studyfile.save(bytes_in_path, tmp_path / "x.toml")
    assert list(tmp_path.iterdir()) == []


def test_a_command_writes_the_same_file(tauscope: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    asked = [
        "new", file, "--base", "Qwen/Qwen2.5-7B", "--tuned", "Qwen/Qwen2.5-7B-Instruct",
        "--tuned", "medical=runs/medical", "--probe", "medical",
        "--task", "instruct=pubmedqa,medqa_4options",
    ]  # fmt: skip
    result = tauscope(*asked)
    assert result.code == 0, result.err
    assert result.out == f"{file}\n"
    assert file.read_text() == studyfile.written(small())
    again = tauscope(*asked)
    assert again.code == 2
    assert "no terminal for the confirmation" in again.err
    assert tauscope(*asked, "--yes", "--set", "run.seed=7").code == 0
    assert "seed = 7" in file.read_text()
    printed = tauscope("new", "-", *asked[2:])
    assert printed.out == studyfile.written(small())


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["--probe", "medcal"], "Did you mean 'medical'?"),
        (["--set", "run.dtyp=auto"], "Did you mean 'run.dtype'?"),
        (["--set", "probe.builtin=maths"], "no key 'probe.builtin'"),
        (["--set", "run.dtype=x"], "run.dtype: must be 'auto'"),
        (["--task", "medical"], "--task takes NAME=VALUE"),
        (["--task", "medical="], "error: evaluation.tasks.medical: needs at least one task"),
        (["--set", "probe.documents=-5", "--probe", "maths"], "documents: must be 1 or more"),
        (["--only", "alignmet"], "Did you mean 'alignment'?"),
        (["--tuned", "base=x"], "reserved"),
        (["--probe", "task:"], "probe.task: is needed"),
        (["--probe", "maths", "--probe", "code"], "needs a name"),
        (["--probe", "a=medcal"], "Did you mean 'medical'?"),
        (["--probe", "probe=code", "--probe", "maths"], "probes.probe"),
    ],
)
def test_what_a_command_gets_wrong_is_one_error(
    tauscope: Any, tmp_path: Path, extra: list[str], expected: str
) -> None:
    file = tmp_path / "mine.toml"
    got = tauscope("new", file, "--base", "a/b", "--tuned", "a/b-c", *extra)
    assert got.code == 2
    assert expected in got.err
    assert not file.exists()


def test_a_place_that_cannot_be_written_is_named_as_it_was_typed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x.toml", Path("/proc/x.toml")):
        with pytest.raises(StudyError) as caught:
            studyfile.save(small(), place)
        assert caught.value.title.startswith(f"{place} can't be written: ")
        assert "Errno" not in caught.value.title
        assert ".x.toml-" not in caught.value.title


def test_a_link_to_a_study_file_stays_one(tmp_path: Path) -> None:
    link, own = tmp_path / "link.toml", tmp_path / "own.toml"
    link.symlink_to(own)
    studyfile.save(small(), link)
    assert link.is_symlink()
    assert own.read_text() == link.read_text()


def test_places_that_are_not_there_are_warned_of(
    tauscope: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("medcal").touch()
    models = ("--base", "a/b", "--tuned", "a/b-c")
    assert tauscope("new", "-", *models, "--probe", "medcal").err == "", "a file called so"
    assert tauscope("new", "-", *models, "--tuned", str(tmp_path)).err == ""
    asked = ("--tuned", "./gone", "--probe", "texts.txt", "--set", "evaluation.include=own")
    result = tauscope("new", "x.toml", "--base", "/no/where", *asked)
    assert result.code == 0
    for place in ("/no/where", "./gone", "texts.txt", "own"):
        assert f"warning: {place} does not exist\n" in result.err
