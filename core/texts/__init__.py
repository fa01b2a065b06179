"""The texts that models are shown, and their token ids.

probe.py      probe sets: documents as token ids, in padded batches
encoding.py   texts as token ids, in one way for every model and analysis
templates.py  chat templates: whose is used, and which models have another one
documents/    documents out of files, by their content
builtin/      the texts of the built-in probe sets
"""
