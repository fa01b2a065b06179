"""One case: its commands in this process, and what is wrong with how they ended."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.fuzz import ground
from tests.fuzz.kinds import KINDS, Case

CODES = (0, 1, 2, 3, 4)
_FAULTS = ("Traceback", "bug in tauscope", "Exception ignored")


def attempt(valid: Path, kind: str, number: int, right: float) -> tuple[str, list[int]]:
    """What is wrong with a case, nothing where all is right; and the exit codes.

    `valid` is the folder of valid input, `right` the relative norm of its update.
    """
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-", dir=valid.parent))
    try:
        folder = ground.copied(valid, scratch / "case")
        os.environ["TAUSCOPE_DB"] = str(folder / "new.db")
        case = KINDS[kind](folder, Random(f"{kind} {number}"))
        codes = []
        for command in case.commands:
            code, out, err, past = _ended(command)
            codes.append(code)
            fault = wrong(code, err) or (_other_value(case, out, right) if code == 0 else "")
            fault = fault or (past and f"printed past the program:\n{past[-3000:]}")
            if fault:
                return f"{' '.join(command)}\n{fault}".replace(str(folder), ""), codes
        return "", codes
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _ended(command: tuple[str, ...]) -> tuple[int, str, str, str]:
    """The exit code, what the command said, and what else reached the terminal past it."""
    from app.cli.main import run_command

    out, err = io.StringIO(), io.StringIO()
    with (
        printed() as others,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = run_command(list(command))
        except BaseException as error:
            import traceback

            code = -1
            err.write(f"Traceback: {''.join(traceback.format_exception(error))[-3000:]}")
    return code, out.getvalue(), err.getvalue(), "".join(others)


@contextlib.contextmanager
def printed() -> Iterator[list[str]]:
    """What is written to the process's own stdout and stderr meanwhile: by libraries that hold
    them, and by compiled code."""
    lines: list[str] = []
    before = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            for target, descriptor in enumerate(before, start=1):
                os.dup2(descriptor, target)
                os.close(descriptor)
            file.seek(0)
            lines.append(file.read().decode(errors="replace"))


def wrong(code: int, err: str) -> str:
    """What is wrong with an exit code and what was said on stderr."""
    if code not in CODES or any(fault in err for fault in _FAULTS):
        return f"exit code {code}\n{err[-6000:]}"
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    if len(errors) != (code != 0):
        return f"exit code {code} with {len(errors)} errors\n{err[-3000:]}"
    if any(len(line) > 2000 for line in errors):
        return f"an error of {max(map(len, errors))} characters: {errors[0][:300]}"
    return ""


def _other_value(case: Case, out: str, right: float) -> str:
    if not case.keeps:
        return ""
    norm = json.loads(out)["models"][0]["how_far"]["relative_norm"]["all"]["value"]
    return "" if math.isclose(norm, right, rel_tol=1e-5) else f"relative norm {norm} for {right}"


def main() -> None:
    """Answer cases from stdin, a line each, on stdout."""
    from core.evaluation import tasks

    # The harness's own tasks are left out: their 14,000 files take seconds to read.
    vars(tasks)["_standard"] = dict
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    valid, right = Path(sys.argv[1]), float(sys.argv[2])
    for line in sys.stdin:
        kind, number = line.split()
        fault, codes = attempt(valid, kind, int(number), right)
        answers.write(json.dumps([fault, codes]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
