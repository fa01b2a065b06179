"""Storage that outlives a process: runs, their results, and files beside the database.

runs.py        the door for the app: a run's life, and what is known of it
results.py     measurements and artifacts of a run
sink.py        where the engine puts a run's results
listing.py     all rows of an analysis in the order of every export
parts.py       parts of a slice, until its units are saved
rows.py        values of rows, checked as they come in
history.py     what earlier runs tell of one to come
summary.py     a run in short, and whether its worker lives
identities.py  what identifies the files of models, remembered
garbage.py     what no run refers to, and its end
artifacts.py   arrays in files named by their content
database.py    one open SQLite file, its transactions and its errors
patience.py    waiting for a database in which another process writes
access.py      who may read what lies beside the database
beats.py       a heartbeat beside the database
journal.py     which journal a file system can carry
upgrade.py     bringing a file to this version's schema
migrations/    the steps of that, in order
schema.py      the tables
"""
