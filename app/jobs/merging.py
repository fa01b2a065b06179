"""A merge written by another process: the command `tauscope merge` over a study's models.

Waits for its end. Computes nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from app.drafts import toml
from app.jobs.environment import child_environment
from core.bench.columns import Mixed
from core.errors import RunError
from core.study.study import Study


def merge(study: Study, mix: Mixed, folder: Path) -> None:
    """Write a mix of a study's models as a model's folder. Raises RunError with the command's
    last words."""
    models = study.models.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    models.pop("trust_remote_code", None)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "study.toml"
        file.write_text(
            f"name = {toml.value(study.name)}\nmodels = {toml.value(models)}\n", encoding="utf-8"
        )
        done = subprocess.run(
            command(file, mix, folder), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", check=False, env=child_environment(),
        )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RunError("The merge was not written.", hint="\n".join(lines[-3:]))


def command(file: Path, mix: Mixed, folder: Path) -> list[str]:
    """The command line that writes a mix."""
    part = mix.restriction.text
    line = [sys.executable, "-P", "-m", "app.cli.main", "merge", str(file)]
    line += ["--coefficients", mix.point.setting, *(["--restrict", part] if part else [])]
    return [*line, "--to", str(folder)]
