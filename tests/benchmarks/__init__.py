"""Speed and memory as ratios inside one run: `make bench`. Never part of the tests.

workload.py   synthetic checkpoints of real widths
weights.py    the pass over the weights, alignment, and what stands around them
activations.py what watching a model's neurons costs
scoring.py    scores of a loaded model against the harness by itself
sweeping.py   the weights of a point of task arithmetic
cards.py      the pass over the weights on a card, for `make gpu`
archive.py    a database of two hundred runs and a million measurements
screens.py    how soon the workstation, each of its screens, and the commands are there
bench.py      how soon the bench answers, and what goes over its socket
answers.py    keys answered beside a job and an export, and bytes sent to the terminal
"""

from app.jobs.environment import tune

tune()  # as the worker does, before scipy and torch are imported
