"""Storage that outlives a process: runs, their results, and files beside the database.

runs.py        the app's interface: a run's lifecycle, and its stored facts
results.py     measurements and artifacts of a run
directions.py  the better direction of each metric, from the states of units
sink.py        the engine's ResultSink of a run
listing.py     all rows of an analysis in the order of every export
parts.py       parts of a slice, until its units are saved
rows.py        values of rows, checked on reading
units.py       the results of a finished unit
doubts.py      the warnings of a run and of its units
trials.py      the kept trials of the bench
workers.py     the processes that compute units of a run, and its failed units
history.py     finished units of earlier runs, and their durations
standing.py    the planned and finished units of each analysis of a run
summary.py     a run's summary, and the state of its worker
identities.py  cached hashes of models' files
garbage.py     removal of units and files that no run refers to
artifacts.py   arrays in files named by their hash
bases.py       singular bases of base models in files, bounded
database.py    one open SQLite file, its transactions and its errors
patience.py    waiting for a database in which another process writes
access.py      permissions of the files beside the database
beats.py       a heartbeat beside the database
journal.py     the journal mode for a file system
upgrade.py     bringing a file to this version's schema
migrations/    the ordered steps of the upgrade
schema.py      the tables
"""
