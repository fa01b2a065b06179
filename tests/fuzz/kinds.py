"""What each kind of case mutates, and the commands that meet it. A kind is one small function."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import tomllib
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.fuzz import ground, mutation

Command = tuple[str, ...]


class Case(NamedTuple):
    """The commands of a case. `keeps`: where all succeed, the update is the right one still."""

    commands: tuple[Command, ...]
    keeps: bool = False


def headers(folder: Path, rng: Random) -> Case:
    """A safetensors file: its header, its length, its tensors."""
    file = folder / "tuned" / "model.safetensors"
    if not _other(file, rng):
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header, body = content[8 : 8 + length], content[8 + length :]
        if rng.random() < 0.3:
            _put(file, mutation.of_bytes(content, rng))
        else:
            changed = mutation.of_json(header, rng)
            claimed = rng.choice((0, 0, 0, 0, 0, 1, -1, 10**9, 2**63)) + len(changed)
            _put(file, (claimed % 2**64).to_bytes(8, "little") + changed + body)
    return Case((_inspect(folder, "tuned"),))


def indexes(folder: Path, rng: Random) -> Case:
    """The index of a model in two files."""
    _mutate(folder / "sharded" / "model.safetensors.index.json", mutation.of_json, rng)
    return Case((_inspect(folder, "sharded"),), keeps=True)


def configs(folder: Path, rng: Random) -> Case:
    """A model's config.json."""
    _mutate(folder / "tuned" / "config.json", mutation.of_json, rng)
    return Case((_inspect(folder, "tuned"),), keeps=True)


def bases(folder: Path, rng: Random) -> Case:
    """The config.json of base and tuned model alike."""
    changed = mutation.of_json((folder / "base" / "config.json").read_bytes(), rng)
    for name in ("base", "tuned"):
        _put(folder / name / "config.json", changed)
    return Case((_inspect(folder, "tuned"),), keeps=True)


def adapters(folder: Path, rng: Random) -> Case:
    """An adapter's settings or its factors."""
    if rng.random() < 0.7:
        _mutate(folder / "adapter" / "adapter_config.json", mutation.of_json, rng)
    else:
        _mutate(folder / "adapter" / "adapter_model.safetensors", mutation.of_bytes, rng)
    return Case((_inspect(folder, "adapter"),))


def studies(folder: Path, rng: Random) -> Case:
    """A study file."""
    file = folder / "study.toml"
    if not _other(file, rng):
        if rng.random() < 0.2:
            _put(file, mutation.of_bytes(file.read_bytes(), rng))
        else:
            data = mutation.of_value(tomllib.loads(file.read_text()), rng)
            _put(file, _toml(data, rng))
    only = ("--only", "tuning_vectors")
    return Case((("plan", str(file)), ("run", str(file), *only)))


def databases(folder: Path, rng: Random) -> Case:
    """A database: its values, its schema, its bytes."""
    file = folder / ground.DATABASE
    if not _other(file, rng):
        if rng.random() < 0.3:
            _put(file, mutation.of_bytes(file.read_bytes(), rng))
        else:
            _alter(file, rng)
    return _readers(folder, rng)


def artifacts(folder: Path, rng: Random) -> Case:
    """Files of arrays: other bytes, or other arrays that the database vouches for."""
    file = rng.choice(sorted((folder / "done.artifacts").glob("??/*.npz")))
    if not _other(file, rng):
        _put(file, _other_arrays(file, rng))
        if rng.random() < 0.8 and file.is_file():
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            with closing(sqlite3.connect(folder / ground.DATABASE)) as db, db:
                db.execute(
                    "UPDATE artifacts SET sha256 = ?, bytes = ? WHERE sha256 = ?",
                    (digest, len(content), file.stem),
                )
    return _readers(folder, rng)


def tasks(folder: Path, rng: Random) -> Case:
    """A task file, or its data."""
    import yaml

    file = folder / "tasks" / rng.choice(("choice.yaml", "text.yaml", "items.jsonl"))
    if not _other(file, rng):
        content = file.read_bytes()
        if file.suffix == ".jsonl":
            _put(file, _lines(content, rng))
        elif rng.random() < 0.2:
            _put(file, mutation.of_bytes(content, rng))
        else:
            changed = mutation.of_value(yaml.safe_load(content), rng)
            _put(file, mutation.as_json(changed, rng))
    return Case((("plan", str(folder / "study.toml")),))


def probes(folder: Path, rng: Random) -> Case:
    """The file of a probe set."""
    file = folder / "probe.jsonl"
    if not _other(file, rng):
        _put(file, _lines(file.read_bytes(), rng))
    return Case((("plan", str(folder / "study.toml"), "--only", "activation"),))


def tokenisers(folder: Path, rng: Random) -> Case:
    """The files of the base's tokeniser."""
    file = rng.choice(sorted((folder / "base").glob("*token*.json")))
    _mutate(file, mutation.of_json, rng)
    return Case((
        ("plan", str(folder / "study.toml"), "--only", "activation"), _inspect(folder, "tuned"),
    ))  # fmt: skip


KINDS: Mapping[str, Callable[[Path, Random], Case]] = {
    each.__name__: each
    for each in (
        headers, indexes, configs, bases, adapters, studies, databases, artifacts, tasks, probes,
        tokenisers,
    )
}  # fmt: skip


def _inspect(folder: Path, tuned: str) -> Command:
    return "inspect", str(folder / "base"), str(folder / tuned), "--json"


def _readers(folder: Path, rng: Random) -> Case:
    """The commands that read a database, and some that write it."""
    to = str(folder / "exported")
    shown = rng.choice(("tuning_vectors", "alignment", "vector_cosine"))
    commands: list[Command] = [
        ("runs",), ("runs", "--json"), ("show", "latest"), ("show", "latest", shown, "--json"),
        ("export", "latest", "--to", to, "--format", "csv,json,parquet,md,html"),
        ("gc", "--dry-run"), ("cancel", "latest"), ("gc",), ("delete", "latest", "--yes"),
        ("run", str(folder / "study.toml"), "--only", "tuning_vectors"),
    ]  # fmt: skip
    chosen = sorted(rng.sample(range(len(commands)), 3))
    db = str(folder / ground.DATABASE)
    return Case(tuple((*commands[i], "--db", db) for i in chosen))


def _other(file: Path, rng: Random) -> bool:
    """Now and then something else than a file is in its place."""
    if rng.random() < 0.06:
        mutation.of_file(file, rng)
        return True
    return False


def _mutate(file: Path, how: Callable[[bytes, Random], bytes], rng: Random) -> None:
    if not _other(file, rng):
        _put(file, how(file.read_bytes(), rng))


def _put(file: Path, content: bytes) -> None:
    file.unlink()  # it may be a link to the valid one
    file.write_bytes(content)


def _lines(content: bytes, rng: Random) -> bytes:
    """JSON lines of which one is changed."""
    if rng.random() < 0.3:
        return mutation.of_bytes(content, rng)
    lines = content.splitlines(keepends=True)
    index = rng.randrange(len(lines))
    lines[index] = mutation.of_json(lines[index], rng) + b"\n"
    return b"".join(lines)


def _toml(data: Any, rng: Random) -> bytes:
    """A nested value as TOML of one line a key."""
    if not isinstance(data, dict):
        return mutation.as_json(data, rng)
    return "\n".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in data.items()).encode(
        "utf-8", "surrogatepass"
    )


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, str):
        return mutation.RAW.get(value, json.dumps(value))
    return '"none"' if value is None else str(value).lower()


def _alter(file: Path, rng: Random) -> None:
    """Other values in some rows, another version, or a table that is gone."""
    with closing(sqlite3.connect(file)) as db, db:
        what = rng.random()
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        table = rng.choice(tables)
        if what < 0.05:
            db.execute(f"PRAGMA user_version = {rng.choice((-1, 0, 1, 99, -(2**31)))}")
        elif what < 0.1:
            db.execute(f"DROP TABLE {table}")
        elif what < 0.15:
            db.execute(f"DELETE FROM {table} WHERE abs(random()) % 3 = 0")
        else:
            column = rng.choice(list(db.execute(f"PRAGMA table_info({table})")))[1]
            value = rng.choice((
                "x", b"\xff\x00", 0, -1, 1.5, 9e300, float("inf"), 2**62, "", "a\x00b", "{", "[]",
                '{"a": 1}', "[" * 10**5, "1e400", "\x1b[2J", "é", "x" * 10**6, -(2**63), None,
            ))  # fmt: skip
            some = f"WHERE abs(random()) % {rng.choice((1, 3))} = 0"
            with contextlib.suppress(sqlite3.Error):  # of a column that takes no such value
                db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? {some}", (value,))


def _other_arrays(file: Path, rng: Random) -> bytes:
    """Arrays of other names, shapes or kinds; or other bytes."""
    import io

    import numpy as np

    if rng.random() < 0.3:
        return mutation.of_bytes(file.read_bytes(), rng)
    with np.load(file) as held:
        arrays = dict(held)
    name = rng.choice(sorted(arrays))
    odd: tuple[Any, ...] = (
        np.zeros(0), np.zeros(()), np.zeros((2, 3, 4)), np.full(7, np.nan), np.array(["x", "y"]),
        np.array([{"a": 1}], dtype=object), np.full(3, np.inf), -np.ones(5, dtype=np.int8),
        np.array([b"\xff"]), np.zeros(3, dtype=complex), np.full(10, 2**62),
    )  # fmt: skip
    what = rng.randrange(5)
    if what == 0:
        arrays[f"{name}x"] = arrays.pop(name)
    elif what == 4 and arrays[name].dtype.kind == "f":  # its own form, of numbers that none has
        arrays[name] = np.full_like(arrays[name], rng.choice((np.nan, np.inf, -np.inf, 1e300)))
    elif what == 1:
        arrays[name] = arrays[name].reshape(-1)[: rng.randrange(3)]
    else:
        arrays[name] = odd[rng.randrange(len(odd))]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
