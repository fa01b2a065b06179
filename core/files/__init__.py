"""Files: reading to the end, writing whole or not at all. Knows no study and no model.

regular.py  regular files; refuses pipes and devices
making.py   new folders that are removed if the work in them fails
partial.py  files and folders that appear whole or not at all
toml.py     TOML files as data
"""
