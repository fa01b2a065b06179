"""`python -m tests.benchmarks [--write FILE] [--folder DIR]`: measure, print, keep, and judge."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks import activations, bench, scoring, screens, states, sweeping, weights
from tests.benchmarks.report import Row, page, table


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, help="keep the table in this file")
    parser.add_argument("--folder", type=Path, help="keep the synthetic checkpoints here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[Row] = []
        for part in (screens, bench, weights, activations, states, scoring, sweeping):
            for row in part.rows(folder):
                rows.append(row)
                print(" | ".join(row.cells()), flush=True)
    print("\n" + table(rows))
    if given.write:
        given.write.write_text(page(rows), encoding="utf-8")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
