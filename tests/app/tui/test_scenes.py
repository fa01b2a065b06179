"""Every screen at both sizes, in both themes, as it was agreed on: see the portraits.

`pytest tests/app/tui/test_scenes.py --snapshot-update` makes them anew; what changed is to be read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.strip import Strip

from app.config import Config
from app.tui import theme
from app.tui.app import TauscopeApp
from app.tui.widgets.pane import Pane
from storage.database import Database
from tests.app.tui.display import LARGE, SMALL, assert_inside, visible
from tests.app.tui.portraits import portrait
from tests.app.tui.scenes import SCENES, Scene, fixed, furnished, settled, shelved, shown


class TextFile(SingleFileSnapshotExtension):
    """A portrait a file."""

    _write_mode = WriteMode.TEXT
    _file_extension = "txt"


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    """Times of day are those of Greenwich."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="module")
def furniture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with pytest.MonkeyPatch.context() as patch:
        fixed(patch)
        db = furnished(tmp_path_factory.mktemp("scenes"))
    yield db
    db.close()


def strips(app: TauscopeApp) -> list[Strip]:
    return app.screen._compositor.render_strips(app.size)


def assert_sound(app: TauscopeApp) -> None:
    """What holds of every screen: it fits, says how to get help, and cuts none of its titles."""
    rows = visible(app)
    assert len(rows) == app.size.height
    assert {cell_len(row) for row in rows} == {app.size.width}
    assert_inside(app.screen)
    if app.screen.is_modal:
        return
    assert " ? help " in rows[-1]
    titles = [rows[0], *(rows[p.region.y] for p in app.screen.query(Pane) if p.region)]
    assert [title for title in titles if "…" in title] == []


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_scene(
    scene: Scene,
    size: tuple[int, int],
    furniture: Database,
    snapshot: SnapshotAssertion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed(monkeypatch)
    monkeypatch.chdir(tmp_path)
    shelved(monkeypatch)
    for name in ("study.toml", "other.toml"):
        (tmp_path / name).touch()
    app = TauscopeApp(str(tmp_path / "none.db") if scene.empty else furniture.url, Config())
    async with app.run_test(size=size) as pilot:
        await shown(pilot, app, scene)
        assert_sound(app)
        dark, dark_colours = strips(app), dict(app.theme_variables)
        app.theme = theme.LIGHT.name
        await settled(pilot, app)
        light, light_colours = strips(app), dict(app.theme_variables)
    drawn = portrait(dark, light, (dark_colours, light_colours))
    assert drawn == snapshot(extension_class=TextFile)
