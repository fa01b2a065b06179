"""Work in threads: the answers that reach a screen, and in which order."""

from __future__ import annotations

import asyncio
import threading

import pytest
from textual.app import App

from app.tui.threads import Trouble, in_thread, said
from core.errors import RunError
from tests.app.tui.rest import until
from tests.patience import PATIENCE


class _Late:
    """Work that ends once it is let, later than the work after it."""

    def __init__(self, error: RunError | None = None) -> None:
        self.begun, self.let, self.ended = (threading.Event() for _ in range(3))
        self.error = error

    def __call__(self) -> str:
        self.begun.set()
        self.let.wait(PATIENCE)
        self.ended.set()
        if self.error is not None:
            raise self.error
        return "late"


@pytest.mark.parametrize("error", [None, RunError("The run is gone.")])
async def test_the_end_of_work_that_later_work_replaced_is_dropped(error: RunError | None) -> None:
    app, late, got = App[None](), _Late(error), list[str]()

    def refused(trouble: Trouble) -> None:
        got.append(said(trouble))

    async with app.run_test() as pilot:
        in_thread(app, late, got.append, refused=refused, group="one")
        await asyncio.to_thread(late.begun.wait, PATIENCE)
        in_thread(app, lambda: "later", got.append, refused=refused, group="one")
        in_thread(app, lambda: "of another group", got.append, refused=refused, group="two")
        await until(pilot, lambda: len(got) == 2)
        late.let.set()
        await asyncio.to_thread(late.ended.wait, PATIENCE)
        await pilot.pause(0.1)
    assert sorted(got) == ["later", "of another group"]
