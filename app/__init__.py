"""The program that a person uses: commands, jobs, exports and terminal screens.

config.py    the user's own settings
commands.py  commands that errors and screens name
text.py      text from outside, made safe to display
worker.py    the module that `python -P -m app.worker` starts; the code is in jobs/
cli/         the command line
console/     streams and progress of a command
bench/       the bench's worker, its socket and its clients
jobs/        runs and the processes that compute them
drafts/      drafts of studies
library/     the models on this machine
results/     the figures of a run, comparisons of two runs
render/      figures and runs as text, pages, prints and data
tui/         the workstation
web/         the workstation in a browser
"""

__version__ = "0.1.0"
