"""Tasks, and scores of models on them, by lm-evaluation-harness.

tasks.py           finding, reading and identifying tasks
fewshot.py         few-shot examples that reveal an answer
datafiles.py       local data files of a task
items.py           faults that make an item unusable
taskfiles.py       task files; refuses untrusted code in them
sandbox.py         templates and files, read without running code
examples.py        items as texts with their right answers
harness.py         silencing and seeding the harness, keeping it off the network
language_model.py  a loaded model in the harness's interface (imports torch)
evaluator.py       the scores of one loaded model on tasks
answers.py         prompts and answers as stored arrays
scores.py          scores as rows and stored arrays
"""
