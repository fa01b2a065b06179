"""The bench: models of a study side by side on a prompt, live.

Owns the typed texts and the requests. `widgets.board` shows the columns, and a `Conversation` talks
to the worker; no key waits for it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static, TextArea

from app.text import plain
from app.tui.bench import position, settings
from app.tui.bench.board import MEANINGS, Board
from app.tui.bench.conversation import Conversation
from app.tui.bench.link import Opening
from app.tui.bench.settings import Settings
from app.tui.data import DataSource
from app.tui.keys import Where, bindings, with_keys, written
from app.tui.memory import BenchPosition, Memory
from app.tui.screens.bench_columns import ColumnKeys
from app.tui.screens.bench_keeping import KeepingKeys
from app.tui.screens.bench_prompts import PromptKeys
from app.tui.screens.help import Topic
from app.tui.widgets.bar import Piece, Row, two_ends
from app.tui.widgets.bench_line import held
from app.tui.widgets.board import BoardView
from app.tui.widgets.lens import LensView, NeuronList
from app.tui.widgets.prompt import PromptArea
from core.bench.messages import (
    Differing,
    Event,
    Failed,
    Generate,
    LensGrid,
    Prompt,
    Request,
    Score,
    Tokens,
    Warned,
)

FRAME = 1 / 15
"""The least seconds between two paintings of answers: a remote terminal receives each."""
REST = 0.15
"""Seconds without a letter before a typed text is scored."""
NOTED = 0.5
"""Seconds until a change is remembered."""
HINT = "No answer yet. Press {prompt.send} in the prompt to ask every column."
PROMPT = "Type a prompt; {prompt.send} runs it, {prompt.line} begins a new line."
TOPICS = (
    Topic(
        "The bench",
        (
            "Every column is a model. All columns answer the same prompt.",
            "{bench.mode} switches between generating texts and scoring one text.",
            "The generated text of the selected column becomes the text to score.",
            "λ scales a tuning vector: 0 is the base, 1 the tuned model.",
            "A change to a column starts a new answer at once and cancels the current one.",
        ),
    ),
    Topic(
        "Shading of a scored text",
        (
            "change: the log-probability of a token minus its log-probability under the reference.",
            "KL: the divergence of the column's prediction from the reference's, in nats.",
            "log p: the log-probability itself.",
        ),
    ),
)


class BenchScreen(ColumnKeys, PromptKeys, KeepingKeys):
    """A prompt, the columns, and their state."""

    PLACE = "bench"
    BINDINGS = bindings("bench")
    AUTO_FOCUS = "#prompt"
    DEFAULT_CSS = """
    BenchScreen > .ask { height: auto; background: $background; }
    BenchScreen .name { width: 9; padding: 0 1; color: $muted; }
    BenchScreen > #status { background: $surface; }
    """

    def __init__(
        self, source: DataSource, opening: Opening, chance: random.Random | None = None
    ) -> None:
        super().__init__()
        self.source, self.opening = source, opening
        columns = opening.columns or opening.first or ("base", *opening.tuned)
        self.board = Board(opening.tuned, columns)
        self.view = BoardView(self.board)
        self.view.hint = with_keys(HINT)
        self.talk = Conversation(opening.connect, self._heard, self._stands)
        self.settings = Settings(alone=opening.alone)
        self.lens, self.neurons = LensView(), NeuronList()
        self.scoring = bool(opening.continuation)
        self.chance = chance or random.Random()
        self.prompts: tuple[dict[str, str], ...] = ()
        self.earlier: list[str] = []
        self._stood = ""
        """The worker's state that was shown last."""
        self._due = False
        self._frame: Timer | None = None
        self._resting: Timer | None = None
        self._noting: Timer | None = None

    def body(self) -> ComposeResult:
        with Horizontal(classes="ask"):
            yield Static("prompt", classes="name")
            yield PromptArea("prompt", with_keys(PROMPT))
        with Horizontal(classes="ask", id="then"):
            yield Static("then", classes="name")
            yield PromptArea("continuation", "The text to score under each column.")
        yield Row(self._status, id="status")
        yield self.view
        yield self.lens
        yield self.neurons

    def on_mount(self) -> None:
        self.prompt.past = list(self.home.memory.prompts)
        self.prompt.text, self.continuation.text = self.opening.prompt, self.opening.continuation
        self._return()
        for each in (self.prompt, self.continuation):
            each.move_cursor(each.document.end)
        self.query_one("#then").display = self.scoring
        self.begin()
        if self.opening.prompt or self.opening.continuation:
            self.ask()
        if self.opening.note:
            self.notify(self.opening.note, severity="warning", timeout=6, markup=False)

    def _return(self) -> None:
        """Stand as this bench was left; the value that it is opened on comes first."""
        opening, left = self.opening, self.home.memory.benches.get(self.opening.key)
        if left is None:
            return
        self.earlier = position.earlier(left, opening.tuned)
        setups = position.setups(left, opening.tuned)
        if opening.columns:
            self.leave_behind(*(each.name for each in left.columns))
        elif setups:
            self.board.restore(setups, left.reference)
        how = position.settings_of(left)
        if opening.prompt or opening.continuation:  # an item has its template already
            self.settings = replace(how, template=False, system="", alone=opening.alone)
            if opening.after:
                self.settings, self.prompt.text = how, left.prompt
        else:
            self.settings = how
            self.prompt.text, self.continuation.text = left.prompt, left.continuation
            self.scoring = left.scoring

    def placed(self, memory: Memory) -> Memory:
        """The bench as it stands, for the next time."""
        left = BenchPosition(
            columns=position.columns_of(self.board), reference=self.board.reference,
            earlier=tuple(self.earlier[-position.MOST :]), prompt=self.prompt.text,
            continuation=self.continuation.text, scoring=self.scoring,
            settings=settings.typed(self.settings),
        )  # fmt: skip
        return position.remembered(memory, self.opening.key, left)

    def note(self) -> None:
        """Remember soon how the bench stands: a kill loses the last moment alone."""
        if self._noting is None:
            self._noting = self.set_timer(NOTED, self._remember)

    def _remember(self) -> None:
        self._noting = None
        self.home.remember(self.placed(self.home.memory))

    def begin(self) -> None:
        """Start the talk with the worker, or with a new one."""
        self.talk.begin()
        self.run_worker(self.talk.run(), group="bench", exclusive=True, exit_on_error=False)

    @property
    def prompt(self) -> PromptArea:
        """Where the prompt is typed."""
        return self.query_one("#prompt", PromptArea)

    @property
    def continuation(self) -> PromptArea:
        """Where the text to score is typed."""
        return self.query_one("#continuation", PromptArea)

    # Asking

    def given(self) -> Prompt:
        """The prompt as it is sent."""
        how = self.settings
        return Prompt(
            text=self.prompt.text, system=how.system, template=how.template, alone=how.alone
        )

    def request(self) -> Score | Generate | None:
        """The request of the screen as it is; None without columns or without a text to score."""
        given, names = self.given(), self.board.names
        if not names:
            return None
        if self.scoring:
            text = self.continuation.text
            if not text:
                return None
            return Score(
                prompt=given, continuation=text, columns=names, against=self.board.reference
            )
        how = self.settings
        return Generate(
            prompt=given, columns=names, tokens=how.tokens, temperature=how.temperature,
            top_p=how.top_p, seed=how.seed, stop=how.stop,
        )  # fmt: skip

    def ask(self) -> None:
        """Ask every column. This ends the request before."""
        self._rest()
        self.note()
        request = self.request()
        if request is not None:
            self.board.begin(request)
            self.talk.ask(request)
            if not self.view.display:
                self.look(self.view)
            self.view.update()

    def ask_again(self) -> None:
        """Ask every column again after a change, if they were asked before."""
        if self.board.request is not None:
            self.ask()
        self.note()
        self.view.update()
        self.renew()

    def _rest(self) -> None:
        if self._resting is not None:
            self._resting.stop()
            self._resting = None

    def on_prompt_area_sent(self) -> None:
        self.home.remember(self.home.memory.model_copy(update={"prompts": tuple(self.prompt.past)}))
        if self.scoring and not self.continuation.text:
            self.set_focus(self.continuation)
        else:
            self.ask()

    def on_prompt_area_escaped(self, message: PromptArea.Escaped) -> None:
        """Go to the columns, where the key acts."""
        self.action_back()
        self.app.post_message(message.key)

    def on_prompt_area_left(self, message: PromptArea.Left) -> None:
        """Go to the field or the column above or below."""
        if message.by > 0:
            self.action_next_tab()
        elif self.focused is self.continuation:
            self.set_focus(self.prompt)

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """A scored text is scored anew when the typing rests."""
        self.note()
        self._rest()
        if self.scoring and isinstance(self.board.request, Score):
            self._resting = self.set_timer(REST, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if self.scoring and self.request() != self.board.request:
            self.ask()

    def _heard(self, asked: Request, event: Event) -> None:
        """Take an event, and paint at most once in a frame."""
        if isinstance(asked, Score | Generate):
            self.board.take(event)
        else:
            self._look_into(event)
        if isinstance(event, Failed) and not event.cancelled:
            words = "\n".join(plain(each) for each in (event.title, event.hint) if each)
            self.notify(words, severity="error", timeout=10, markup=False)
        elif isinstance(event, Warned):
            self.notify(plain(event.message), severity="warning", timeout=8, markup=False)
        self._due = True
        if self._frame is None:
            self._paint()

    def _look_into(self, event: Event) -> None:
        """Show an answer about one column: the lens or the neurons."""
        match event:
            case Tokens():
                self.lens.tokens = event
            case LensGrid():
                self.lens.show(event)
            case Differing():
                self.neurons.fill(event.neurons)
            case Failed(title=title):
                self.lens.refuse(title)
                self.neurons.empty = plain(title)
                self.neurons.fill(())

    def _paint(self) -> None:
        self._frame = None
        if self._due:
            self._due = False
            self.view.update()
            self.renew("title", "status", "keys")
            self._frame = self.set_timer(FRAME, self._paint)

    def _stands(self) -> None:
        """Show the worker's new state."""
        if not self.is_mounted:
            return
        before, state = self._stood, self.talk.state
        self._stood = state
        if state == "ended" and before != state and self.talk.error is not None:
            self.refuse(self.talk.error)
        if not self.talk.runs and self.board.busy:
            self.board.take(Failed(title="", cancelled=True))
            self.view.update()
        self.renew("title", "status", "keys")

    # Rows

    def title_line(self, width: int) -> Content:
        """The study, and the state of its worker."""
        left = [(" bench ", "bold $accent"), (self.opening.title, "bold")]
        return two_ends(left, self._worker(), width)

    def _worker(self) -> list[Piece]:
        talk = self.talk
        memory = held(talk.held)
        again = written("bench.resume")
        if talk.stopping:
            return [("stopping the worker… ", "$warning")]
        match talk.state:
            case "starting" | "loading":
                return [(f"{talk.step or 'starting the worker'}… ", "$warning")]
            case "ended":
                return [(f"the worker ended; {again} starts it again ", "bold $error")]
            case "stopped":
                return [(f"stopped; {again} starts it again ", "$warning")]
        state = "answering" if talk.due else "ready"
        return [(f"{state} · {memory} " if memory else f"{state} ", "$muted")]

    def _status(self, width: int) -> Content:
        """How the columns are asked, and their progress."""
        view = self.view
        if self.scoring:
            left = f" score · shade: {MEANINGS[view.measure]} · {self.settings.chat}"
        else:
            left = f" generate · {self.settings.words}"
        if view.blind:
            count = sum(view.blind.counts)
            left = f" blind · press the number of the better column · {count} preferred"
        if self.neurons.display:
            first, second = self.neurons.names
            left = f" the neurons at this token that differ most: {first} and {second}"
        return two_ends([(left, "$muted")], self._progress(), width)

    def _progress(self) -> list[Piece]:
        board = self.board
        if board.trouble is not None and not board.trouble.cancelled:
            return [(f"! {board.trouble.title} ", "bold $error")]
        if board.trouble is not None:
            return [("cancelled ", "$warning")]
        if board.warnings:
            return [(f"! {board.warnings[-1]} ", "$warning")]
        if board.step and self.view.blind is None:  # a step names a model
            return [(f"{board.step}… ", "$warning")]
        return [(f"{board.seconds:.2f} s ", "$muted")] if board.seconds is not None else []

    def topics(self) -> Sequence[Topic]:
        """How to read the bench."""
        return [
            replace(topic, paragraphs=tuple(map(with_keys, topic.paragraphs))) for topic in TOPICS
        ]

    def places(self) -> tuple[Where, ...]:
        """The places whose keys act here."""
        return ("bench", "prompt", "app")
