"""Imports of the screens that may be opened next, made while the first one is read.

The modules are names here, not imports: a module that screens import must not import screens.
"""

from __future__ import annotations

import gc
from importlib import import_module

MODULES = (
    "numpy.ma",  # the figures of spectra import it
    "plotext",
    "app.render.terminal.canvas",
    *(
        f"app.tui.screens.{screen}"
        for screen in ("builder", "compare", "help", "jump", "library", "pick", "run", "start")
    ),
)


def warm_up() -> None:
    """Import MODULES and every analysis, then exempt all of it from garbage collection, which would
    halt the screen for 60 ms."""
    from core.engine import registry

    for module in MODULES:
        import_module(module)
    for name in registry.names():
        registry.get(name)
    gc.freeze()
