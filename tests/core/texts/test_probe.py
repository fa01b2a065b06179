"""Documents are read, cut, kept apart and batched; what is left out is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ProbeError
from core.study.study import Probe
from core.texts import probe
from core.texts.documents import source
from core.texts.documents.fields import Document
from core.texts.probe import ProbeSet


def _lines(tmp_path: Path, name: str, content: str) -> list[str]:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    return [each.text for each in source.read(file)]


def _letters(text: str) -> list[int]:
    return [ord(c) for c in text]


def _encoded(*texts: str, **changes: int | None) -> ProbeSet:
    given = {"documents": 500, "max_tokens": 1024, "context": None, **changes}
    documents = [Document(text) for text in texts]
    return probe.encoded(documents, _letters, **given)  # type: ignore[arg-type]


def test_jsonl_has_a_text_in_every_line(tmp_path: Path) -> None:
    content = '{"text": "one"}\n\n  \n{"id": 3, "text": "two\\nlines"}\r\n'
    assert _lines(tmp_path, "x.jsonl", content) == ["one", "two\nlines"]


def test_any_other_file_has_a_document_a_line(tmp_path: Path) -> None:
    assert _lines(tmp_path, "x.txt", "one\n\n \t\ntwo words\r\nthree") == [
        "one", "two words", "three",
    ]  # fmt: skip


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0c", "\x1e"])
def test_a_line_ends_at_a_line_feed_alone(tmp_path: Path, sign: str) -> None:
    text = f"before{sign}after"
    line = json.dumps({"text": text}, ensure_ascii=False)
    assert _lines(tmp_path, "x.jsonl", line) == [text]
    assert _lines(tmp_path, "x.txt", text) == [text]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert _lines(tmp_path, "x.jsonl", '\ufeff{"text": "one"}') == ["one"]
    assert _lines(tmp_path, "x.txt", "\ufeffone") == ["one"]


@pytest.mark.parametrize(
    "line", ["not json", '{"words": "x"}', '{"text": 3}', '["text"]', '"text"', "null"]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ProbeError, match=r"x\.jsonl, line 3"):
        _lines(tmp_path, "x.jsonl", f'{{"text": "one"}}\n\n{line}\n')


@pytest.mark.parametrize("name", ["x.jsonl", "x.txt"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(ProbeError, match="holds no documents"):
        _lines(tmp_path, name, content)


def test_a_file_that_can_t_be_read(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"no probe file .*nothing\.txt"):
        source.read(tmp_path / "nothing.txt")
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ProbeError, match=r"x\.txt can't be read"):
        source.read(tmp_path / "x.txt")
    with pytest.raises(ProbeError, match="can't be read"):
        source.read(tmp_path)


@pytest.mark.parametrize("name", probe.BUILTIN)
def test_the_built_in_sets(name: str) -> None:
    assert len(probe.builtin(name)) == 40
    assert Probe(builtin=name).builtin == name


def test_an_unknown_built_in_set() -> None:
    with pytest.raises(ProbeError, match="'math'") as raised:
        probe.builtin("math")
    assert "maths" in raised.value.hint


def test_a_document_without_tokens_is_left_out_and_said() -> None:
    probe_set = _encoded("ab", "", "c")
    assert probe_set.texts == ("ab", "c")
    assert probe_set.tokens == 3
    assert "1 document has no tokens" in probe_set.notes[0]
    blank = _encoded("ab", " \n ")
    assert blank.texts == ("ab",)
    assert "1 document has no tokens" in blank.notes[0]
    with pytest.raises(ProbeError, match=r"No document .* all 2 are empty"):
        _encoded("", "")


def test_a_document_that_comes_again_counts_and_is_said() -> None:
    probe_set = _encoded("ab", "c", "ab", "ab")
    assert probe_set.tokens == 7
    assert probe_set.notes == ("2 of 4 documents repeat an earlier one; each counts.",)
    assert not _encoded("ab", "abc").notes


def test_documents_are_cut_to_the_tokens_asked_for_or_to_the_context() -> None:
    asked = _encoded("abcdef", "ab", max_tokens=3)
    assert [len(ids) for ids in asked.ids] == [3, 2]
    assert asked.notes[0] == "1 of 2 documents is cut to the first 3 tokens."
    short = _encoded("abcdef", "ab", context=4)
    assert [list(ids) for ids in short.ids] == [[97, 98, 99, 100], [97, 98]]
    assert "probe.max_tokens is 1024, but the models' context is 4." in short.notes
    assert not [note for note in _encoded("ab", context=4).notes if "context" in note]


def test_more_documents_than_asked_for_are_not_read() -> None:
    assert _encoded("a", "b", "c", documents=2).texts == ("a", "b")
    assert not _encoded("a", "b", documents=2).notes


def test_the_fingerprint_is_of_the_ids_alone() -> None:
    def of(*documents: list[int], texts: str = "t", scored: int = 1) -> str:
        ids = tuple(np.array(d) for d in documents)
        return ProbeSet((texts,) * len(ids), ids, (scored,) * len(ids)).fingerprint

    same = of([1, 2], [3])
    assert of([1, 2], [3], texts="other") == same
    others = [of([1, 2], [4]), of([1], [2, 3]), of([3], [1, 2]), of([1, 2, 3]),
              of([1, 2], [3], scored=2), of([1, 2])]  # fmt: skip
    assert len({same, *others}) == 1 + len(others)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5), st.data())
def test_batches_hold_every_document_once_the_longest_first(
    lengths: list[int], size: int, data: st.DataObject
) -> None:
    ids = tuple(np.arange(n) + 10 * i for i, n in enumerate(lengths))
    probed = ProbeSet(("",) * len(ids), ids, (1,) * len(ids))
    skip = data.draw(st.integers(0, len(ids)))
    batches = list(probed.batches(size, skip))
    order = [i for batch in batches for i in batch.documents]
    assert order == probed.order()[skip:]
    assert sorted(probed.order()) == list(range(len(ids)))
    seen = [n for batch in batches for n in batch.lengths]
    assert seen == sorted(seen, reverse=True)
    for batch in batches:
        assert len(batch.documents) <= size
        for row, (document, n) in enumerate(zip(batch.documents, batch.lengths, strict=True)):
            np.testing.assert_array_equal(batch.ids[row, :n], ids[document])
            assert batch.mask[row].sum() == n == batch.mask[row, :n].sum()
            np.testing.assert_array_equal(batch.following[row, : n - 1], ids[document][1:])
            assert batch.scored[row].tolist() == [t < n - 1 for t in range(batch.ids.shape[1])]


def test_another_tokeniser_is_held_against_the_documents_as_they_were_cut() -> None:
    probe_set = _encoded("abcdef", "ab", "xy", max_tokens=3)

    def ending(text: str) -> list[int]:
        return [*map(ord, text), 0]

    assert probe.split_otherwise(probe_set, lambda text: list(map(ord, text)), 3) == 0
    assert probe.split_otherwise(probe_set, ending, 3) == 2
    assert probe.split_otherwise(probe_set, lambda text: list(map(ord, text.upper())), 3) == 3


@pytest.mark.parametrize(
    ("prompt", "answer", "context", "shown", "scored"),
    [
        ([1, 3, 4], [5, 6], 9, [1, 3, 4, 5], [5, 6]),
        ([1, 3, 4], [5, 6], 4, [1, 3, 4, 5], [5, 6]),
        ([1, 3, 4], [5, 6], 3, [3, 4, 5], [5, 6]),
        ([1], [3, 4, 5], 3, [1, 3, 4], [3, 4, 5]),
        ([1, 2], [3, 4, 5], 2, [3, 4], [4, 5]),
        ([], [3, 4], 9, [3], [4]),
    ],
)
def test_of_an_item_all_but_the_last_token_is_shown_and_the_answer_is_scored(
    prompt: list[int], answer: list[int], context: int, shown: list[int], scored: list[int]
) -> None:
    probe_set = probe.of_pairs([(prompt, answer)], context)
    batch = next(probe_set.batches(1))
    assert batch.ids[0].tolist() == shown
    assert batch.following[batch.scored].tolist() == scored


def test_items_without_an_answer_are_left_out_or_refused() -> None:
    probe_set = probe.of_pairs([([1], []), ([1], [2]), ([], [3])], 9)
    assert [ids.tolist() for ids in probe_set.ids] == [[1]]
    with pytest.raises(ProbeError, match="No item"):
        probe.of_pairs([([1], [])], 9)


def test_of_a_prompt_and_its_answer_only_the_answer_is_in_a_loss() -> None:
    given = [Document("yes, so", "is it? "), Document("alone"), Document("is it? no", "is it? ")]
    probe_set = probe.encoded(given, _letters, documents=9, max_tokens=12, context=None)
    assert ["".join(map(chr, ids)) for ids in probe_set.ids] == [
        "is it? yes, ", "alone", "is it? is it",
    ]  # fmt: skip
    assert probe_set.scored_from == (6, 1, 6), "the space before an answer is the answer's"
    assert probe_set.texts[0] == "is it? yes, so"
    assert probe_set.prompts == ("is it? ", "", "is it? ")
    assert any(note.startswith("1 of 3 texts begins with the prompt") for note in probe_set.notes)
    (batch,) = probe_set.first(1).batches(1)
    assert batch.scored[0].nonzero()[:, 0].tolist() == [5, 6, 7, 8, 9, 10]
    assert probe.split_otherwise(probe_set, _letters, 12) == 0
    assert probe.split_otherwise(probe_set, lambda text: [ord(c) for c in text.upper()], 12) == 3
    plain = probe.encoded([Document("is it? yes")], _letters, documents=1, max_tokens=12,
                          context=None)  # fmt: skip
    split = probe.encoded([Document("yes", "is it? ")], _letters, documents=1, max_tokens=12,
                          context=None)  # fmt: skip
    assert (plain.ids[0] == split.ids[0]).all()
    assert plain.fingerprint != split.fingerprint, "they are not the same measurement"


def test_a_prompt_that_leaves_its_answer_no_token_is_left_out() -> None:
    given = [Document("yes", "is it? "), Document("no", "so, is it? ")]
    probe_set = probe.encoded(given, _letters, documents=2, max_tokens=9, context=None)
    assert probe_set.texts == ("is it? yes",)
    assert "1 document without a token of the answer among the first 9 tokens" in probe_set.notes[0]
    assert probe_set.notes[1:] == ("1 of 1 document is cut to the first 9 tokens.",)
    with pytest.raises(ProbeError, match="No answer of the probe set has a token among"):
        probe.encoded(given, _letters, documents=2, max_tokens=6, context=None)
