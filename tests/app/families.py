"""A family of tiny models and its study file, for tests that go all the way."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import tiny_config, tiny_tensors, tuned_from, write_model

STUDY = """\
name = "{name}"
[models]
base = "base"
[models.tuned]
medical = "medical"
control = {{ path = "control", role = "control" }}
"""


def write_family(folder: Path, *, name: str = "tiny") -> Path:
    """The study file."""
    base = tiny_tensors()
    write_model(folder / "base", tiny_config(), base)
    for seed, tuned in enumerate(("medical", "control"), start=1):
        write_model(folder / tuned, tiny_config(), tuned_from(base, seed))
    path = folder / "study.toml"
    path.write_text(STUDY.format(name=name), encoding="utf-8")
    return path
