"""The screens of the workstation. They read from app.tui.data.

runs.py     the first one: all runs, live
library.py  the models on this machine; listed.py has the common part of both lists
folder.py   a folder of models, added to the settings
builder.py  a study, built step by step; models.py chooses its models, launch.py starts it
start.py    a study file, or a ready one, started
tabbed.py   the common part of all screens of pictures
run.py      one run: a tab for each analysis. run_keys.py has its keys, run_parts.py the pictures
            that they act on
compare.py  two runs and their difference
bench.py    models side by side on a prompt. Its keys: bench_asking.py asks the worker,
            bench_prompts.py chooses prompts, bench_columns.py changes columns, bench_keeping.py
            saves results; bench_parts.py has the parts that they act on. column.py and sampling.py
            are its dialogs, benching.py leads there
export.py   results copied, or written to files
control.py  orders to a run: cancel, resume, delete; mixing.py writes a merge
help.py     keys, and how to read the pictures
jump.py     a letter on every target
pick.py     a small choice by a letter; choose.py one of many values, by typing
log.py      the log of a run's worker
confirm.py  yes or no
leaving.py  the common part of screens that are left again, and the box of a dialog
whole.py    the common part of screens on the whole terminal: title, keys, times of painting
"""
