"""A study's models and texts together: one tokeniser for all, and what is doubtful."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.engine import registry
from core.engine.subject import open_subject
from core.errors import CheckpointError, ProbeError, StudyError
from core.models import loading
from core.study import study
from core.study.models import Models
from core.texts import probe as probes
from tests.conftest import tiny_config, tiny_tensors, tuned_from, write_model
from tests.core import zoo

VOCABULARY = 3 + len(zoo.LETTERS)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base and a tuned model of single letters, and a probe file."""
    config = tiny_config(vocab_size=VOCABULARY)
    base = tiny_tensors(vocab=VOCABULARY)
    write_model(tmp_path / "base", config, base)
    write_model(tmp_path / "tuned", config, tuned_from(base, 1))
    zoo.write_tokenizer(tmp_path / "base")
    (tmp_path / "probe.txt").write_text("one two three\nfour five\nsix")
    return tmp_path


def _study(folder: Path, **probe: Any) -> study.Study:
    return study.Study(
        name="s",
        models=Models(
            base=str(folder / "base"),
            tuned={"tuned": str(folder / "tuned")},
        ),
        probe=study.Probe(**{"file": str(folder / "probe.txt"), "documents": 3, **probe}),
    )


def test_documents_are_encoded_by_the_base_s_tokeniser_with_its_special_tokens(
    models: Path,
) -> None:
    subject = open_subject(_study(models), ["probe"])
    assert [len(ids) for ids in subject.probed.ids] == [14, 10, 4]
    assert all(ids[0] == 1 for ids in subject.probed.ids)
    assert not [note for about, note in subject.notes if "tokens" in note]


def test_a_tokeniser_without_a_padding_token_serves(models: Path) -> None:
    assert loading.tokenizer(models / "base").pad_token is None
    batch = next(open_subject(_study(models), ["probe"]).probed.batches(3))
    assert batch.ids.shape == (3, 14)


def test_weights_alone_need_no_tokeniser(models: Path) -> None:
    (models / "base" / "tokenizer.json").unlink()
    assert open_subject(_study(models), ["weights"]).probes == {}


def test_texts_without_a_probe_are_refused(models: Path) -> None:
    bare = _study(models).model_copy(update={"probe": None})
    with pytest.raises(StudyError, match=r"no \[probe\]"):
        open_subject(bare, ["weights", "probe"])


def _of_sets(folder: Path, sole: study.Probe | None, **sets: study.Probe) -> study.Study:
    return _study(folder).model_copy(update={"probe": sole, "probes": sets})


def test_probe_sets_come_in_the_order_of_the_study_and_the_first_is_the_probed_one(
    models: Path,
) -> None:
    (models / "other.txt").write_text("seven\neight")
    file = study.Probe(file=str(models / "other.txt"), documents=3, token="last")
    code = study.Probe(builtin="code", documents=2)
    alone = open_subject(_study(models), ["probe"])
    both = open_subject(_of_sets(models, _study(models).probe, other=file, code=code), ["probe"])
    assert [(n, len(p.ids)) for n, p in both.probes.items()] == [
        ("probe", 3), ("other", 2), ("code", 2),
    ]  # fmt: skip
    assert both.probed.fingerprint == alone.probed.fingerprint
    assert both.token == "mean"
    assert ("probes.other", "holds 2 documents, fewer than the requested 3.") in both.notes
    named = open_subject(_of_sets(models, None, other=file), ["probe", "texts"])
    assert named.probed is named.probes["other"]
    assert named.token == "last"
    assert named.meets("probe")


def test_a_study_without_a_probe_set_reads_the_built_in_one_and_says_so(models: Path) -> None:
    bare = _of_sets(models, None)
    subject = open_subject(bare, ["texts"])
    assert list(subject.probes) == ["general"]
    assert subject.probed.texts == tuple(each.text for each in probes.builtin("general"))
    assert any("built-in set 'general'" in note for _, note in subject.notes)
    assert (subject.meets("texts"), subject.meets("probe")) == (True, False)
    (models / "base" / "tokenizer.json").unlink()
    (models / "base" / "tokenizer_config.json").unlink()
    without = open_subject(bare, ["texts"])
    assert without.probes == {}, "weights are compared all the same"
    assert any("no tokeniser" in note for _, note in without.notes)


def test_a_fault_of_a_named_probe_set_names_it(models: Path) -> None:
    (models / "empty.txt").write_text("  \n")
    empty = study.Probe(file=str(models / "empty.txt"))
    with pytest.raises(ProbeError, match=r"^probes\.other: "):
        open_subject(_of_sets(models, None, other=empty), ["texts"])


def test_a_way_of_attention_that_does_not_exist_is_refused_before_anything_is_loaded(
    models: Path,
) -> None:
    asked = _study(models).model_copy(update={"run": study.Run(attention="spda")})
    with pytest.raises(StudyError, match=r"^run\.attention: there is no 'spda'\.$") as caught:
        open_subject(asked, ["probe"])
    assert caught.value.hint == "Did you mean 'sdpa'?"
    open_subject(asked, ["weights"])  # which needs no attention
    for known in ("eager", "flash_attention_2", "kernels-community/flash-attn"):
        run = study.Run(attention=known)
        open_subject(asked.model_copy(update={"run": run}), ["probe"])


def test_a_base_without_a_tokeniser_is_one_clear_error(models: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (models / "base" / file).unlink()
    with pytest.raises(CheckpointError, match=r"base holds no tokeniser") as raised:
        open_subject(_study(models), ["probe"])
    assert "models.tokenizer" in raised.value.hint


def test_the_study_may_name_another_tokeniser(models: Path) -> None:
    zoo.write_tokenizer(models / "other", special=False)
    of = _study(models)
    named = of.models.model_copy(update={"tokenizer": str(models / "other")})
    subject = open_subject(of.model_copy(update={"models": named}), ["probe"])
    assert [len(ids) for ids in subject.probed.ids] == [13, 9, 3]


@pytest.mark.parametrize(("change", "count"), [({"letters": "zeon ."}, 3), ({"special": False}, 3)])
def test_a_model_with_another_tokeniser_is_warned_of(models: Path, change: Any, count: int) -> None:
    zoo.write_tokenizer(models / "tuned", **change)
    notes = [n for about, n in open_subject(_study(models), ["probe"]).notes if about == "tuned"]
    assert any(f"splits {count} of 3 probe documents differently" in note for note in notes)


def test_the_same_tokeniser_is_not_warned_of(models: Path) -> None:
    zoo.write_tokenizer(models / "tuned")
    notes = open_subject(_study(models), ["probe"]).notes
    assert not [note for _, note in notes if "otherwise" in note]


@pytest.mark.parametrize("key", ["max_position_embeddings", "max_seq_len"])
def test_documents_fit_the_shortest_context_of_all_models(models: Path, key: str) -> None:
    config = tiny_config(vocab_size=VOCABULARY)
    config = {n: v for n, v in config.items() if n != "max_position_embeddings"} | {key: 6}
    write_model(models / "tuned", config, tuned_from(tiny_tensors(vocab=VOCABULARY), 1))
    subject = open_subject(_study(models), ["probe"])
    assert [len(ids) for ids in subject.probed.ids] == [6, 6, 4]
    assert any("models' context is 6" in note for _, note in subject.notes)


def test_what_is_left_out_is_said(models: Path) -> None:
    notes = dict(open_subject(_study(models, documents=9, max_tokens=5), ["probe"]).notes)
    assert "holds 3 documents, fewer than the requested 9." in notes["probe"]
    assert "probe" not in dict(open_subject(_study(models), ["probe"]).notes), (
        "the default is a bound"
    )


def test_a_built_in_set(models: Path) -> None:
    subject = open_subject(_study(models, file=None, builtin="maths"), ["probe"])
    assert len(subject.probed.ids) == 3


def test_a_key_is_of_the_model_the_texts_and_how_they_are_computed(models: Path) -> None:
    subject = open_subject(_study(models), ["probe"])
    other = open_subject(_study(models, documents=2), ["probe"])
    precise = open_subject(
        _study(models).model_copy(update={"run": study.Run(dtype="float32")}), ["probe"]
    )
    none = registry.Parameters()
    keys = [
        subject.key("a", 1, none, ["base"]), subject.key("a", 1, none, ["tuned"]),
        subject.key("a", 2, none, ["base"]), subject.key("b", 1, none, ["base"]),
        subject.key("a", 1, none, ["base"], token="last"),
        subject.key("a", 1, none, ["base"], probe=other.probed.fingerprint),
        precise.key("a", 1, none, ["base"]),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert subject.key("a", 1, none, ["base"]) == keys[0]
