"""A file of prompts: one in each line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.bench import prompts
from core.errors import StudyError

SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c"
"""Characters at which `str.splitlines` ends a line, and editors and JSON do not."""


def test_only_a_line_feed_ends_a_prompt(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(f"one{SEPARATORS}two\r\n\nthree\n".encode())
    assert list(prompts.read(file)) == [{"prompt": f"one{SEPARATORS}two"}, {"prompt": "three"}]


def test_a_prompt_in_json_may_hold_raw_separators(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    entry = {"prompt": "one\u2028two\x85three", "continuation": " four"}
    file.write_text(json.dumps(entry, ensure_ascii=False) + "\n", encoding="utf-8")
    assert list(prompts.read(file)) == [entry]


def test_an_error_counts_the_lines_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    good = json.dumps({"prompt": "one\u2028two"}, ensure_ascii=False)
    file.write_text(f"{good}\n\n[]\n", encoding="utf-8")
    with pytest.raises(StudyError, match="line 3 is not an object"):
        list(prompts.read(file))
