"""The engine: from a study and checkpoints on disk to measurements. It draws and stores nothing.

errors.py    the exception tree
trust.py     permission to run third-party code: given at a start, never stored
libraries.py messages of libraries, in our words
sizes.py     amounts of memory and disk, and counts, in words
study/       a study as frozen data, and reading it
models/      models on disk and as transformers builds them
weights/     one pass over a family's weights
texts/       probe sets, chat templates, token ids
engine/      from a study to finished units
analyses/    one file each
figures/     views, and figures as data
states/      one forward pass for many readers, and their results
outputs/     predictions of a tuned model and of the base, compared
neurons/     active neurons, important neurons, and the cost of ablating them
evaluation/  tasks and scores
vectors/     task arithmetic
statistics/  intervals, tests, chance
files/       reading files to the end, writing them whole or not at all
demo/        the embedded demo family
"""
