"""TOML files as data, and the errors for invalid ones. Knows no study and no setting."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from core.errors import StudyError, reason
from core.files import regular

_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read(file: Path, called: str) -> dict[str, Any]:
    """The data of a file; `called` is its name in errors. Skips a byte-order mark of UTF-8.

    Raises FileNotFoundError if there is no file, StudyError if it can't be read.
    """
    try:
        raw = regular.content(file)
        text = raw.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(file)) from None
    except OSError as error:
        raise StudyError(f"{called} {file} can't be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise _no_utf8(raw, error, f"{called} {file}") from None
    try:
        return tomllib.loads(text)
    except ValueError as error:  # also of a number with thousands of digits
        raise StudyError(
            f"{file} is not valid TOML: {reason(error)}.", hint=_advice(text, error)
        ) from None
    except RecursionError:
        raise StudyError(f"{file} is not valid TOML: it is nested too deeply.") from None


def _no_utf8(raw: bytes, error: UnicodeDecodeError, name: str) -> StudyError:
    encoding = _MARKS.get(raw[:2])
    line = raw.count(b"\n", 0, error.start) + 1
    why = f"it is {encoding}" if encoding else f"line {line} is not UTF-8"
    return StudyError(f"{name} can't be read: {why}.", hint="Save it as UTF-8.")


def _advice(text: str, error: ValueError) -> str:
    """A hint on writing Windows paths, if the faulty line has one between double quotes; else
    ""."""
    place = re.search(r"at line (\d+)", str(error))
    lines = text.split("\n")
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else ""
    path = re.search(r'"([^"\n]*\\[^"\n]*)"?', line)
    if path is None:
        return ""
    plain = path[1].strip()
    doubled = plain.replace("\\", "\\\\")
    return (
        "Between double quotes a backslash begins an escape: write "
        f"'{plain}' in single quotes, or \"{doubled}\"."
    )
