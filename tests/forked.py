"""Python programs as forks of one process in which torch and transformers are imported already.

Importing them takes most of the time of a worker on a tiny study. The forks are programs of their
own otherwise: another session, environment, folder, standard streams and signals. No database is
open in the process that forks.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from app.jobs.environment import child_environment
from tests.patience import eventually

ROOT = Path(__file__).resolve().parents[1]
_SERVE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.forked import serve; serve()"


def detach(command: Sequence[str], log: Path) -> int:
    """As `app.jobs.launcher.detach`."""
    pid: int = _ask(
        arguments=_arguments(command), log=str(log), folder=str(Path.cwd()), env=child_environment()
    )
    return pid


def run(command: Sequence[str], log: Path) -> int:
    """The exit status of a program, as `subprocess.run` gives it; its output is in `log`."""
    pid = detach(command, log)
    (status,) = eventually(lambda: _ask(ended=pid)) or (None,)
    assert status is not None, f"it never ended: {log.read_text()}"
    return int(status)


@cache
def _server() -> subprocess.Popen[str]:
    """The process that forks. It ends with this one, which closes its standard input."""
    pipe, command = subprocess.PIPE, [sys.executable, "-P", "-c", _SERVE]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)


def _ask(**words: Any) -> Any:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps(words), file=server.stdin, flush=True)
    return json.loads(server.stdout.readline())


def _arguments(command: Sequence[str]) -> list[str]:
    """What follows the interpreter: `-m MODULE` or `-c CODE`, and the program's own arguments."""
    python, *arguments = command
    assert python == sys.executable
    arguments = arguments[arguments[0] == "-P" :]
    assert arguments[0] in ("-m", "-c"), arguments
    return arguments


def serve() -> None:
    """Fork for each line of standard input that asks for it, and say how forks have ended."""
    import transformers.models.llama.modeling_llama  # noqa: F401

    from core.engine import registry, runner  # noqa: F401

    for name in registry.names():
        registry.get(name)
    statuses: dict[int, int] = {}

    def reap(*_: object) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            statuses[pid] = os.waitstatus_to_exitcode(status)

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        asked = json.loads(line)
        if (pid := asked.get("ended")) is not None:
            answer: Any = [statuses[pid]] if pid in statuses else None
        else:
            answer = os.fork()
            if not answer:
                _become(**asked)
        print(json.dumps(answer), flush=True)


def _become(arguments: list[str], log: str, folder: str, env: dict[str, str]) -> None:
    """Be that program, to its end."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        nothing, output = (
            os.open(os.devnull, os.O_RDONLY),
            os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
        )
        for stream, source in ((0, nothing), (1, output), (2, output)):
            os.dup2(source, stream)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        way, program, *rest = arguments
        sys.argv = ["-c" if way == "-c" else program, *rest]
        if way == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=False)
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
