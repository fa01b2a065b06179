"""Tiny models of every type that transformers generates text with, and what tauscope makes of them.

- `configs`: a small configuration of each type, by rules; `exceptions`: what rules do not cover.
- `families`: a base and a tuned model of a type, written by transformers.
- `layouts`: the same weights under other names and in other files.
- `truth`, `activity`: what is true of a model's weights and neurons, computed without tauscope.
- `examination`: what tauscope says of a family, held against that truth.
- `isolation`: a process apart for each type.

`python -m tests.models` examines all of them.
"""
