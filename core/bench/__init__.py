"""The bench: models of a study in memory, tried on a prompt.

columns.py   what stands in a column, as text: a model, a mix, or a changed model
messages.py  requests and events, as data and as lines of JSON
"""
