"""Files: read to an end, written whole or not at all. Knows no study and no model.

regular.py  regular files, and how a pipe or a device is refused
making.py   folders that are gone again where the work in them fails
partial.py  files and folders that appear whole or not at all
toml.py     TOML files as data
"""
