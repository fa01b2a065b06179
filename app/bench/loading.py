"""The models of a study in this process, for the bench. Imports the engine when it loads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from core.bench.messages import Event, Request
from core.study.study import Study

if TYPE_CHECKING:
    from core.engine.measurement import UnitResult
    from storage.database import Database


class Models(Protocol):
    """The loaded models (see `core.bench.bench.Bench`)."""

    def answer(
        self, request: Request, give: Callable[[Event], None], pause: Callable[[], None]
    ) -> None:
        """Answer a request; `pause` is called between two steps and may raise Cancelled."""

    @property
    def layers(self) -> int:
        """The number of layers."""

    @property
    def held(self) -> Mapping[str, int]:
        """Bytes by device."""


@contextlib.contextmanager
def loaded(study: Study, db: Database, say: Callable[[str], None]) -> Iterator[Models]:
    """The bench of a study. `db` has the results of its finished units, such as neurons' scores;
    `say` reports the step in hand. Raises InputError, StudyError."""
    from core.bench import bench
    from core.models.identity import Identities
    from storage.identities import Remembered
    from storage.units import load

    def result(key: str) -> UnitResult | None:
        with db.reading() as connection:
            return load(connection, db.folder("artifacts"), key)

    identities = Identities(memory=Remembered(db), say=say)
    _, opened = bench.open_bench(study, say=say, load=result, identities=identities)
    with opened:
        yield opened
