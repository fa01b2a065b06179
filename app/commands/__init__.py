"""The commands, each a function of its options. Every one fetches what it needs when it runs.

options.py  the options that commands share
running.py  run, plan, new, inspect, demo, merge: what computes
reading.py  runs, show, compare, export: what shows results
keeping.py  watch, cancel, delete, gc: what looks after runs
machine.py  models, doctor, serve: what is about this machine
"""
