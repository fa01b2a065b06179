"""A configuration with every default of its class in transformers.

Runs no code of a model; imports transformers only on use.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def whole(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """All settings of a configuration; None if transformers does not know the type or rejects a
    value."""
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
    except Exception:  # a class may raise anything on an unexpected value
        return None
    finally:
        logging.set_verbosity(level)
