"""A model that the hub does not give: the error says what was found, against a hub that runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.errors import CheckpointError
from core.models import hub

_SHA = "0" * 40
_ANSWERS = {
    "locked": (401, {}),
    "gated": (403, {"X-Error-Code": "GatedRepo"}),
    "unknown": (404, {"X-Error-Code": "RepoNotFound"}),
    "other": (404, {"X-Error-Code": "RevisionNotFound"}),
    "broken": (503, {}),
    "page": (200, {}),
}


class _Hub(BaseHTTPRequestHandler):
    """Answers for each model of `_ANSWERS` with its status, and with a page."""

    def do_GET(self) -> None:
        asked = (answer for name, answer in _ANSWERS.items() if f"me/{name}" in self.path)
        status, headers = next(asked, (404, {}))
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")

    do_HEAD = do_GET  # noqa: N815 - as the library calls it

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def _refused(name: str, revision: str | None = None) -> CheckpointError:
    with pytest.raises(CheckpointError) as raised:
        hub.snapshot(name, revision)
    return raised.value


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("locked", "answered with status 401 (page).", ""),
        ("unknown", "shows no model of that name.", "Check the name"),
        ("gated", "gives it only to users whom its owner admitted.", "hf auth login"),
        ("other", "has no revision 'v2' of it.", "Check the revision"),
        ("broken", "answered with status 503", ""),
        ("page", "gave an unexpected answer (", "in a browser"),
    ],
)
def test_the_hubs_answer_is_told(
    name: str, words: str, hint: str, server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    error = _refused(f"me/{name}", "v2" if name == "other" else None)
    assert error.title.startswith(f"'me/{name}' is no local directory, and ")
    assert server in error.title
    assert words in error.title
    assert hint in error.hint
    assert bool(hint) == bool(error.hint)


def test_a_hub_that_is_not_asked_is_not_blamed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    error = _refused("me/model")
    assert f"the hub's cache {cache} does not hold it" in error.title
    assert error.title.endswith("the hub was not asked (HF_HUB_OFFLINE is set).")
    assert "HF_HUB_OFFLINE" in error.hint


def test_a_hub_that_gives_no_answer_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "http://127.0.0.1:9"  # the port that discards; nothing listens
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", nobody)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    error = _refused("me/model")
    assert (
        f"{cache} does not hold it; the hub {nobody} gave no answer (ConnectError: " in error.title
    )
    assert not error.hint, "no cause was tested"


def test_a_part_of_a_model_is_called_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = cache / "models--me--model"
    (model / "snapshots" / _SHA).mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(_SHA)
    (model / "trees").mkdir()
    listed = {"format_version": 1, "files": {"model.safetensors": {"size": 4, "blob_id": "a"}}}
    (model / "trees" / f"{_SHA}.json").write_text(json.dumps(listed))
    assert "holds only part of it" in _refused("me/model").title


def test_a_download_brings_templates_tokenisers_and_a_models_own_code(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.utils._paths import filter_repo_objects

    offered = [
        "config.json", "tokenizer.json", "tokenizer.model", "merges.txt", "qwen.tiktoken",
        "chat_template.jinja", "modeling_own.py", "model-00001-of-00001.safetensors",
        "pytorch_model.bin", "consolidated.safetensors", "original/params.json", "README.md",
        "model.Q4_K_M.gguf",
    ]  # fmt: skip

    def download(repository: str, **wanted: Any) -> str:
        wanted.pop("revision")
        for name in filter_repo_objects(offered, **wanted):
            (cache / str(name)).parent.mkdir(exist_ok=True)
            (cache / str(name)).touch()
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    brought = {str(file.relative_to(cache)) for file in hub.snapshot("me/own", None).rglob("*.*")}
    assert brought == {*offered[:8]}
