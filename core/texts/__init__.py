"""The texts that models read, and their token ids.

probe.py      probe sets: documents as token ids, in padded batches
encoding.py   texts as token ids, the same for every model and analysis
templates.py  chat templates: the one in use, and models that differ from it
documents/    documents from files, by their content
builtin/      the texts of the built-in probe sets
"""
