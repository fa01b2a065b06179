"""What is written whole or not at all, whoever is killed meanwhile."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.files import partial
from core.files.partial import DAY, MARK, appearing, placed, scratch, sweep, written
from tests.killing import die, killed, killed_at_rename

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")


def _write(path: Path, text: str) -> None:
    with written(path) as file:
        file.write(text)


def _make(folder: Path, text: str) -> None:
    with appearing(folder) as part:
        (part / "below").mkdir()
        (part / "below" / "a.txt").write_text(text)


def _parts(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if MARK in path.name]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    _write(path, "old")
    killed_at_rename(lambda: _write(path, "new"))
    assert path.read_text() == "old"
    assert len(_parts(tmp_path)) == 1
    _write(tmp_path / "another.txt", "x")
    assert not _parts(tmp_path)
    _write(path, "new")
    assert path.read_text() == "new"


def test_a_killed_maker_of_a_folder_leaves_none(tmp_path: Path) -> None:
    killed_at_rename(lambda: _make(tmp_path / "made", "new"))
    assert not (tmp_path / "made").exists()
    assert len(_parts(tmp_path)) == 1
    _make(tmp_path / "made", "new")
    assert not _parts(tmp_path)
    assert (tmp_path / "made" / "below" / "a.txt").read_text() == "new"


def test_scratch_goes_with_its_user_or_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def use() -> None:
        with scratch("offload") as folder:
            (folder / "weights.dat").write_bytes(b"x" * 100)
            die()

    assert killed(use)
    assert len(_parts(tmp_path)) == 1
    with scratch("offload") as folder:
        assert _parts(tmp_path) == [folder]
        assert _mode(folder) == 0o700
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [placed, appearing])
def test_what_a_living_process_writes_is_left_alone(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    reader, writer = os.pipe()
    back, go_on = os.pipe()
    child = os.fork()
    if not child:
        try:
            with make(tmp_path / "x") as part:  # type: ignore[attr-defined]
                os.write(writer, b"w")
                os.read(back, 1)
                if part.is_dir():
                    (part / "a").write_text("whole")
                else:
                    part.write_text("whole")
            os._exit(0)
        finally:
            os._exit(1)
    os.read(reader, 1)
    sweep(tmp_path)
    assert len(_parts(tmp_path)) == 1
    os.write(go_on, b"g")
    assert os.waitpid(child, 0)[1] == 0
    for descriptor in (reader, writer, back, go_on):
        os.close(descriptor)
    assert (tmp_path / "x").exists()
    assert not _parts(tmp_path)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError), written(tmp_path / "a") as file:
        file.writelines(["half", 1])  # type: ignore[list-item]
    assert not list(tmp_path.iterdir())


def test_what_another_host_left_is_waited_for_a_day(tmp_path: Path) -> None:
    part = tmp_path / f".a.txt{MARK}01234567-1-elsewhere"
    part.write_text("half")
    sweep(tmp_path)
    assert part.exists()
    os.utime(part, (time.time() - DAY - 1,) * 2)
    sweep(tmp_path)
    assert not part.exists()


def test_without_locks_a_process_that_lives_is_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "_lock", lambda descriptor: None)
    with placed(tmp_path / "a.txt") as part:
        sweep(tmp_path)
        assert part.exists()
    killed_at_rename(lambda: _write(tmp_path / "a.txt", "new"))
    assert len(_parts(tmp_path)) == 1
    sweep(tmp_path)
    assert not _parts(tmp_path)


def test_names_that_others_gave_are_left_alone(tmp_path: Path) -> None:
    others = (".a.partial-0123", ".a.tauscope-x", "a.tauscope-01234567-1-host", ".swp")
    for name in others:
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_link_with_the_name_of_a_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "a").write_text("x")
    link = tmp_path / f".x{MARK}01234567-999999999-{partial._host()}"
    link.symlink_to(tmp_path / "precious")
    sweep(tmp_path)
    assert (tmp_path / "precious" / "a").exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_what_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        _write(tmp_path / "a", "x")
        _make(tmp_path / "b", "x")
    finally:
        os.umask(before)
    assert _mode(tmp_path / "a") == mode
    assert _mode(tmp_path / "b") == mode | (mode & 0o444) >> 2


def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="it is a pipe or a device"), placed(tmp_path / name):
            pass
    assert {each.name for each in tmp_path.iterdir()} == {"pipe", "link"}


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    _write(path, "old")
    path.chmod(0o640)
    with placed(path) as part:
        assert _mode(part) == 0o640, "nobody else may read it before, either"
    assert _mode(path) == 0o640


def test_threads_that_write_leave_the_umask_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        threads = [
            threading.Thread(target=_write, args=(tmp_path / f"{i}-{j}", "x"))
            for i in range(8)
            for j in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert {_mode(path) for path in tmp_path.iterdir()} == {0o644}


def test_a_long_name_has_a_part_too(tmp_path: Path) -> None:
    name = "ä" * 120 + ".csv"
    _write(tmp_path / name, "x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("made", ["folder", "file"])
def test_a_part_that_is_swept_before_it_is_locked_is_made_again(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process clears up between the making of a part and its lock, twice."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    swept: list[Path] = []

    def clear() -> None:
        swept.extend(left := _parts(tmp_path) if len(swept) < 2 else [])
        sweep(tmp_path)
        assert not any(part.exists() for part in left)

    if made == "folder":
        mkdir = Path.mkdir

        def slow_mkdir(path: Path, *given: object) -> None:
            mkdir(path, *given)  # type: ignore[arg-type]
            if len(swept) < 2:
                clear()

        monkeypatch.setattr(Path, "mkdir", slow_mkdir)
        with scratch("task") as folder:
            assert folder.is_dir()
            assert _mode(folder) == 0o700
    else:
        opened = os.open

        def slow_open(path: object, flags: int, *given: int) -> int:
            descriptor = opened(path, flags, *given)  # type: ignore[arg-type]
            if flags & os.O_CREAT and len(swept) < 2:
                clear()
            return descriptor

        monkeypatch.setattr(os, "open", slow_open)
        with placed(tmp_path / "a.txt", mode=0o600) as part:
            part.write_text("whole")
        assert (tmp_path / "a.txt").read_text() == "whole"
        assert _mode(tmp_path / "a.txt") == 0o600
    assert len(swept) == 2
    assert not _parts(tmp_path)
