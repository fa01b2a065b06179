"""PEFT adapters: their effect on the tensors of a model, by name and by rows.

checkpoint.py an adapter over a checkpoint
settings.py  settings without effect on numbers, and unknown settings
names.py     the tensors that an adapter's keys name
ties.py      tied output heads, and the adapters that untie them
ground.py    the model under an adapter, and the adapter's updates collected so far
updates.py   forms of an update: factors, parts of a stack, single rows, a vector
factors.py   the factors of LoRA, AdaLoRA and VeRA, scaled and turned
products.py  the factors of each matrix
layer.py     PEFT's own arithmetic on one layer
application.py  an adapter on a model in memory, applied by PEFT or written into its tensors
merging.py   every other kind of adapter, through PEFT
reading.py   an adapter's tensors, sorted into updates and replaced tensors
"""
