"""Work that blocks, done in a thread; its answer is handed back on the thread of the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from textual.dom import DOMNode
from textual.worker import Worker, get_current_worker

from app.commands import completed
from core.errors import RunError, TauscopeError, reason

Answer = TypeVar("Answer")
Trouble = TauscopeError | OSError
"""The errors that a thread may report."""


def in_thread(
    node: DOMNode,
    work: Callable[[], Answer],
    then: Callable[[Answer], Any] | None = None,
    *,
    refused: Callable[[Trouble], Any] | None = None,
    group: str,
    exclusive: bool = True,
) -> Worker[None]:
    """Call `then` with the result of `work`, or `refused` with its error; an unexpected error is
    reported as a bug in tauscope. `exclusive`: drop the results and errors of earlier work of this
    group."""

    def hand(to: Callable[[Any], Any] | None, given: object) -> None:
        if to is not None and not get_current_worker().is_cancelled:
            node.call_later(to, given)

    def doing() -> None:
        try:
            result = work()
        except (TauscopeError, OSError) as error:
            hand(refused, error)
        except Exception as error:
            if refused is None:
                raise
            words = f"{type(error).__name__}: {reason(error)}"
            hand(refused, RunError(words, hint="This is a bug in tauscope."))
        else:
            hand(then, result)

    return node.run_worker(
        doing, thread=True, group=group, exclusive=exclusive, exit_on_error=False
    )


def busy(node: DOMNode, group: str) -> bool:
    """Is a thread of this group still working for the node? None can be stopped, so a second order
    would act twice; and a reading that is repeated too early would never end."""
    return any(w.group == group and w.node is node and not w.is_finished for w in node.workers)


def said(error: Trouble, between: str = " ") -> str:
    """The error and its remedy."""
    title, hint = getattr(error, "title", str(error)), getattr(error, "hint", "")
    return completed(between.join(filter(None, (title, hint))))
