"""What PEFT adapters do to the tensors of a model, by name and by rows.

names.py     which tensors an adapter's keys mean
updates.py   forms of an update: factors, parts of a stack, single rows, a vector
factors.py   LoRA, AdaLoRA and VeRA as factors
layer.py     every other kind: PEFT's own arithmetic on one layer at a time
reading.py   an adapter's files, sorted into updates and replaced tensors
"""
