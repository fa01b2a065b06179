"""The ready studies can be read, name what exists, and are found by name."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.drafts import ready
from app.jobs.selection import select
from core.engine import registry
from core.errors import StudyError
from core.study.intake import read

FAMILIES = {
    "llama3-medical": "meta-llama/Meta-Llama-3-8B",
    "phi3.5-medical": "microsoft/Phi-3.5-mini-instruct",
    "qwen2.5-domains": "Qwen/Qwen2.5-7B",
}


HARNESS_FOLDERS = (
    "gsm8k", "hendrycks_math", "ifeval", "medmcqa", "medqa", "mmlu/default", "pubmedqa", "wikitext",
)  # fmt: skip


@cache
def _of_the_harness() -> set[str]:
    """The tasks and groups in a few of the harness's folders, read as text: its own index of all
    of them takes seconds."""
    spec = find_spec("lm_eval")
    if spec is None:
        raise ModuleNotFoundError("No module named 'lm_eval'", name="lm_eval")
    assert spec.submodule_search_locations is not None
    root = Path(spec.submodule_search_locations[0]) / "tasks"
    named = re.compile(r'^"?(?:task|group)"?: *"?([\w-]+)"?', re.MULTILINE)
    return {
        name
        for folder in HARNESS_FOLDERS
        for file in (root / folder).glob("*.yaml")
        for name in named.findall(file.read_text(encoding="utf-8"))
    }


def test_the_families_are_there() -> None:
    assert ready.names() == tuple(sorted(FAMILIES))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_ready_study_is_whole(name: str) -> None:
    study = read(ready.find(Path(name)))
    assert study.name == name
    assert study.models.base.path == FAMILIES[name]
    # Hub ids stay what they are: none of them is taken for a folder beside the file.
    hub = re.compile(r"[\w-]+/[\w.-]+")
    assert all(hub.fullmatch(model.path) for model in study.models.tuned.values())
    assert set(registry.names()) - set(select(study).analyses) == {"trajectory"}, "no series"
    assert study.probe is not None
    assert study.probe.builtin == "medical"
    assert study.evaluation is not None
    assert {"medical", "maths", "general"} <= set(study.evaluation.tasks)
    assert set(study.evaluation.reference.values()) <= set(study.models.tuned)
    named = {task for of_domain in study.evaluation.tasks.values() for task in of_domain}
    assert named <= _of_the_harness()
    vectors = study.analyses["arithmetic"]["vectors"]
    assert set(vectors) <= set(study.models.tuned)


def test_every_model_is_said_to_be_certain_or_likely() -> None:
    for name in ("llama3-medical", "phi3.5-medical"):
        text = ready.find(Path(name)).read_text(encoding="utf-8")
        for line in text.splitlines():
            if re.search(r'"[\w-]+/[\w.-]+"', line):
                assert line.endswith(("# certain", "# likely")), line


def test_a_file_goes_before_a_ready_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qwen2.5-domains").write_text("")
    assert ready.find(Path("qwen2.5-domains")) == Path("qwen2.5-domains")
    with pytest.raises(StudyError, match="no study file") as caught:
        ready.find(Path("qwen"))
    assert "qwen2.5-domains" in caught.value.hint
