"""Commands of tauscope that errors and screens name, for the database that the user named.

A text has a command in quotes: 'tauscope watch RUN'. Without `--db` it would act on another
database than the one at hand. Knows no command.
"""

from __future__ import annotations

import re
import shlex

_COMMAND = re.compile("'tauscope(?= [a-z]|' opens )")
"""A run or a file may be called tauscope, too."""


class _Named:
    database = ""


def name_database(database: str | None) -> None:
    """Remember the database of `--db`; None: the user has named none."""
    _Named.database = database or ""


def completed(text: str) -> str:
    """The text, with the database in each command."""
    if not _Named.database:
        return text
    return _COMMAND.sub(lambda found: f"{found[0]} --db {shlex.quote(_Named.database)}", text)
