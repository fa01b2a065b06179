"""Tasks, and scores of models on them, by lm-evaluation-harness.

tasks.py           found, read, identified
fewshot.py         examples that give an answer away
items.py           what makes an item unfit to be asked
taskfiles.py       task files, and their code refused unless it is trusted
sandbox.py         templates and files read without running code
examples.py        their items as texts with their right answers
harness.py         the harness silenced, seeded, off the network
language_model.py  a model in memory as the harness wants it (imports torch)
evaluator.py       one loaded model, asked any number of tasks
scores.py          scores as rows and arrays, as they are kept
"""
