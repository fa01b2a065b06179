"""The bench: models of a study in memory, which answer one prompt.

columns.py     a column as text: a model, a mix, or a changed model
messages.py    requests and events, as data and as lines of JSON
bench.py       the loaded base, while the bench is open
needs.py       the memory that a bench takes: for all models, or for one at a time
answers.py     the answer to each kind of request
recipes.py     a column's computation: weights, a change in the pass, a mix of outputs
weights.py     the weights of columns in one loaded model, written and swapped in
changes.py     neurons and heads ablated, and states moved, inside a forward pass
passes.py      forward passes under a recipe, and a cache of predictions
prompts.py     prompts as token ids, cut to the context, and tokens as texts
generation.py  texts written by columns, token by token
insight.py     the logit lens, and the neurons that differ between two columns
"""
