"""A recipe that makes the files of the demo in seconds, without learning."""

from __future__ import annotations

from core.demo.recipe import Architecture, Recipe, Training

TINY = Recipe(
    name="tiny",
    base=Training(steps=6, learning_rate=2e-3, warm_up=2),
    tuned={
        name: Training(steps=3, learning_rate=1e-3, warm_up=1, general_share=0.25)
        for name in ("instruct", "medical", "maths", "code")
    },
    architecture=Architecture(hidden=32, intermediate=64),
    batch=8,
    window=32,
    documents=200,
    held_out=100,
    items=40,
)
