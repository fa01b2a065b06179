"""The application: opens quickly, owns the themes and the palette of commands. Computes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, SystemCommand
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.screen import Screen
from textual.timer import Timer

from app import config as settings
from app.config import Config
from app.text import plain
from app.tui import theme
from app.tui.able import Able
from app.tui.collector import BREATH, Collector, forget_widgets
from app.tui.commands import Commands
from app.tui.data import DataSource
from app.tui.keys import ACTIONS, actions, bindings, keymap, rebind
from app.tui.memory import Memory, keep, path_for, recall
from app.tui.screens.runs import Begun, RunsScreen, Unreadable
from app.tui.screens.whole import Destination, WholeScreen

if TYPE_CHECKING:
    from core.errors import TauscopeError
    from core.study.study import Study


HELD = 3.0
"""Seconds that keys wait at most for a screen: one can leave while a database is stuck."""

BY_HAND = frozenset({"command_palette", "move", "page", "ends"})
"""Actions that the palette omits, since nobody looks for them."""


class ActionPalette(CommandPalette):
    """Textual's palette, which fails at a page key before its list has a height, and dismisses the
    screen beneath when it is left twice."""

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Dismiss it, at most once."""
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        lists = self.query(CommandList)
        if action == "command_list" and not any(each.size.height for each in lists):
            return False
        return super().check_action(action, parameters)


class TauscopeApp(App[str | None], Able):
    """The workstation. Its result is the reason of an early end, or None; `trouble`: the error."""

    TITLE = "tauscope"
    PLACE = "app"
    BINDINGS = bindings("app")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # noqa: RUF012
    CSS = """
    Screen { background: $background; color: $foreground; layers: base; }
    ModalScreen { background: $background 60%; }
    CommandPalette > Vertical { width: 80; max-width: 96%; margin-top: 1; }
    CommandPalette SearchIcon { display: none; }
    CommandInput { padding-left: 1; }
    """
    COMMANDS = {Commands}  # noqa: RUF012

    def __init__(
        self,
        db_url: str | None,
        config: Config | None = None,
        remembered: Path | None = None,
        study: Study | None = None,
    ) -> None:
        """`remembered` is the file with the user's last position; None: nothing is kept. `study`:
        open its bench."""
        super().__init__()
        forget_widgets()
        self.config = config or Config()
        self.remembered = remembered
        self.memory = recall(remembered)
        self.source = DataSource(db_url)
        self._study = study
        self._begun = False
        self.collector = Collector()
        self.trouble: TauscopeError | None = None
        bare = self.console.color_system == "standard"
        for each in (theme.DARK, theme.LIGHT):
            self.register_theme(theme.bare(each) if bare else each)
        self.theme = {"dark": theme.DARK, "light": theme.LIGHT}[self.config.theme].name
        keys = keymap(self.config.keys)
        rebind(keys)
        self.set_keymap(keys)
        self._early: list[events.Key | events.Paste] | None = []
        """Keys and pasted texts for a screen that is still opening; None while none is held."""
        self._waited: Timer | None = None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The colours that our styles name, for any theme."""
        return dict(theme.DARK.variables)

    def on_mount(self) -> None:
        self.push_screen(RunsScreen(self.source, self.memory))
        self._waited = self.set_timer(HELD, self.on_begun)
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh())
        if not self.is_headless:
            self.collector.begin()
            self.set_interval(BREATH, self.collector.look)
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)
            loop.add_signal_handler(signal.SIGTERM, self.action_leave)

    def on_unmount(self) -> None:
        self.source.close()

    async def on_event(self, event: events.Event) -> None:
        """Hold keys back while they are for a screen that is still opening."""
        if isinstance(event, events.InputEvent):
            self.collector.typed()
        # As a new event, since a widget may have passed this one on.
        if self._early is not None and isinstance(event, events.Key):
            self._early.append(events.Key(event.key, event.character))
        elif self._early is not None and isinstance(event, events.Paste):
            self._early.append(events.Paste(event.text))
        else:
            await super().on_event(event)

    async def on_begun(self, _: Begun | None = None) -> None:
        """Act on the keys from before the first list."""
        if self._begun:
            return
        self._begun = True
        # Before we had the terminal it sent a line feed for enter.
        early = self._early or ()
        self._early = [
            events.Key("enter", "\r") if getattr(e, "key", "") == "ctrl+j" else e for e in early
        ]
        if self._study is None:
            await self.release_keys()
        else:
            from app.tui.screens.benching import open_bench

            open_bench(self.screen, partial(self.source.bench_of, self._study), self.source)

    def hold_keys(self) -> None:
        """Hold keys back for a screen that opens soon, until `release_keys` or `drop_keys`."""
        self._early = self._early or []
        self._stop_waiting()
        self._waited = self.set_timer(HELD, self._give_keys_up)

    async def release_keys(self) -> None:
        """Act on the keys that were held back, before any later one."""
        early = self._early or ()
        self.drop_keys()
        for event in early:
            await super().on_event(event)

    def drop_keys(self) -> None:
        """Forget the keys that were held back: their screen does not open."""
        self._early = None
        self._stop_waiting()

    def _give_keys_up(self) -> None:
        if self._early:
            words = "The bench is still opening: the keys typed meanwhile were dropped."
            self.notify(words, severity="warning", markup=False)
        self.drop_keys()

    def _stop_waiting(self) -> None:
        if self._waited is not None:
            self._waited.stop()
            self._waited = None

    def on_unreadable(self, message: Unreadable) -> None:
        """Leave with the reason when the database can't be opened at all."""
        self.trouble = message.error
        self.exit(message.error.title)

    def action_help(self) -> None:
        """Show the help of the screen beneath."""
        from app.tui.screens.help import HelpScreen

        if isinstance(self.screen, WholeScreen):
            self.push_screen(HelpScreen(self.screen.places(), self.screen.topics()))

    def action_theme(self) -> None:
        """Dark or light."""
        self.theme = theme.other(self.theme)

    def remember(self, memory: Memory) -> None:
        """Keep the user's position, here and for the next start."""
        self.memory = memory
        keep(memory, self.remembered)

    def action_leave(self) -> None:
        """Leave, and remember the position. Workers go on."""
        self._remember_all()
        self.exit(None)

    def _hang_up(self) -> None:
        """The terminal is gone: save the user's position, paint nothing."""
        self._remember_all()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGHUP)

    def _remember_all(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, WholeScreen):
                self.memory = screen.placed(self.memory)
        self.remember(self.memory)

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the needs of the keys that act everywhere are met."""
        if need == "a whole screen":
            return isinstance(self.screen, WholeScreen)
        return super().has(need, parameters)

    async def run_action(self, *given: Any, **named: Any) -> bool:
        """Do nothing once this leaves: a key typed behind the last one would open a screen that no
        longer comes to be."""
        return self._exit or await super().run_action(*given, **named)

    async def action_quit(self) -> None:
        """Textual's own key for leaving."""
        self.action_leave()

    def action_command_palette(self) -> None:
        """Show every action, by its name."""
        if not isinstance(self.screen, ActionPalette):
            self.push_screen(ActionPalette(id="--command-palette"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action that can act now, the destinations of the screen, and the runs."""
        yield from self._actions(screen)
        for each in screen.destinations() if isinstance(screen, WholeScreen) else ():
            yield self._command(each, each.go)
        runs = self.screen_stack[1] if len(self.screen_stack) > 1 else None
        if isinstance(runs, RunsScreen) and runs is not screen:
            for each in runs.destinations():
                yield self._command(each, partial(self._leave_for, each))

    def _command(self, to: Destination, go: Callable[[], object]) -> SystemCommand:
        return SystemCommand(plain(to.name), plain(to.about), lambda: self.call_later(go))

    async def _leave_for(self, run: Destination) -> None:
        """Go to a run from any screen, as if by way of the list of runs."""
        while len(self.screen_stack) > 2:
            if isinstance(self.screen, WholeScreen):
                self.remember(self.screen.placed(self.memory))
            await self.pop_screen()
        run.go()

    def _actions(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        places = screen, screen.focused, self
        able: list[Able] = [each for each in places if isinstance(each, Able)]
        for owner in able:
            for action in actions(owner.PLACE):
                if action.verb in BY_HAND or not owner.check_action(action.verb, action.parameters):
                    continue
                yield SystemCommand(
                    f"Go to {action.label}" if " to " in action.shown else action.command,
                    action.key,
                    lambda owner=owner, what=action.name: self.call_later(
                        self.run_action, what, owner
                    ),
                )


def run(db_url: str | None, study: Study | None = None) -> None:
    """Open the workstation on a database (None: the user's own) with the user's settings; with a
    study, on its bench.

    Raises StudyError for wrong settings, and StorageError for an unusable database.
    """
    from storage.database import path_of

    config = settings.read()
    settings.check_keys(config, [action.id for action in ACTIONS])
    remembered = path_for(path_of(db_url))
    workstation = TauscopeApp(db_url, config, remembered, study)
    workstation.run()
    if workstation.trouble is not None:
        raise workstation.trouble
    if workstation.return_code:  # a fault, which it has shown
        sys.exit(workstation.return_code)
