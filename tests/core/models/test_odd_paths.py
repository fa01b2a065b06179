"""Paths that no text, no file system or no system call can hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.drafts import building, ready, studyfile
from app.drafts.building import Draft
from app.jobs import launcher
from app.results.figures import file_name
from core.errors import CheckpointError, StorageError, StudyError
from core.models import checkpoint, headers
from core.study import intake
from storage.database import open_database, path_of
from tests.patience import PATIENCE

ODD = os.fsdecode(b"m\xffd")
LONG = [f"{'n' * 300}", f"a/{'n' * 300}", f"./{'n' * 5000}", f"/{'n/' * 3000}", "a\x00b", "/a\x00b"]


def test_a_folder_whose_name_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ODD).mkdir()
    with pytest.raises(StudyError, match="contains bytes that are not UTF-8") as caught:
        intake.of_models(str(tmp_path), [str(tmp_path / ODD)])
    assert "Rename" in caught.value.hint
    study = tmp_path / ODD / "x.toml"
    study.write_text('name = "a"\n[models]\nbase = "./b"\ntuned = { t = "./t" }\n')
    with pytest.raises(StudyError, match="contains bytes that are not UTF-8"):
        intake.read(study)


@pytest.mark.parametrize("path", LONG, ids=range(len(LONG)))
def test_a_path_that_there_can_be_none_of_is_one_clear_error(path: str) -> None:
    with pytest.raises(CheckpointError):
        checkpoint.locate(path)
    with pytest.raises(StudyError, match="There is no study file"):
        ready.find(Path(path))
    study = intake.of_models("base", ["tuned"])
    models = study.models.model_copy(
        update={"base": study.models.base.model_copy(update={"path": path})}
    )
    if path.startswith((".", "/")):
        with pytest.raises(CheckpointError, match="There is no directory"):
            launcher.check(study.model_copy(update={"models": models}))


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "../x", "a\x00b", "", "\ud800"])
def test_a_shard_of_no_possible_name_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    index = json.dumps({"weight_map": {"a": name}})
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"index\.json names"):
        headers.check(tmp_path)


def test_a_database_of_no_possible_name() -> None:
    with pytest.raises(StorageError, match="null character"):
        path_of("a\x00b")


def test_a_circle_of_links_is_one_clear_error(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    draft = building.changed(building.with_model(Draft(), "tuned"), "models.base.path", "base")
    with pytest.raises(StudyError, match=r"x\.toml can't be written"):
        studyfile.save(draft, circle / "x.toml")
    for path in (circle, circle / "x.db"):
        with pytest.raises(StorageError):
            open_database(str(path))


def test_files_of_figures_have_names_that_are_short_and_stay_in_their_folder() -> None:
    assert file_name("alignment-write-math-s1@500"[:-4]) == "alignment-write-math-s1"
    names = ["x" * 300, "x" * 301, "../../x", "a/b", "a\\b", "a\x00b", "é", ODD, "a b", "a_b"]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all(
        len(name) < 200 and name.isascii() and not set(name) & set("/\\\x00") for name in files
    )
    assert file_name("a_b") == "a_b"


_PORTAL = b"<!DOCTYPE html><html><body>Sign in to use the Wi-Fi</body></html>"


class _Portal(BaseHTTPRequestHandler):
    """Answers everything with its page, as the network of a hotel does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_PORTAL)))
        self.end_headers()
        self.wfile.write(_PORTAL)

    do_HEAD = do_GET  # noqa: N815 - as the library calls it

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


_ASKED = """
from core.models import checkpoint
from core.errors import CheckpointError
try:
    checkpoint.locate("some/model")
except CheckpointError as error:
    print(error.title)
"""


def test_a_page_instead_of_the_hubs_answer_is_one_clear_error(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Portal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            **os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path),
        }  # fmt: skip
        asked = subprocess.run(
            [sys.executable, "-c", _ASKED], env=environment, capture_output=True, text=True,
            timeout=PATIENCE, check=True,
        )  # fmt: skip
        server.shutdown()
    assert "'some/model' is no local directory, and the hub http://127.0.0.1:" in asked.stdout
    assert "gave an unexpected answer (" in asked.stdout
