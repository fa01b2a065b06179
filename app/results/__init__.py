"""The results of runs, for screens, prints and reports alike.

figures.py    the figures of a run under a choice
comparing.py  two runs compared
merging.py    `tauscope merge`, from its options to a folder
wording.py    states, times and progress in words
inspection/   the findings of a run over weights, told at once
"""
