"""The module name of a bench's worker: `python -P -m app.bench`."""

from __future__ import annotations

import sys

from app.bench.worker import main
from app.console import streams

if __name__ == "__main__":
    sys.stdout = streams.forgiving(sys.stdout)
    sys.exit(main())
