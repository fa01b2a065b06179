"""`python -m tests.fuzz [--seed N] [--cases N] [--jobs N] [KIND…]`: the count by kind, and what
failed. `--only N` repeats the one case of that number."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz import ground, pool
from tests.fuzz.kinds import KINDS
from tests.fuzz.pool import Outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("kinds", metavar="KIND", nargs="*", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=0, help="where the numbers of cases begin")
    parser.add_argument("--cases", type=int, default=100, help="of each kind")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--only", type=int, help="the one case of this number")
    given = parser.parse_args()
    unknown = set(given.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    first = given.seed * 1_000_000
    numbers = range(first, first + given.cases) if given.only is None else (given.only,)
    cases = [(kind, number) for number in numbers for kind in given.kinds or KINDS]
    with tempfile.TemporaryDirectory(prefix="tauscope-fuzz-") as scratch:
        valid = ground.write(Path(scratch) / "valid")
        right = ground.relative_norm(valid / "base", valid / "tuned")
        outcomes = pool.outcomes(cases, valid, right, jobs=given.jobs, on_outcome=_tell)
    for kind in given.kinds or KINDS:
        chosen = [outcome for outcome in outcomes if outcome.kind == kind]
        codes = Counter(code for outcome in chosen for code in outcome.codes)
        failed = sum(bool(outcome.wrong) for outcome in chosen)
        ends = ", ".join(f"{count} × {code}" for code, count in sorted(codes.items()))
        print(f"{kind:12} {len(chosen):6} cases, {failed} failed; exit codes: {ends}")
    return int(any(outcome.wrong for outcome in outcomes))


def _tell(outcome: Outcome) -> None:
    if outcome.wrong:
        print(f"--- {outcome.kind} {outcome.number}: {outcome.wrong}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
