"""A study in the making, from a form or from options to a study file.

building.py   everything typed so far, and the study that it means
fields.py     the fields of a study, derived from its declarations
studyfile.py  a draft as the text of a study file
toml.py       values as TOML spells them
ready.py      the study files that come with the program
studies/      study files, for published families
"""
