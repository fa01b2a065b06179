"""Frames on the line: the newest of steps and pieces, and nothing else left out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.bench import wire
from app.bench.outbox import FRAME, MOST, Outbox
from core.bench.messages import Done, Failed, Piece, Scored, Step, Written


class Wire:
    """A writer and a loop whose clock the test turns."""

    def __init__(self) -> None:
        self.now, self.pending, self.lines = 0.0, 0, list[Any]()
        self.aborted = False
        self.transport = self
        self._timer: tuple[float, Any] | None = None

    def get_write_buffer_size(self) -> int:
        return self.pending

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def write(self, line: bytes) -> None:
        self.lines.append(wire.read_event(line)[1])

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, work: Any) -> Any:
        self._timer = (when, work)
        return self

    def cancel(self) -> None:
        self._timer = None

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        if self._timer is not None and self._timer[0] <= self.now:
            work, self._timer = self._timer[1], None
            work()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: wire)
    return wire


def _piece(column: int, text: str) -> Piece:
    return Piece(column=column, text=text, tokens=len(text))


def test_a_second_has_fifteen_frames_with_the_newest_pieces(line: Wire) -> None:
    box: Any = Outbox(line)  # type: ignore[arg-type]
    for millisecond in range(1000):
        box.put(1, _piece(0, "a" * millisecond))
        box.put(1, _piece(1, "b" * millisecond))
        line.pass_by(0.001)
    pieces = [piece for piece in line.lines if piece.column == 0]
    assert 14 <= len(pieces) <= 16
    assert len(line.lines) == 2 * len(pieces)
    assert [p.tokens for p in pieces] == sorted({p.tokens for p in pieces})
    line.pass_by(FRAME)
    assert line.lines[-2:] == [_piece(0, "a" * 999), _piece(1, "b" * 999)]


def test_finished_texts_scores_and_ends_go_at_once_and_all(line: Wire) -> None:
    box: Any = Outbox(line)  # type: ignore[arg-type]
    scored = Scored(column=0, logprobs=(), kl=(), likeliest=(), nll=0.0, nll_change=0.0)
    written = [Written(column=0, text=f"{n}", tokens=1, ended="end") for n in range(50)]
    box.put(1, Step(label="generates"))
    box.put(1, _piece(0, "old"))
    for each in written:
        box.put(1, each)
    box.put(1, scored)
    box.put(1, Done(seconds=1.0))
    assert line.lines == [*written, scored, Done(seconds=1.0)]
    line.pass_by(1.0)  # neither the step nor the piece comes after the end
    assert len(line.lines) == len(written) + 2


def test_the_text_of_a_cancelled_request_comes_before_its_end(line: Wire) -> None:
    box: Any = Outbox(line)  # type: ignore[arg-type]
    box.put(1, _piece(0, "so far"))
    box.put(2, _piece(0, "another"))
    box.put(1, Failed(title="Cancelled", cancelled=True))
    assert line.lines == [_piece(0, "so far"), Failed(title="Cancelled", cancelled=True)]


def test_a_full_line_gets_only_the_newest_frame_when_it_is_read_again(line: Wire) -> None:
    box: Any = Outbox(line)  # type: ignore[arg-type]
    line.pending = 1 << 20
    for number in range(100):
        box.put(1, _piece(0, f"{number}"))
        line.pass_by(FRAME)
    assert line.lines == []
    line.pending = 0
    line.pass_by(FRAME)
    assert line.lines == [_piece(0, "99")]


def test_a_client_that_does_not_read_is_given_up(line: Wire) -> None:
    box: Any = Outbox(line)  # type: ignore[arg-type]
    line.pending = MOST + 1
    box.put(1, Done(seconds=1.0))
    assert line.aborted
    box.put(2, Done(seconds=1.0))
    assert len(line.lines) == 1
