"""The models on this machine.

catalogue.py  models and adapters, grouped by family
shelves.py    the folders that are searched: the Hugging Face cache, the user's own
appraisal.py  one folder, described by its settings, headers and card
parentage.py  the origin that a model's files state
lineage.py    the parents of models
"""
