"""The screens of the workstation. What they read comes from app.tui.data.

runs.py     the first one: all runs, live
library.py  the models on this machine; listed.py has what both lists share
folder.py   a folder of models, added to the settings
builder.py  a study, built step by step; models.py chooses its models, launch.py starts it
start.py    a study file, or a ready one, started
tabbed.py   what all screens of pictures share
run.py      one run: a tab for each analysis
compare.py  two runs and their difference
bench.py    models side by side on a prompt. Its keys: bench_asking.py asks the worker,
            bench_prompts.py chooses prompts, bench_columns.py changes columns, bench_keeping.py
            takes results away; bench_parts.py has what they act on. column.py and sampling.py are
            its dialogs, benching.py leads there
export.py   what is copied and written from there
control.py  what is done to a run: cancel, resume, delete
help.py     keys, and how to read what is shown
jump.py     a letter on everything that can be gone to
pick.py     a small choice by a letter; choose.py one of many values, by typing
log.py      the log of a run's worker
confirm.py  yes or no
leaving.py  what all of them share that are left again, and the box of a dialog
whole.py    what all of them share that take the whole terminal: title, keys, when they are painted
"""
