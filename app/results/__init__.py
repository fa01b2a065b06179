"""The results of runs, for screens, prints and reports alike.

figures.py    the figures of a run under a choice
comparing.py  two runs compared
wording.py    states, times and progress in words
"""
