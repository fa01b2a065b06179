"""Speed and memory as ratios inside one run: `make bench`. Never part of the tests.

workload.py   synthetic checkpoints of real widths
weights.py    the pass over the weights, alignment, and what stands around them
scoring.py    scores of a loaded model against the harness by itself
screens.py    how soon the workstation opens
"""

from app.environment import tune

tune()  # as the worker does, before numpy and torch are imported
