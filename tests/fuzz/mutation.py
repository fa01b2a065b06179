"""How a valid file becomes a bad one. Owns the values and the bytes; knows no format of ours."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

RAW = {
    "@deep-list@": "[" * 100_000 + "]" * 100_000,
    "@deep-object@": '{"a":' * 3000 + "1" + "}" * 3000,
    "@digits@": "9" * 5000,
    "@overflow@": "1e400",
    "@half@": '"\\ud800"',
}
"""What a value in its place is written as, since no value in Python gives such a text."""

WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1.5, -0.0, 1e308, float("nan"), float("inf"), 10**7, 10**12,
    2**31, 2**63, 10**30, "", "x", "a\x00b", "\x1b[31m", "../../x", "x" * 3000, "é漢", [], {}, [[]],
    [None], {"a": {"b": []}}, [1, "x", None], *RAW,
)  # fmt: skip

_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Wi-Fi</body></html>"

Place = tuple[Any, ...]


def of_json(content: bytes, rng: Random) -> bytes:
    """JSON with some of its values replaced, moved, nested or left out; or with broken bytes."""
    if rng.random() < 0.15:
        return of_bytes(content, rng)
    return as_json(of_value(json.loads(content), rng), rng)


def of_value(value: Any, rng: Random) -> Any:
    """A nested value with one to three places changed."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return rng.choice(WRONG)
        *above, last = rng.choice(places)
        holder = value
        for step in above:
            holder = holder[step]
        _change(holder, last, rng)
    return value


def as_json(value: Any, rng: Random) -> bytes:
    """The text of a value; now and then a key stands in it twice, the right value last."""
    text = json.dumps(value)
    for mark, raw in RAW.items():
        text = text.replace(json.dumps(mark), raw)
    if rng.random() < 0.1 and '"' in text:
        key = text.find('": ')
        start = text.rfind('"', 0, key)
        if 0 <= start < key:
            text = f"{text[:start]}{text[start : key + 3]}{rng.randint(-9, 9)}, {text[start:]}"
    return text.encode()


def of_bytes(content: bytes, rng: Random) -> bytes:
    """The bytes cut, flipped, filled in, or those of something else."""
    offset = rng.randrange(len(content) + 1)
    flipped = bytearray(content or b"x")
    for _ in range(rng.choice((1, 3, 30))):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return rng.choice((
        b"", content[:offset], content[offset:], bytes(flipped), content + rng.randbytes(9),
        content[:offset] + rng.randbytes(rng.choice((1, 8, 200))) + content[offset:], _PAGE,
        b"\xef\xbb\xbf" + content, bytes(len(content)), content.replace(b'"', b"\xff", 1),
        content[:offset] + b"\x00" + content[offset:],
    ))  # fmt: skip


def of_file(path: Path, rng: Random) -> None:
    """Put in the place of a file what is none, or nothing."""
    path.unlink()
    rng.choice(_STAND_INS)(path)


def _places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every place in a nested value."""
    if not isinstance(value, dict | list):
        return
    for step, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*above, step)
        yield from _places(part, (*above, step))


def _change(holder: Any, last: Any, rng: Random) -> None:
    """Change the part of a list or an object at a place."""
    old = holder[last]
    what = rng.randrange(8)
    if what == 0:
        del holder[last]
    elif what == 1 and isinstance(holder, dict):
        holder[rng.choice((f"{last}x", "", "a.b", "\x00"))] = holder.pop(last)
    elif what == 2:
        holder[last] = rng.choice(([old], {"a": old}, [old] * 3))
    elif what == 3 and isinstance(old, int | float):
        holder[last] = rng.choice((old + 1, old - 1, -old, float(old), str(old), old * 1000))
    elif what == 4 and isinstance(holder, dict):
        holder[last] = copy.deepcopy(holder[rng.choice(list(holder))])
    else:
        holder[last] = rng.choice(WRONG)


def _looped(path: Path) -> None:
    path.symlink_to(path.name)


_STAND_INS: tuple[Callable[[Path], None], ...] = (
    lambda path: None, Path.mkdir, os.mkfifo, _looped,
    lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("/dev/null"),
    lambda path: path.symlink_to("/nowhere/x"), lambda path: path.symlink_to("/proc/self/mem"),
)  # fmt: skip
