"""The table of keys in docs/keys.md, from the one registry of actions.

python docs/keys.py            # prints it
python docs/keys.py --write    # puts it between its marks in docs/keys.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app.tui.keys import Action, Where, actions  # noqa: E402
from app.tui.screens.help import HEADINGS  # noqa: E402

PAGE = ROOT / "docs" / "keys.md"
BEGIN, END = "<!-- keys: python docs/keys.py --write -->\n", "<!-- /keys -->\n"


def table() -> str:
    """A row for each action; what goes on and what goes back share one."""
    rows = ["| where | keys | what they do |", "|---|---|---|"]
    elsewhere: set[tuple[str, str]] = set()
    for place in get_args(Where):
        heading = HEADINGS[place]
        for shown, words in _rows(place):
            # What a comparison has in common with one run is told there.
            if place != "compare" or (shown, words) not in elsewhere:
                rows.append(f"| {heading} | {shown} | {words} |")
                heading = ""
            elsewhere.add((shown, words))
    return "\n".join(rows) + "\n"


def written(text: str) -> str:
    """The page's text with the table of now between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{PAGE} has no marks for the table of keys.")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _rows(place: Where) -> Iterator[tuple[str, str]]:
    pairs: dict[str, list[Action]] = {}
    for action in actions(place):
        # `move(1)` and `move(-1)` are one; `move(1, 0)` and `move(0, 1)` are two.
        pairs.setdefault(re.sub(r"-?\b[1-9]\d*\b", "±", action.name), []).append(action)
    for group in pairs.values():
        keys = dict.fromkeys(_keys(action.shown) for action in group)
        yield " / ".join(keys), _together(list(dict.fromkeys(action.help for action in group)))


def _keys(shown: str) -> str:
    return " ".join(word if word == "to" else f"`{word}`" for word in shown.split())


def _together(helps: Sequence[str]) -> str:
    """`Next model` and `Previous model` as `Next / previous model`."""
    if len(helps) == 1:
        return helps[0]
    one, other = (words.split() for words in helps)
    same = next(i for i, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1)
    most = min(len(one), len(other)) - same
    last = next((i for i in range(most) if one[-1 - i] != other[-1 - i]), most)
    ends = [" ".join(words[same : len(words) - last]) for words in (one, other)]
    middle = f"{ends[0]} / {ends[1][:1].lower()}{ends[1][1:]}"
    return " ".join([*one[:same], middle, *one[len(one) - last :]])


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table(), end="")
