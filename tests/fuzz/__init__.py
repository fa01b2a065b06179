"""Broken and hostile input in numbers: `python -m tests.fuzz [--seed N] [--cases N] [KIND…]`.

mutation.py  how a valid file becomes a bad one, in its structure or in its bytes
ground.py    the valid input that every case begins with: tiny models, a study, a finished run
kinds.py     what each kind of case mutates, and the commands that meet it
trial.py     one case: the commands in this process, and what is wrong with how they ended
pool.py      cases in processes of their own, within limits of time and memory
__main__.py  the count by kind, and the cases that failed

A case is its kind and a number: the same two are always the same case.
"""
