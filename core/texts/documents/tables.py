"""Documents in the columns `text` and `prompt` of a table: CSV with any usual
delimiter, and Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import ProbeError
from core.texts.documents.fields import FIELD, PROMPT, Document, document, lacking
from core.texts.documents.lines import LONGEST, Lines

_LONGEST_HEAD = 1 << 16
_AT_ONCE = 64
"""Parquet rows decoded together."""


def delimiter(head: str) -> str | None:
    """The delimiter that splits a line into column names, one of them `text`; None if there is
    none."""
    if len(head) > _LONGEST_HEAD:
        return None
    for sign in (",", "\t", ";", "|"):
        if sign in head and FIELD in next(csv.reader([head], delimiter=sign), ()):
            return sign
    return None


def of_lines(file: Path, lines: Lines, sign: str) -> Iterator[Document]:
    """The documents of a table in lines. Its first line names the columns. Raises ProbeError."""
    rows = csv.reader((line for _, line in lines), delimiter=sign, strict=True)
    names = _row(file, rows) or []
    while not names:
        names = _row(file, rows) or [""]
    if FIELD not in names:
        lacking(f"{file}, line {rows.line_num},", "columns", names)
    column = names.index(FIELD)
    while (row := _row(file, rows)) is not None:
        if len(row) > len(names):
            raise ProbeError(
                f"{file}, line {rows.line_num} has {len(row)} columns, its header {len(names)}.",
                hint="Put a text that contains the delimiter between double quotes.",
            )
        if len(row) > column:
            fields = dict(zip(names, row, strict=False))
            yield Document(row[column], fields.get(PROMPT, ""))
        elif row:
            raise ProbeError(
                f"{file}, line {rows.line_num} ends before its '{FIELD}': {len(row)} of "
                f"{len(names)} columns."
            )


def _row(file: Path, rows: Any) -> list[str] | None:
    """The next row; empty for an empty line, None at the end."""
    # csv's limit of a field's length is global, so it is raised only while reading a row.
    before = csv.field_size_limit(LONGEST)
    try:
        row: list[str] | None = next(rows, None)
    except csv.Error as error:
        where = f"{file}, line {rows.line_num}"
        raise ProbeError(f"{where} is not a row of a table: {error}.") from None
    finally:
        csv.field_size_limit(before)
    return row


def of_parquet(file: Path) -> Iterator[Document]:
    """The documents of a Parquet file, some rows at a time. Raises ProbeError naming the row."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            if FIELD not in names:
                lacking(str(file), "columns", names)
            place = 0
            columns = [name for name in (FIELD, PROMPT) if name in names]
            for batch in opened.iter_batches(batch_size=_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    yield document(row, f"{file}, row {place} (from 0)")
                    place += 1
    except pa.ArrowException as error:
        why = str(error).strip().splitlines()[0]
        raise ProbeError(f"The probe file {file} can't be read as Parquet: {why}") from None
