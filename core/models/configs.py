"""A configuration as transformers reads it: with every default that a model's own class has.

Owns that one question to transformers. Runs no code of a model's own; imports transformers only
when it is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def whole(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """All settings of a configuration; None for a type that transformers does not know, or where
    it takes offence at a value."""
    from transformers import CONFIG_MAPPING
    from transformers.utils import logging

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return None
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        made: dict[str, Any] = CONFIG_MAPPING[kind].from_dict(copy.deepcopy(dict(config))).to_dict()
        return made
    except Exception:  # whatever a class makes of what it does not expect
        return None
    finally:
        logging.set_verbosity(level)
