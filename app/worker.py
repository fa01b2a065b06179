"""The module name of workers: `python -P -m app.worker`. The code is in app.jobs."""

from __future__ import annotations

import sys

from app.console import streams
from app.jobs.worker import main

if __name__ == "__main__":
    sys.stdout = streams.forgiving(sys.stdout)
    sys.exit(main())
