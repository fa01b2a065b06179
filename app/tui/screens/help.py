"""Help for the screen beneath: its keys from the registry, and how to read its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from app.results import reading
from app.text import plain
from app.tui.keys import IN_DIALOGS, Where, actions, bindings
from app.tui.screens.leaving import Dialog

if TYPE_CHECKING:
    from core.engine.measurement import MetricSpec
    from core.figures.views import View

HEADINGS: dict[Where, str] = {
    "runs": "Runs",
    "library": "Library",
    "run": "This run",
    "overview": "In the overview of a run",
    "compare": "Comparing two runs",
    "builder": "A new study",
    "bench": "On the bench",
    "prompt": "While you type a prompt",
    "figure": "In a figure",
    "app": "Everywhere",
    "facts": "In the facts of a run",
    "filter": "In the filter of a run",
    "dialog": "In a dialog",
    "typing": "While you type in a dialog or a filter",
    "models": "Choosing from a list",
    "confirm": "A question",
    "help": "In this help",
    "jump": "While letters are shown to jump",
    "copy": "Copying",
    "export": "Exporting",
    "pick": "Choosing one of several",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A text before the keys: a heading and its paragraphs."""

    heading: str
    paragraphs: tuple[str, ...]


OVERVIEW_TOPIC = Topic(
    "Overview",
    (
        "A card for each tuned model: how far it moved and where, its gains and its losses.",
        "The small chart is the relative norm by layer, on one scale for all cards.",
        "moved: the norm of the change, divided by the norm of the base.",
        "directions: alignment with the base's directions, beyond chance.",
        "new: amplification of directions, beside chance.",
        "neurons: distance of activation patterns from the base's, 1 for unlike documents.",
        "own domain: the most certain gain. elsewhere: the most certain loss.",
        "texts: change of the loss on the probe set, in nats per token.",
        "Findings exceed chance and the effect of any control. The largest comes first.",
        "enter opens the figure of the selected finding or card.",
    ),
)


def keys_table(places: Sequence[Where]) -> Content:
    """All keys of these places, by place."""
    blocks = []
    for place in places:
        rows = [Content.styled(HEADINGS[place], "bold $accent")]
        pairs = dict.fromkeys((action.shown, action.help) for action in actions(place))
        rows += [_row(shown, words) for shown, words in pairs]
        blocks.append(Content("\n").join(rows))
    return Content("\n\n").join(blocks)


def pane_topics(
    view: View, spec: MetricSpec | None, analysis: str = "", note: str = "", readout: str = ""
) -> list[Topic]:
    """How to read a picture: its note, its measure, and the words of its readout."""
    paragraph = reading.paragraph(analysis, view.title)
    topics = [Topic(view.title, (paragraph or view.caption, note))]
    if spec is not None:
        unit = f"Unit: {spec.unit}." if spec.unit else ""
        better = _BETTER.get(spec.better, f"{spec.better.capitalize()} is better.")
        empty = f"Empty where {spec.empty}." if spec.empty else ""
        topics.append(Topic(spec.title, (spec.description, unit, better, empty)))
    meanings = tuple(f"{word}: {meaning}." for word, meaning in reading.words(readout).items())
    return [*topics, Topic("Under the cursor", meanings)] if meanings else topics


_BETTER = {"neither": "", "metric": "The heading says which direction is better."}


def _row(shown: str, words: str) -> Content:
    pad = " " * max(1, 12 - cell_len(shown))
    return Content.assemble("  ", (shown, "bold"), pad, words)


class HelpScreen(Dialog[None]):
    """All keys of the places beneath, and of dialogs."""

    DEFAULT_CSS = """
    HelpScreen > .box { width: 76; height: 90%; scrollbar-size-vertical: 1; }
    HelpScreen Static { margin-bottom: 1; }
    """
    BINDINGS = bindings("help")

    def __init__(self, places: Sequence[Where], topics: Sequence[Topic] = ()) -> None:
        super().__init__()
        self.places = (*places, *IN_DIALOGS)
        self.topics = tuple(topics)

    def compose(self) -> ComposeResult:
        with self.box(VerticalScroll, "help"):
            for topic in self.topics:
                words = "\n".join(plain(p) for p in topic.paragraphs if p)
                yield Static(Content.assemble((plain(topic.heading), "bold $accent"), "\n", words))
            yield Static(keys_table(self.places), id="keys")

    def action_down(self) -> None:
        """Scroll a line down."""
        self.query_one(VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll a line up."""
        self.query_one(VerticalScroll).scroll_up(animate=False)
