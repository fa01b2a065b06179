"""Models as they lie on disk and as transformers makes them.

Every module here is listed with the one thing that it owns; nothing is imported.

identity.py      what identifies a model's weights: a hash of everything that its files hold
"""
