"""The command line. Every command fetches what it needs when it runs.

main.py       the list of commands, exit codes, and errors on stderr
options.py    the options that commands share
running.py    run, plan, new, inspect, demo, merge
reading.py    runs, show, compare, export
keeping.py    watch, cancel, delete, gc
machine.py    models, doctor, serve
answers.py    a draft from the options of a command
doctor.py     versions, devices, terminal, settings and database of this machine
printing.py   tables, charts and JSON on stdout
narration.py  progress on stderr
"""
