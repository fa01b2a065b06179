"""The bench: models of a study in memory, tried on a prompt.

columns.py     what stands in a column, as text: a model, a mix, or a changed model
messages.py    requests and events, as data and as lines of JSON
bench.py       the loaded base for as long as it is tried
answers.py     the answer to each kind of request
recipes.py     what a column is computed from: weights, a change in the pass, a mix of outputs
weights.py     the weights of columns in one loaded model, written and swapped in
changes.py     neurons and heads set to zero, and states moved, inside a forward pass
passes.py      forward passes under a recipe, and a cache of predictions
prompts.py     prompts as token ids, cut to the context, and tokens as texts
generation.py  texts written by columns, token by token
insight.py     the words of layers, and neurons that differ between two columns
"""
