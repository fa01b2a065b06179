"""States: what a model computes inside a forward pass over a probe set, and what its head says.

forward.py   one forward pass over a probe set, shared by the readers of all analyses
head.py      a model's final norm and output head: logits of any state, in blocks of tokens
store.py     the base's final-normed states on disk, for the tuned models' passes
sample.py    states after each layer: at sampled positions, and summed over documents
readers.py   what a pass takes of the base, and of any model
similarity.py  alignment and drift of two models' states
lens.py      what the head says of the states after each layer
difference.py  the mean difference of two models' states
extremes.py  the places where states lie most along some directions
"""
