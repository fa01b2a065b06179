"""Runs and the processes that compute them. Knows no screen.

launcher.py     detached workers: prepared and started
worker.py       one run in its own process
crew.py         a run's jobs over several workers: choice, attempts, lost and hung workers
selection.py    the analyses of a study that a run computes
following.py    waiting for the next checkpoint of a training run
stopping.py     stopping a run by signals
demo.py         the demo in a separate process
merging.py    a merge written by another process
preflight.py    the cost of a run, for people and as JSON
environment.py  versions and settings of a run
gauge.py        the load of this host and its GPUs
"""
