"""`python -m tests.devices [--write FILE]`: the tests and benchmarks of cards, on a real one."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

TESTS = tuple(
    map(Path(__file__).with_name, ("on_cards.py", "solvers_on_cards.py", "bench_on_cards.py"))
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, help="keep the results in this file")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("make gpu: torch finds no CUDA card on this machine.", file=sys.stderr)
        return 2
    from tests.benchmarks import cards
    from tests.benchmarks.report import Row

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-rA", "--tb=line", *map(str, TESTS)],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    print(tested.stdout)
    rows: list[Row] = []

    def keep() -> None:
        """After each row: time on a card is scarce."""
        if given.write:
            given.write.write_text(page(tested.stdout, rows), encoding="utf-8")

    keep()
    with tempfile.TemporaryDirectory() as scratch:
        for row in cards.rows(Path(scratch), torch.device("cuda")):
            rows.append(row)
            print(" | ".join(row.cells()), flush=True)
            keep()
    return 0 if tested.returncode == 0 and all(row.met for row in rows) else 1


def page(tested: str, rows: Sequence[object]) -> str:
    """docs/gpu.md."""
    from tests.benchmarks.report import table

    outcomes = ("PASSED", "FAILED", "SKIPPED", "ERROR")
    lines = [line for line in tested.splitlines() if line.startswith(outcomes)]
    cards = [torch.cuda.get_device_name(card) for card in range(torch.cuda.device_count())]
    return (
        "# On a card\n\n"
        f"Written by `make gpu` on {', '.join(cards)} and {os.cpu_count()} cores, torch "
        f"{torch.__version__} for CUDA {torch.version.cuda}, Python {platform.python_version()}. "
        "Ratios are taken inside one run.\n\n## Tests\n\n```text\n"
        + "\n".join(lines)
        + "\n```\n\n## Benchmarks\n\n"
        f"{table(rows)}\n"  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    raise SystemExit(main())
