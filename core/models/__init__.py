"""Models as they lie on disk and as transformers makes them. Nothing is imported here.

identity.py      what identifies a model's weights: a hash of everything that its files hold
outline.py       a model's class on the meta device: names, shapes, modules, ties
layout.py        from stored names to parameters, by transformers' conversion mapping
mosaic.py        a parameter as parts of stored tensors
parameters.py    a checkpoint seen through the parameters of its class
roles.py         which parameter is which module of which layer
pieces.py        logical matrices, and how parameters are cut into them
anatomy.py       a model in the common vocabulary
matching.py      which parameter of a tuned model stands for which of the base
sight.py         what an MLP computes within its own forward pass
"""
