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


def write_family(folder: Path, *, name: str = "tiny", layers: int = 2) -> Path:
    """The study file. A run over many layers lasts long enough to be watched."""
    base, config = tiny_tensors(layers=layers), tiny_config(num_hidden_layers=layers)
    write_model(folder / "base", config, base)
    for seed, tuned in enumerate(("medical", "control"), start=1):
        write_model(folder / tuned, config, tuned_from(base, seed))
    path = folder / "study.toml"
    path.write_text(STUDY.format(name=name), encoding="utf-8")
    return path
