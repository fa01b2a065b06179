"""The user's settings: what is taken, and one clear error for everything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app import config
from app.cli.doctor import examine
from app.config import Config
from core.errors import StudyError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    made = tmp_path / "tauscope" / "config.toml"
    made.parent.mkdir()
    return made


def test_without_a_file_there_are_the_defaults(file: Path) -> None:
    assert config.path() == file
    assert config.read() == Config()


def test_all_settings_are_taken(file: Path) -> None:
    file.write_text('theme = "light"\n[keys]\n"run.view" = "w,ctrl+w"\n')
    settings = config.read()
    assert settings.theme == "light"
    config.check_keys(settings, ["run.view"])


def test_folders_are_relative_to_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    file.write_text('folders = ["~/models", "/scratch", "runs"]')
    assert config.read().folders == [
        "/home/somebody/models",
        "/scratch",
        str(file.parent / "runs"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('thme = "dark"', "no setting 'thme'. Did you mean 'theme'?"),
        ('theme = "blue"', "theme: Input should be 'dark' or 'light'"),
        ("theme = ", "not valid TOML"),
        ("keys = 3", "keys: "),
        ("folders = 3", "folders: "),
        ('folders = ["~nobody-of-this-name/x"]', "no home folder for ~nobody"),
        ("keys = { a = 1 }", "keys.a: "),
    ],
)
def test_what_is_wrong_is_one_sentence_about_the_file(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(StudyError) as caught:
        config.read()
    assert str(file) in caught.value.title
    assert expected in f"{caught.value.title} {caught.value.hint}"


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="can't be read"):
        config.read()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [({"run.veiw": "w"}, "Did you mean 'run.view'?"), ({"run.view": "w,"}, "keys of 'run.view'")],
)
def test_keys_are_for_actions_that_there_are(keys: dict[str, str], expected: str) -> None:
    with pytest.raises(StudyError) as caught:
        config.check_keys(Config(keys=keys), ["run.view", "run.zoom"])
    assert expected in f"{caught.value.title} {caught.value.hint}"


def test_doctor_names_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.doctor._devices", dict)
    assert examine(str(file.parent / "none.db"))["settings"] == {
        "file": str(file),
        "state": "not made yet",
    }
    file.write_text("theme = 1")
    assert "can't be used" in examine(str(file.parent / "none.db"))["settings"]["state"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'folders = ["/a b/ü"]\n'),
        ('[keys]\n"run.view" = "w"\n', 'folders = ["/a b/ü"]\n[keys]\n"run.view" = "w"\n'),
        (
            '# mine\nfolders = [\n  "runs",  # here\n]\ntheme = "dark"\n',
            '# mine\nfolders = ["runs", "/a b/ü"]\ntheme = "dark"\n',
        ),
    ],
)
def test_a_folder_is_added_and_the_rest_of_the_file_stays(
    file: Path, before: str, after: str
) -> None:
    file.write_text(before, encoding="utf-8")
    assert config.add_folder(Path("/a b/ü")).folders[-1] == "/a b/ü"
    assert file.read_text(encoding="utf-8") == after


def test_a_link_to_the_file_stays_one(file: Path) -> None:
    own = file.with_name("dotfile")
    file.symlink_to(own)
    assert config.add_folder(Path("/a")).folders == ["/a"]
    assert file.is_symlink()
    assert own.read_text() == 'folders = ["/a"]\n'


def test_a_folder_whose_path_is_no_text_is_refused(file: Path) -> None:
    with pytest.raises(StudyError, match="bytes that are not UTF-8"):
        config.add_folder(Path(os.fsdecode(b"/m\xff")))
    assert not file.exists()


@pytest.mark.parametrize("text", ['folders = ["a]b"]\n', '"folders" = ["a"]\n'])
def test_a_file_that_a_folder_can_not_be_added_to_stays(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(StudyError, match="can't be added") as raised:
        config.add_folder(Path("/new"))
    assert "/new" in raised.value.hint
    assert file.read_text() == text
