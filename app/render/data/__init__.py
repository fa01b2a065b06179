"""A run as files that stand alone, one writer a format.

folder.py     the files of each format
rows.py       measurements as CSV
listings.py   tables that a view lists, as CSV
bench.py      trials kept from the bench, as CSV
groups.py     groups of models as CSV
columnar.py   measurements as Parquet
record.py     study, origin and state as JSON
report.py     findings, figures and warnings as Markdown
numbers.py    the numbers behind a figure, as tables of text
clippings.py  the values of a figure, as CSV or Markdown
single.py     one figure as a file, in a process of its own
sentences.py  chance and method of a figure in words
origin.py     where a run's numbers come from
cells.py      cells of CSV that no spreadsheet obeys
"""
