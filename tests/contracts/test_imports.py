"""What starts at once stays light, and the rooms stay apart."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

REPORT = """
import sys
there = {name.partition(".")[0] for name in sys.modules}
print("heavy:", *sorted(there & {"torch", "transformers", "accelerate", "scipy"}))
"""

HELP = """
import app.cli.main
assert app.cli.main.run_command(["--help"]) == 0
"""

HELP_OF_COMMANDS = """
import app.cli.main
for command in app.cli.main.cli.registered_commands:
    name = command.name or command.callback.__name__
    assert app.cli.main.run_command([name, "--help"]) == 0, name
"""

WORKSTATION = """
import app.tui.app
"""

LIBRARY = """
from app.library import catalogue
catalogue.scan([])
"""

REGISTRY = """
from core.engine import registry
for name in registry.names():
    found = registry.get(name)
    assert found.name == name and found.metrics and found.views and found.parameters()
"""


def _run(script: str) -> subprocess.CompletedProcess[str]:
    # -P: only the path that is set here counts, and not where the tests were started.
    return subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("script", [HELP, HELP_OF_COMMANDS, WORKSTATION, LIBRARY, REGISTRY])
def test_nothing_heavy_is_imported_to_start(script: str) -> None:
    done = _run(script + REPORT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_the_watch_for_heavy_imports_is_awake() -> None:
    done = _run("import torch" + REPORT)
    assert done.stdout.splitlines()[-1] == "heavy: torch", done.stderr


def test_the_help_imports_no_screen_and_no_database() -> None:
    report = REPORT.replace(
        '"torch", "transformers", "accelerate", "scipy"', '"textual", "sqlalchemy"'
    )
    done = _run(HELP + report)
    assert done.stdout.splitlines()[-1] == "heavy:", done.stderr


def test_the_rooms_keep_their_import_rules() -> None:
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    linter = linter or shutil.which("lint-imports")
    if linter is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
