"""A run as files that stand alone, one writer a format.

folder.py    which files, and the way there
rows.py      measurements as CSV
columnar.py  measurements as Parquet
record.py    study, origin and state as JSON
report.py    findings, figures and warnings as Markdown
paper/       figures as SVG and PNG, for print
files.py     a file that is written whole or not at all
"""
