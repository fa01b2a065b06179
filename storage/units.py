"""Results of a finished unit. Only reads; knows no run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Connection, select

from core.engine.measurement import Artifact, UnitResult
from storage import artifacts as files
from storage import doubts
from storage.results import StoredArtifact, artifacts_of, read_rows, selected
from storage.rows import ColumnMisfitError, described
from storage.schema import UnitRow


def load(connection: Connection, folder: Path, key: str) -> UnitResult | None:
    """The results of a finished unit, None if there is no such unit. `folder`: the folder of
    artifacts; arrays are read on access."""
    state = connection.execute(select(UnitRow.state).where(UnitRow.key == key)).first()
    if state is None:
        return None
    if not isinstance(state[0], dict):
        raise ColumnMisfitError(f"it holds {described(state[0])} as state of a unit")
    rows = read_rows(connection.execute(selected(key)))
    return UnitResult(
        measurements=rows,
        artifacts=[
            Artifact(
                name=a.name, arrays=_Arrays(folder, a), model=a.model,
                reference=a.reference, layer=a.layer, task=a.task,
            )
            for a in artifacts_of(connection, key)
        ],
        state=state[0],
        warnings=doubts.of_unit(connection, key),
    )  # fmt: skip


class _Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of a file, read on first access."""

    def __init__(self, folder: Path, artifact: StoredArtifact) -> None:
        self._folder, self._artifact = folder, artifact

    @cached_property
    def _read(self) -> dict[str, NDArray[Any]]:
        return files.read(self._folder, self._artifact.stored, self._artifact.name)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._read  # a lookup of a missing array raises no KeyError

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)
