"""What lies beside a database is as open as the database, not more."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.engine.measurement import Artifact, UnitResult
from storage.access import Access
from storage.database import Database
from storage.sink import RunSink
from tests.storage.conftest import unit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The most open one, so that nothing is shut by luck."""
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mode", "folder"), [(0o600, 0o700), (0o640, 0o750), (0o664, 0o775)])
def test_artifacts_are_as_open_as_the_database(
    db: Database, begin: Callable[..., RunSink], mode: int, folder: int
) -> None:
    db.path.chmod(mode)
    artifact = Artifact(name="rates", arrays={"rate": np.arange(3.0)})
    begin().save(unit("a"), UnitResult(artifacts=[artifact]), 1.0)
    below = sorted(db.folder("artifacts").rglob("*"))
    assert [_mode(path) for path in below] == [folder, mode]
    assert _mode(db.folder("artifacts")) == folder


def test_a_database_that_was_shut_shuts_what_is_written_next(
    db: Database, begin: Callable[..., RunSink]
) -> None:
    sink = begin()
    sink.save(unit("a"), UnitResult(artifacts=[Artifact(name="a", arrays={"x": np.ones(1)})]), 1.0)
    db.path.chmod(0o600)
    sink.save(unit("b"), UnitResult(artifacts=[Artifact(name="b", arrays={"x": np.ones(2)})]), 1.0)
    assert _mode(db.folder("artifacts")) == 0o700, "none of them can be reached any more"


def test_a_log_is_as_open_as_the_database(db: Database, tmp_path: Path) -> None:
    db.path.chmod(0o640)
    db.access.make_folder(tmp_path / "logs")
    log = tmp_path / "logs" / "x.log"
    db.access.make_file(log)
    assert (_mode(log.parent), _mode(log)) == (0o750, 0o640)
    log.chmod(0o666)
    log.write_text("said")
    db.access.make_file(log)
    assert (_mode(log), log.read_text()) == (0o640, "said")


def test_another_group_is_given_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, user: int, group: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    group = (tmp_path / "a").parent.stat().st_gid
    Access(0o660, group + 1).make_file(tmp_path / "x")
    assert _mode(tmp_path / "x") == 0o600
    Access(0o660, group).make_file(tmp_path / "y")
    assert _mode(tmp_path / "y") == 0o660


def test_a_folder_keeps_handing_its_group_on(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    Access(0o660, shared.stat().st_gid).make_folder(shared / "x.artifacts")
    assert _mode(shared / "x.artifacts") == 0o2770
