"""What else is known of a run: its error, its warnings, where it ran. Scrolls; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from app.text import plain
from app.tui import wording

if TYPE_CHECKING:
    from storage.runs import RunSummary


class Facts(VerticalScroll, can_focus=True):
    """The last tab of a run."""

    DEFAULT_CSS = """
    Facts { padding: 1 2; scrollbar-size-vertical: 1; }
    Facts > Static { margin-bottom: 1; }
    """

    def compose(self) -> list[Static]:  # type: ignore[override]
        return [Static("Reading…", markup=False)]

    def show(self, run: RunSummary, warnings: Sequence[Any]) -> None:
        """Say it all."""
        now = wording.now()
        parts = [_section("Run", list(_facts(run, now)))]
        if run.error_title:
            parts.insert(0, _error(run))
        parts.append(_warnings(warnings))
        self.query_one(Static).update(Content("\n\n").join(parts))

    def key_j(self) -> None:
        """Scroll on."""
        self.scroll_down(animate=False)

    def key_k(self) -> None:
        """Scroll back."""
        self.scroll_up(animate=False)


def _facts(run: RunSummary, now: Any) -> Sequence[tuple[str, str]]:
    tuned = ", ".join(m for m in run.models if m not in run.controls)
    return (
        ("study", run.name),
        ("id", run.id),
        ("status", run.status),
        ("models", tuned),
        ("controls", ", ".join(sorted(run.controls)) or "none"),
        ("analyses", ", ".join(run.analyses).replace("_", " ")),
        ("units", f"{run.done} of {run.total}, {run.reused} reused from earlier runs"),
        ("created", _when(run.created)),
        ("started", _when(run.started)),
        ("finished", _when(run.finished)),
        ("took", wording.lasted(run, now)),
        ("host", f"{run.host} (process {run.pid})" if run.host else ""),
    )


def _section(heading: str, pairs: Sequence[tuple[str, str]]) -> Content:
    rows = [Content.styled(heading, "bold $accent")]
    for name, value in pairs:
        if value:
            rows.append(Content.assemble((f"  {name:<10} ", "$muted"), plain(value)))
    return Content("\n").join(rows)


def _error(run: RunSummary) -> Content:
    lines = [
        Content.styled("What went wrong", "bold $error"),
        Content("  " + plain(run.error_title)),
    ]
    if run.error_hint:
        lines.append(Content("  " + plain(run.error_hint)))
    return Content("\n").join(lines)


def _warnings(warnings: Sequence[Any]) -> Content:
    if not warnings:
        return Content.styled("No warnings.", "$muted")
    rows = [Content.styled("Warnings", "bold $warning")]
    for warning in warnings:
        subject, message = _parts(warning)
        rows.append(Content.assemble("  ", (plain(subject), "bold"), " ", plain(message)))
    return Content("\n").join(rows)


def _parts(warning: Any) -> tuple[str, str]:
    if isinstance(warning, tuple):
        return str(warning[0]), str(warning[1])
    return str(warning.subject), str(warning.message)


def _when(moment: Any) -> str:
    return wording.aware(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""
