"""Documents read from files of many formats.

source    what kind of file it is, by its content, and which reader takes it
lines     lines, decoded and counted, no more of them than is bearable
fields    the text in a value, and the errors where there is none
values    JSON: an object a line, or a whole file
tables    rows with a column `text`: CSV and Parquet
"""
