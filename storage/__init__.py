"""What outlives a process: runs, their results, and the files beside the database.

runs.py        the door for the app: a run's life, and what is known of it
results.py     measurements and artifacts of a run
sink.py        where the engine puts a run's results
history.py     what earlier runs tell of one to come
summary.py     a run in short, and whether its worker lives
identities.py  what identifies the files of models, remembered
garbage.py     what no run refers to, and its end
artifacts.py   arrays in files named by their content
database.py    one open SQLite file, its transactions and its errors
journal.py     which journal a file system can carry
upgrade.py     bringing a file to this version's schema
migrations/    the steps of that, in order
schema.py      the tables
"""
