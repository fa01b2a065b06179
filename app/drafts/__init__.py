"""Drafts of studies, from a form or from options to a study file.

building.py   a draft's contents, and its study
fields.py     the fields of a study, derived from its declarations
studyfile.py  a draft as the text of a study file
toml.py       values in TOML's notation
points.py     a study with one more point of arithmetic
ready.py      the study files that ship with the program
studies/      study files, for published families
"""
