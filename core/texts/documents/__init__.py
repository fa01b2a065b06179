"""Documents read from files of many formats.

source    the kind of a file, by its content, and its reader
lines     numbered, decoded lines within limits of size
fields    the text of a value, and the errors for a missing one
values    JSON: one object per line, or a whole file
tables    rows with a column `text`: CSV and Parquet
"""
