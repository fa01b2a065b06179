"""The command line. Every command imports its dependencies when it runs.

main.py       the list of commands, exit codes, and errors on stderr
options.py    the options that commands share
running.py    run, plan, new, inspect, demo, merge
reading.py    runs, show, compare, export
lifecycle.py  watch, cancel, delete, gc
machine.py    models, doctor, serve
bench.py      bench
answers.py    a draft from the options of a command
doctor.py     versions, devices, terminal, settings and database of this machine
merging.py    from the options of `tauscope merge` to a folder
inspection/   the findings of a run over weights, as sentences
watch.py      following a run until it ends
transcripts.py  trials of the bench on stdout
printing.py   tables, charts and JSON on stdout
"""
