"""Models as they lie on disk and as transformers makes them.

Every module here is listed with the one thing that it owns; nothing is imported.
"""
