"""PEFT adapters: their effect on the tensors of a model, by name and by rows.

checkpoint.py an adapter laid over a checkpoint
settings.py  what the settings say that decides no number, and what of them is not known
names.py     which tensors an adapter's keys mean
ties.py      an output head that is tied to the embedding, and whether an adapter unties it
ground.py    the model under an adapter, with what was found of the adapter so far
updates.py   forms of an update: factors, parts of a stack, single rows, a vector
factors.py   the factors of LoRA, AdaLoRA and VeRA, scaled and turned
products.py  which tensors are the factors of which matrix
layer.py     PEFT's own arithmetic on one layer
merging.py   every other kind of adapter, through it
reading.py   an adapter's tensors, sorted into updates and replaced tensors
"""
