"""Documents read from files of many formats.

source    the kind of a file, by its content, and its reader
lines     numbered, decoded lines within limits of size
fields    the document in a value: text and prompt, and the errors for a missing text
values    JSON: one object per line, or a whole file
tables    rows with columns `text` and `prompt`: CSV and Parquet
"""
