"""What a person touches: the commands, the jobs, the exports and the terminal screens.

cli.py        the commands, their options and exit codes
jobs.py       start, watch and cancel detached workers
worker.py     one run in its own process
export/       one writer per format or kind of view
studies/      ready study files
tui/          the workstation
"""

__version__ = "0.1.0"
