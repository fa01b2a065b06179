"""What is said is said in one way, wherever it is said: sizes, causes, hints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for room in ("core", "storage", "app")
    for file in sorted((ROOT / room).rglob("*.py"))
}


@pytest.mark.parametrize("name", SOURCES.keys() - {"core/sizes.py", "app/wording.py"})
def test_bytes_are_put_into_words_in_one_place(name: str) -> None:
    """Other ways of doing it round a small amount to 0.0 GB."""
    found = re.findall(
        r"\{[^{}]*(?:1e[369]|2 ?\*\* ?[123]0|>> ?[123]0|1024)[^{}]*\} ?[KMG]i?B", SOURCES[name]
    )
    assert not found
