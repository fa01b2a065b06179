"""The results of runs, for screens, prints and reports alike.

figures.py    the figures of a run under a choice
comparing.py  two runs compared
overview.py   the cards and the ranked findings of a run
reading.py    how to read a figure, from the guide
wording.py    states, times and progress in words
workers.py    the workers of a run and its failed units, in words
"""
