"""A file of documents is read by its content; what is not read is refused by its name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from core.errors import ProbeError
from core.texts.documents import lines, source

JSON = ("x.jsonl", "X.JSONL", "x.ndjson", "x.json")
TEXTS = ["one", "two, with a comma", 'three "quoted"', "four\nin two lines", "fünf\u2028sechs"]


def _objects() -> list[dict[str, object]]:
    return [{"id": n, "text": text, "more": {"a": [n]}} for n, text in enumerate(TEXTS)]


def _json_lines() -> str:
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in _objects())


def _table(delimiter: str) -> str:
    into = io.StringIO()
    rows = csv.writer(into, delimiter=delimiter)
    rows.writerow(["id", "text"])
    rows.writerows(enumerate(TEXTS))
    return into.getvalue()


CONTENTS: dict[str, Callable[[], str]] = {
    "JSON lines": _json_lines,
    "texts": lambda: json.dumps(TEXTS),
    "objects": lambda: json.dumps(_objects()),
    "objects over lines": lambda: json.dumps(_objects(), indent=2),
    "a list of an object": lambda: json.dumps({"version": 1, "data": _objects()}, indent=1),
    "a column of an object": lambda: json.dumps({"text": TEXTS, "id": [1, 2, 3, 4, 5]}, indent=1),
    "commas": lambda: _table(","),
    "tabs": lambda: _table("\t"),
    "semicolons": lambda: _table(";"),
    "bars": lambda: _table("|"),
}


def _read(folder: Path, name: str, content: str | bytes) -> list[str]:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return [each.text for each in source.read(file)]


def _refused(folder: Path, name: str, content: str | bytes) -> ProbeError:
    with pytest.raises(ProbeError) as raised:
        _read(folder, name, content)
    assert name in raised.value.title
    return raised.value


@pytest.mark.parametrize("name", [*JSON, "x.csv", "x.txt", "x"])
@pytest.mark.parametrize("content", CONTENTS)
def test_the_content_says_what_a_file_is(tmp_path: Path, name: str, content: str) -> None:
    if name in JSON and content in [*CONTENTS][6:]:
        return  # of a name that promises JSON, what is not JSON is an error: see below
    raw = CONTENTS[content]().encode()
    assert _read(tmp_path, name, raw) == TEXTS
    assert _read(tmp_path, name, b"\xef\xbb\xbf" + raw) == TEXTS
    assert _read(tmp_path, f"{name}.gz", gzip.compress(raw)) == TEXTS


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), "dictionary"])
def test_parquet_is_read_under_any_name(tmp_path: Path, kind: object) -> None:
    texts = pa.array(TEXTS)
    column = texts.dictionary_encode() if kind == "dictionary" else texts.cast(kind)
    for name in ("x.parquet", "x.jsonl"):
        parquet.write_table(pa.table({"id": [1, 2, 3, 4, 5], "text": column}), tmp_path / name)
        assert [each.text for each in source.read(tmp_path / name)] == TEXTS


@pytest.mark.parametrize(
    "text",
    ["[1] Smith et al.", '["Hello," she said.', "{curly, said he}", '{"a": 1} is an object', "[]x",
     "text", "this, too, is a text", '"quoted"', "12"],
)  # fmt: skip
def test_prose_that_looks_like_a_format_stays_prose(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, "x.txt", f"{text}\nnext\n") == [text, "next"]


def test_only_the_documents_that_are_wanted_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"text": "a"}\n{"text": "b"}\nno json\n')
    assert source.read(file, 2) == [("a", ""), ("b", "")]
    rows = pa.table({"text": ["a"] * 200 + [None]})
    parquet.write_table(rows, tmp_path / "x.parquet")
    assert source.read(tmp_path / "x.parquet", 3) == [("a", "")] * 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", '{"text": "a"}\n{"body": "b", "id": 2}\n',
         "line 2 has no 'text'; its fields: body, id."),
        ("x.jsonl", '{"messages": []}', "no 'text'; its fields: messages."),
        ("x.jsonl", '{"text": "a"}\n{}\n', "line 2 has no 'text'; its fields: none."),
        ("x.jsonl", '{"text": "a"}\n{"text": null}\n', "line 2: 'text' is null, not a string."),
        ("x.jsonl", '{"text": "a"}\n{"text": "b"\n', "line 2 is not JSON: "),
        ("x.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n', "line 2: 'text' contains U+D83D, half"),
        ("x.jsonl", "a text\n", "line 1 is not JSON: Expecting value at place 1, found 'a text'."),
        ("x.jsonl", "[1, 2]\n", "line 1 is a list, not a JSON object"),
        ("x.jsonl", '{"text": ' + "[" * 100_000, "line 1 is nested too deeply"),
        ("x.jsonl", '{"text": "a"}\n{"text": ' + "1" * 5000 + "}", "line 2 can't be read"),
        ("x.json", '["a", {"text": "b"}, 3]', "item 2 (from 0) is a number"),
        ("x.json", '["a", {"body": "b"}]', "item 1 (from 0) has no 'text'; its fields: body."),
        ("x.json", '{"a": [], "b": []}', "2 lists, but none named 'text': a, b."),
        ("x.json", '{"a": 1}', "x.json has no 'text'; its fields: a."),
        ("x.json", '[\n"a",\n}', "line 3 is not JSON"),
        ("x.json", "3", "is a number, neither a list nor an object"),
        ("x.csv", "id,body\n1,a\n", "line 1, has no 'text'; its columns: id, body."),
        ("x.csv", "id,text\n1,a\n2\n", "line 3 ends before its 'text': 1 of 2 columns."),
        ("x.csv", 'id,text\n1,"a\n', "is not a row of a table"),
        ("x.txt", b"a\nb\xe9\n", "line 2 is not UTF-8: byte 0xe9 at place 2"),
        ("x.json", b'[\n"a",\n"\xe9"]', "line 3 is not UTF-8"),
        ("x.txt", b"\xff\xfea\0", "it is UTF-16"),
        ("x.txt", b"\xfe\xff\0a", "it is UTF-16"),
        ("x.txt", b"a\0b\0", "contains NUL bytes"),
        ("x.docx", b"PK\x03\x04", "zip"),
        ("x.jsonl.zst", b"\x28\xb5\x2f\xfd", "zstd"),
        ("x.pdf", b"%PDF-1.7", "PDF"),
        ("x.md", "# Title\n", "its kind is unknown (.md); it begins with '# Title'."),
        ("x.parquet", "id;a\n" * 9, "(.parquet); it begins with 'id;a'."),
        ("x", "a text\n", "its kind is unknown (a name without a suffix)"),
        ("x.parquet", b"PAR1 and no more", "Parquet"),
        ("x.gz", gzip.compress(gzip.compress(b"a", mtime=0), mtime=0), "compressed twice"),
        ("x.txt.gz", gzip.compress(b"a" * 99, mtime=0)[:-9], "can't be read"),
        ("x.csv", "id,text\n", "holds no documents"),
        ("x.json", "[]", "holds no documents"),
        ("x.json", "", "holds no documents"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    assert words in _refused(tmp_path, name, content).title


def test_what_is_not_read_says_what_is(tmp_path: Path) -> None:
    for name, content in [("x.md", b"a"), ("x.pdf", b"%PDF"), ("x.txt", b"a\0")]:
        hint = _refused(tmp_path, name, content).hint
        assert all(suffix in hint for suffix in source.SUFFIXES)
    assert "iconv" in _refused(tmp_path, "x.txt", b"\xff\xfea\0").hint
    assert "'text'" in _refused(tmp_path, "x.jsonl", '{"body": "a"}').hint


@pytest.mark.parametrize("sign", [",", "\t"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson", "x.json"])
def test_a_table_named_like_json_is_called_a_table(tmp_path: Path, name: str, sign: str) -> None:
    error = _refused(tmp_path, name, _table(sign))
    shown = "id,text" if sign == "," else "id text"
    assert f"line 1 is not JSON: Expecting value at place 1, found '{shown}'." in error.title
    assert "a table's header" in error.hint
    broken = _refused(tmp_path, name, '{"id": 1,text: "a"}')
    assert "found 'text: \"a\"}'" in broken.title
    assert "table:" not in broken.hint


def test_a_column_without_a_text_names_the_row(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["a", None]}), tmp_path / "x.parquet")
    with pytest.raises(ProbeError, match=r"x\.parquet, row 1 \(from 0\): 'text' is null"):
        source.read(tmp_path / "x.parquet")
    parquet.write_table(pa.table({"body": ["a"]}), tmp_path / "y.parquet")
    with pytest.raises(ProbeError, match=r"y\.parquet has no 'text'; its columns: body"):
        source.read(tmp_path / "y.parquet")


@pytest.mark.parametrize(
    ("value", "words"),
    [(3, "a number"), (1.5, "a number"), (True, "true or false"), ({"text": "a"}, "an object"),
     (["a"], "a list"), (b"a", "bytes"), (None, "null")],
)  # fmt: skip
def test_a_column_of_another_type_than_text_is_named(
    tmp_path: Path, value: object, words: str
) -> None:
    parquet.write_table(pa.table({"text": [value]}), tmp_path / "x.parquet")
    with pytest.raises(ProbeError, match=rf"row 0 \(from 0\): 'text' is {words}, not a string"):
        source.read(tmp_path / "x.parquet")


def test_a_parquet_file_that_was_cut_short_is_one_error(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"text": ["a", "b"] * 50}), file)
    content = file.read_bytes()
    for end in (4, 9, len(content) // 2, len(content) - 9, len(content) - 1):
        file.write_bytes(content[:end])
        with pytest.raises(ProbeError, match=r"x\.parquet can't be read as Parquet: \S"):
            source.read(file)


def test_a_field_of_a_table_may_be_long(tmp_path: Path) -> None:
    long = "word " * 100_000
    before = csv.field_size_limit()
    assert _read(tmp_path, "x.csv", f"id,text\n1,{long}\n") == [long]
    assert csv.field_size_limit() == before


def test_no_more_is_read_than_is_bearable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1 << 20)
    monkeypatch.setattr(lines, "MOST", 1 << 21)
    line = gzip.compress(b"a" * (1 << 23))
    assert "line 1 is longer than 1.0 MiB" in _refused(tmp_path, "x.txt.gz", line).title
    blank = gzip.compress(b" \n" * (1 << 21))
    assert "contain fewer documents" in _refused(tmp_path, "y.txt.gz", blank).title


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(ProbeError, match="a pipe or a device"):
        source.read(tmp_path / "x.jsonl")


def test_the_only_column_of_a_table_with_tabs_keeps_its_commas(tmp_path: Path) -> None:
    file = tmp_path / "x.tsv"
    file.write_text("text\nbonjour, monde\n")
    assert source.read(file) == [("bonjour, monde", "")]


def test_a_row_of_more_columns_than_the_head_is_refused(tmp_path: Path) -> None:
    """The rest of the text would be lost."""
    file = tmp_path / "x.csv"
    file.write_text("text\nhello, world\n")
    with pytest.raises(ProbeError, match="line 2 has 2 columns, its header 1"):
        list(source.read(file))


PROMPTED = [("an answer", "a question? "), ("alone", ""), ("two\nlines", "say: ")]


@pytest.mark.parametrize("kind", ["lines", "whole", "columns", "table", "parquet"])
def test_a_document_may_have_a_prompt(tmp_path: Path, kind: str) -> None:
    rows = [{"text": text, "prompt": prompt} for text, prompt in PROMPTED]
    columns = {name: [row[name] for row in rows] for name in ("prompt", "text")}
    file = tmp_path / "x.jsonl"
    if kind == "parquet":
        columns["prompt"][1] = None  # type: ignore[call-overload]
        parquet.write_table(pa.table(columns), file)
    elif kind == "table":
        file = tmp_path / "x.csv"
        into = io.StringIO()
        table = csv.DictWriter(into, ["prompt", "id", "text"])
        table.writeheader()
        table.writerows(rows)
        file.write_text(into.getvalue())
    else:
        del rows[1]["prompt"]
        contents: dict[str, object] = {
            "lines": "\n".join(map(json.dumps, rows)),
            "whole": json.dumps(rows),
            "columns": json.dumps(columns, indent=1),
        }
        file.write_text(str(contents[kind]))
    assert source.read(file) == PROMPTED


def test_a_prompt_that_is_no_text_or_lacks_its_text_is_refused(tmp_path: Path) -> None:
    error = _refused(tmp_path, "x.jsonl", '{"text": "a", "prompt": [{"role": "user"}]}\n')
    assert "line 1: 'prompt' is a list, not a string" in error.title
    assert "Rename the field" in error.hint
    error = _refused(tmp_path, "x.json", '{\n"text": ["a", "b"], "prompt": ["c"]}')
    assert "2 in 'text' but 1 in 'prompt'" in error.title
