"""`python -m tests.benchmarks [PART …] [--write FILE] [--folder DIR]`: measure, print, keep, and
judge."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks import (
    activations,
    bench,
    scoring,
    screens,
    spreading,
    states,
    sweeping,
    weights,
)
from tests.benchmarks.report import Row, page, table

PARTS = {
    part.__name__.rpartition(".")[2]: part
    for part in (screens, bench, weights, activations, states, scoring, sweeping, spreading)
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--write", type=Path, help="keep the table in this file")
    parser.add_argument("--folder", type=Path, help="keep the synthetic checkpoints here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[Row] = []
        for name in given.parts or PARTS:
            for row in PARTS[name].rows(folder):
                rows.append(row)
                print(" | ".join(row.cells()), flush=True)
    print("\n" + table(rows))
    if given.write:
        before = given.write.read_text(encoding="utf-8") if given.write.exists() else ""
        given.write.write_text(page(rows, before), encoding="utf-8")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
