"""The engine: from a study and checkpoints on disk to measurements. It draws and stores nothing.

errors.py    the exception tree
trust.py     whose code may run: said at a start, never stored
libraries.py what libraries say meanwhile, in our words
sizes.py     amounts of memory and disk in words
study/       a study as frozen data, and how it is read
models/      models on disk and as transformers makes them
weights/     one pass over a family's weights
texts/       probe sets, chat templates, token ids
engine/      from a study to finished units
analyses/    one file each
figures/     views, and figures as data
neurons/     active neurons, important neurons, and the cost of their loss
evaluation/  tasks and scores
vectors/     task arithmetic
statistics/  intervals, tests, chance
files/       files that are read to an end, and written whole or not at all
demo/        the embedded demo family
"""
