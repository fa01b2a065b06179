"""The bench: models of a study in memory, tried on a prompt.

columns.py     what stands in a column, as text: a model, a mix, or a changed model
messages.py    requests and events, as data and as lines of JSON
bench.py       the loaded base for as long as it is tried, and the answers to requests
recipes.py     what a column is computed from: weights, a change in the pass, a mix of outputs
weights.py     the weights of columns in one loaded model, written and swapped in
changes.py     what columns change inside a forward pass
passes.py      forward passes under a recipe, and a cache of predictions
prompts.py     prompts as token ids, cut to the context, and tokens as texts
generation.py  texts written by columns, token by token
"""
