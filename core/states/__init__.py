"""States inside a model's forward pass over a probe set, and the head's predictions from them.

forward.py   one forward pass over a probe set, shared by the readers of all analyses
head.py      a model's final norm and output head: logits of any state, in blocks of tokens
store.py     the base's final-normed states on disk, for the tuned models' passes
sample.py    states after each layer: at sampled positions, and summed over documents
readers.py   the readers of a pass over the base, or over any model
forwarding.py  a reader that leaves the collecting to another one
similarity.py  alignment and drift of two models' states
lens.py      the head's predictions from the states after each layer
difference.py  the mean difference of two models' states
extremes.py  the places where states lie most along some directions
"""
