"""A TOML file is read with a byte-order mark; one that is no TOML says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import config
from core.errors import StudyError
from core.files import toml
from core.study import intake

STUDY = 'name = "x"\n[models]\nbase = "org/base"\n[models.tuned]\none = "org/one"\n'


def _refused(file: Path, content: bytes) -> StudyError:
    file.write_bytes(content)
    with pytest.raises(StudyError) as raised:
        intake.read(file)
    assert str(file) in raised.value.title
    return raised.value


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(b"\xef\xbb\xbf" + STUDY.encode())
    assert intake.read(file).models.base.path == "org/base"
    file.write_bytes(b"\xef\xbb\xbf")
    assert config.read(file) == config.Config()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    error = _refused(tmp_path / "study.toml", mark + STUDY.encode(encoding))
    assert "it is UTF-16" in error.title
    assert error.hint == "Save it as UTF-8."
    latin = _refused(tmp_path / "study.toml", b'name = "x"\n# d\xe9j\xe0\n')
    assert "line 2 is not UTF-8" in latin.title


@pytest.mark.parametrize("path", [r"C:\Users\me\base", r"D:\models\x"])
def test_a_path_of_windows_says_how_it_is_written(tmp_path: Path, path: str) -> None:
    error = _refused(tmp_path / "study.toml", STUDY.replace("org/base", path).encode())
    assert f"'{path}' in single quotes" in error.hint
    as_said = error.hint.split(" or ")[1].rstrip(".")
    (tmp_path / "said.toml").write_text(f"it = {as_said}")
    assert toml.read(tmp_path / "said.toml", "It") == {"it": path}


def test_no_other_mistake_is_blamed_on_a_backslash(tmp_path: Path) -> None:
    assert not _refused(tmp_path / "study.toml", b'name = "x"\n[models\n').hint
    deep = b"x = " + b"[" * 100_000
    assert "nested too deeply" in _refused(tmp_path / "study.toml", deep).title
